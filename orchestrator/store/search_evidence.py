"""Reads from the ledger what is known of the lead and of the published candidate."""

from dataclasses import replace

from orchestrator.core.records import Rung
from orchestrator.judging.candidate_evidence import (
    CandidateEvidence,
    SearchEvidence,
    candidate_evidence,
    gathered,
)
from orchestrator.judging.flag_rules import ScoredCandidate
from orchestrator.judging.rules import JudgingRules
from orchestrator.planning.candidates import Incumbent
from orchestrator.planning.state import RunState
from orchestrator.store.ledger import Ledger


def search_evidence(
    ledger: Ledger, tag: str, state: RunState, rules: JudgingRules
) -> SearchEvidence:
    """Return what is known of the lead and the published candidate at the current rung.

    Args:
        ledger: of the workspace.
        tag: the run.
        state: its state.
        rules: its rules.
    """
    rung = state.rung
    if state.incumbent is None or state.incumbent.scored_by is None or rung is None:
        return SearchEvidence()
    owner = state.incumbent.scored_by
    published = _candidate(ledger, state.incumbent, rung, owner)
    leads = [_candidate(ledger, step, rung, owner) for step in state.leads[-2:]]
    references, before, earlier = {}, {}, {}
    if rules.has_lead:
        references = ledger.references_of_time(tag, rung, owner)
        earlier = ledger.references_before(tag, rung, owner)
    if rules.has_lead and leads and leads[-1].scored_by:
        lead = ledger.experiment(leads[-1].scored_by)
        assert lead is not None
        before = ledger.references_of_time(tag, rung, owner, before=lead.ended)
    reference_s, proof_s = ledger.reference_seconds(tag)
    return replace(
        gathered(published, leads, references, before, earlier),
        numbers=rules.search(state.mean_agent_s, state.seed_s),
        eval_episodes=rung.eval_episodes,
        evaluator_s=state.evaluator_s + reference_s,
        proof_s=proof_s,
    )


def _candidate(ledger: Ledger, step: Incumbent, rung: Rung, owner: int) -> CandidateEvidence:
    """Return what is known of the published candidate, or of a step to the lead."""
    files = ledger.files(step.n)
    assert files is not None
    if step.scored_by is None:
        return CandidateEvidence(step.n, files=files, is_task=step.is_task)
    experiment = ledger.experiment(step.scored_by)
    assert experiment is not None
    results = ledger.at_rung(step.scored_by, rung)
    evidence = candidate_evidence(step.n, step.scored_by, results, owner)
    return replace(
        evidence,
        scores_by_seed=step.scores_by_seed,
        scored=ScoredCandidate(
            experiment.score or 0.0, experiment.max_steps, experiment.report, files.env,
            experiment.flags,
        ),
        files=files,
        is_task=step.is_task,
        changed=step.changed,
    )  # fmt: skip
