"""Which seeds of the lead and of the published candidate are measured next. Pure.

The lead is measured as the search needs it: a little when it is adopted, and more as challengers
are compared with it. Its trial takes no more than `proof_share` of the evaluator's time, and
whatever time it would stand idle.
"""

from collections.abc import Mapping
from dataclasses import dataclass

from orchestrator.core.evaluations import Purpose
from orchestrator.core.records import Rung
from orchestrator.judging.candidate_evidence import CandidateEvidence, SearchEvidence
from orchestrator.judging.lead import trials
from orchestrator.judging.reference import audit_seeds, reference_seeds
from orchestrator.judging.rules import JudgingRules
from orchestrator.judging.trial import Look
from orchestrator.planning.state import RunState

_FIRST = 2
"""Fresh seeds of the lead before its first challenger."""
_TRIES = 2
"""Times the wanted seeds that are tried where a candidate fails on some of them."""
_LEAST_CHANCE = 0.5
"""Chance to pass from which a trial goes on."""
CLAIM_SEEDS = 12
"""Seeds that report what a run ends with."""
_AT_ONCE = 4
"""Seeds that are measured before it is decided anew."""


@dataclass(frozen=True)
class MeasureCandidate:
    """Evaluate the lead, or the published candidate, on seeds that did not choose it."""

    rung: Rung
    n: int
    """The experiment that scored it at this rung: its seeds are recorded under this number."""
    seeds: tuple[int, ...]
    purpose: Purpose = Purpose.REFERENCE
    candidate: int = 0
    """The experiment that proposed it."""
    is_compared: bool = False
    """Whether its environment is compared with the published candidate's."""


def seeds_due(
    state: RunState, rules: JudgingRules, evidence: SearchEvidence
) -> MeasureCandidate | None:
    """Return what is measured before the next challenge, None if nothing must be."""
    if due := lead_seeds(state, rules, evidence):
        return due
    if not evidence.is_lead_published and _has_evidence(state, rules):
        # After a climb nothing is known of it there, and no chance to pass a trial can be told.
        due = _measure(state, evidence, evidence.published, _FIRST, Purpose.REFERENCE)
    if due or not evidence.may_prove:
        return due
    due = _trial_seeds(state, rules, evidence)
    return due or (_proven_seeds(state, rules, evidence) if evidence.may_audit else None)


def lead_seeds(
    state: RunState, rules: JudgingRules, evidence: SearchEvidence
) -> MeasureCandidate | None:
    """Return the lead's seeds without which no challenger is judged, None if it has them."""
    if not _has_evidence(state, rules):
        return None
    numbers, lead = evidence.numbers, evidence.lead
    wanted = min(numbers.lead_seeds, _FIRST + state.since_lead // numbers.lead_every)
    return _measure(state, evidence, lead, wanted, Purpose.REFERENCE)


def last_seeds(
    state: RunState, rules: JudgingRules, evidence: SearchEvidence
) -> MeasureCandidate | None:
    """Return the seeds that report what a run ends with, and decide nothing.

    Whether it was proven or was there at the start: what no lead has replaced owes that in part to
    the luck of the seeds that leads were compared on. A run without an experiment needs none, and
    what a person has accepted may not even run: its baseline, which comes first, will show it.
    """
    published, audits = state.incumbent, evidence.published.audits
    if published is None or published.score is None or not state.counted:
        return None
    if not _has_evidence(state, rules):
        return None
    n = evidence.published.scored_by
    seeds = audit_seeds(n, CLAIM_SEEDS)[audits : audits + _AT_ONCE]
    if not seeds or state.rung is None:
        return None
    return MeasureCandidate(state.rung, n, seeds, Purpose.AUDIT, published.n)


def _proven_seeds(
    state: RunState, rules: JudgingRules, evidence: SearchEvidence
) -> MeasureCandidate | None:
    """Return the same while the run goes on: only what was proven is reported before its end."""
    is_proven = state.incumbent is not None and state.incumbent.is_proven
    return last_seeds(state, rules, evidence) if is_proven else None


def idle_seeds(
    state: RunState, rules: JudgingRules, evidence: SearchEvidence
) -> MeasureCandidate | None:
    """Return what an idle evaluator measures: of lead and published, whichever has fewer seeds."""
    if not _has_evidence(state, rules):
        return None
    if due := _proven_seeds(state, rules, evidence):
        return due
    lead, published = evidence.lead, evidence.published
    which = min((lead, published), key=lambda each: each.tried)
    if which.tried >= rules.looks()[-1]:
        return None
    return _measure(state, evidence, which, which.tried + 1, Purpose.TRIAL)


def asked_seeds(
    state: RunState, rules: JudgingRules, evidence: SearchEvidence, wanted: Mapping[int, int]
) -> MeasureCandidate | None:
    """Return what a person wants measured, None if it is.

    A trial looks at fixed numbers of seeds, so that more of them at a person's word, however often
    and whenever, make no false promotion more likely.
    """
    if not _has_evidence(state, rules):
        return None
    for each in (evidence.lead, evidence.published):
        seeds = min(wanted.get(each.n, 0) - each.tried, _AT_ONCE)
        if seeds > 0:
            return _measure(state, evidence, each, len(each.returns) + seeds, Purpose.TRIAL)
    return None


def _has_evidence(state: RunState, rules: JudgingRules) -> bool:
    lead = state.lead
    return (
        rules.has_lead
        and state.rung is not None
        and lead is not None
        and lead.is_task  # else nothing is compared with it
        and lead.scored_by is not None
    )


def _trial_seeds(
    state: RunState, rules: JudgingRules, evidence: SearchEvidence
) -> MeasureCandidate | None:
    """Return the seeds that the lead's trial needs for its next look."""
    if evidence.is_lead_published or not _has_evidence(state, rules):
        return None
    looks = [stands.next for _, stands in trials(evidence, rules) if _goes_on(stands.chance)]
    look: Look | None = min(filter(None, looks), key=lambda each: each.seeds, default=None)
    if look is None:
        return None
    published, lead = evidence.published, evidence.lead
    return _measure(state, evidence, published, look.reference, Purpose.TRIAL) or _measure(
        state, evidence, lead, look.seeds, Purpose.TRIAL
    )


def _goes_on(chance: float) -> bool:
    return chance >= _LEAST_CHANCE


def _measure(
    state: RunState,
    evidence: SearchEvidence,
    candidate: CandidateEvidence,
    wanted: int,
    purpose: Purpose,
) -> MeasureCandidate | None:
    """Return the next seeds of a candidate up to a number of fresh ones, None if it has them."""
    missing = min(wanted - len(candidate.returns), _AT_ONCE)
    if missing <= 0 or candidate.tried >= _TRIES * wanted:
        return None
    tried, owner = candidate.tried, evidence.published.scored_by
    seeds = reference_seeds(owner, tried + missing)[tried:]
    assert state.rung is not None
    return MeasureCandidate(
        state.rung,
        candidate.scored_by,
        seeds,
        purpose,
        candidate.n,
        is_compared=candidate.n != evidence.published.n,
    )
