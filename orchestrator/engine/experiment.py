"""An experiment as a coroutine without I/O: propose, check, evaluate, judge.

Every effect is an awaited command (`commands.py`); the engine obeys it and sends the result. After
a restart the same coroutine runs again and gets the results that were recorded before.
"""

from dataclasses import replace

from orchestrator.core.candidate_mode import has_environment
from orchestrator.core.errors import EditError
from orchestrator.core.evaluations import (
    CheckpointReached,
    Evaluation,
    SeedResult,
    Verdict,
)
from orchestrator.core.records import ADOPTED, Files, Proposal, Reply, Rung, Status
from orchestrator.core.text import clean, one_line
from orchestrator.engine.commands import (
    AskReviewer,
    EndEvaluation,
    IsLead,
    Measure,
    Propose,
    ReadCurves,
    ReadLead,
    ReserveCode,
    SaveFailure,
)
from orchestrator.engine.ending import judged, review_request, reviewed, with_comparisons
from orchestrator.engine.outcome import Candidate, Outcome, Rules
from orchestrator.engine.turns import Turns
from orchestrator.judging.candidate_evidence import CandidateEvidence
from orchestrator.judging.challenger_test import ChallengerTest, challenger_test
from orchestrator.proposals.candidate_code import check_file, fingerprint
from orchestrator.proposals.reply import describe, read_reply
from orchestrator.proposals.show_requests import MAX_SHOWS, asked_to_show

_RATIONALE_CHARS = 4000


async def challenge(rung: Rung, before: Files, rules: Rules) -> Outcome:
    """Have the agent propose, evaluate that, and judge it; failed replies may be repaired.

    Args:
        rung: the budget.
        before: the files of the lead, which the agent changes.
        rules: the numbers of the configuration.
    """
    turns = Turns(rules.max_repairs)
    evaluated: frozenset[str] = frozenset()
    candidate: Candidate | None = None
    description = ""
    while answer := await Propose(turns.attempts):
        reply = answer.reply
        shows = asked_to_show(reply)
        if shows and turns.may_show:
            turns.show(reply, shows)
            continue
        failure = answer.failure
        try:
            candidate = _candidate(_read(reply, before, rules, is_asking=bool(shows)))
            await _claim(candidate, rung, evaluated)
        except EditError as error:
            description = description or one_line(describe(reply.text))
            failure = failure or Evaluation(Status.INVALID, reason=f"{error.code}: {error}")
        else:
            evaluated |= {candidate.fingerprint or ""}
        if failure is None:
            assert candidate is not None
            outcome = await evaluate(answer.n, candidate, rung, rules)
            if outcome.evaluation.status is None:
                return outcome
            failure = outcome.evaluation
        number = turns.fail(reply, failure, candidate)
        if answer.failure is None:  # saving it forgets seeds, by now perhaps those of a repair
            await SaveFailure(number, failure)
        if not turns.may_repair:
            break
    return turns.outcome(description)


def _read(reply: Reply, before: Files, rules: Rules, *, is_asking: bool) -> Proposal:
    """Read a reply; one that asks for code once too often is a failure. Raises `EditError`."""
    if is_asking:
        raise EditError("no_edit", f"code was shown {MAX_SHOWS} times already: answer with an edit")
    return read_reply(reply, before, has_world=rules.has_world)


async def trial(n: int, files: Files, description: str, rung: Rung, rules: Rules) -> Outcome:
    """Evaluate a person's candidate and judge it like any other; nobody is asked to repair it.

    Args:
        n: its experiment.
        files: the candidate.
        description: what the person says that it tries.
        rung: the budget.
        rules: the numbers of the configuration.
    """
    candidate = Candidate(files, None, one_line(description))
    try:
        for path, text in files.by_path().items():
            check_file(path, text, has_world=rules.has_world)
        candidate = replace(candidate, fingerprint=fingerprint(files))
        await _claim(candidate, rung, frozenset())
    except EditError as error:
        failure = Evaluation(Status.INVALID, reason=f"{error.code}: {error}")
        unclaimed = replace(candidate, fingerprint=None)
        return Outcome(Status.INVALID, failure.reason, failure, unclaimed)
    return await evaluate(n, candidate, rung, rules)


def _candidate(proposal: Proposal) -> Candidate:
    return Candidate(
        proposal.files,
        fingerprint(proposal.files),
        one_line(proposal.description),
        clean(proposal.rationale, _RATIONALE_CHARS),
    )


async def _claim(candidate: Candidate, rung: Rung, evaluated: frozenset[str]) -> None:
    """Claim a candidate's code for this experiment. Raises `EditError` if it was tried already."""
    assert candidate.fingerprint is not None
    if candidate.fingerprint in evaluated:
        raise EditError("unchanged", "the same code has just failed; it was not changed")
    earlier = await ReserveCode(
        rung,
        candidate.fingerprint,
        candidate.files,
        candidate.description,
        candidate.rationale,
    )
    if earlier is not None:
        raise EditError("duplicate", f"the same code was tried already, in experiment #{earlier}")


async def evaluate(n: int, candidate: Candidate, rung: Rung, rules: Rules) -> Outcome:
    """Evaluate a challenger seed by seed until the test has a verdict against the lead of now.

    Should the lead change meanwhile, the results stay and are compared with the new one. What would
    take the lead, or move the branch, is reviewed before it does.
    """
    while True:
        search = await ReadLead(rung)
        lead = search.lead
        test = challenger_test(search, rung, rules.judging, candidate.files)
        verdict, results = await _run(test, candidate.files, lead)
        if verdict is None:
            continue
        evaluation = verdict
        if isinstance(verdict, Verdict):
            evaluation = await EndEvaluation(candidate.files, test.plan, len(results))
        assert isinstance(evaluation, Evaluation)
        if evaluation.status is not None:
            return Outcome(evaluation.status, evaluation.reason, evaluation, candidate, lead=lead)
        assert isinstance(verdict, Verdict)
        verdict = test.final_verdict(verdict, evaluation.scores_by_seed, results)
        evaluation = replace(with_comparisons(evaluation, results), verdict=verdict)
        if not await IsLead(lead.scored_by, lead.is_task):
            continue  # it changed while the evaluator's report was awaited
        outcome = judged(evaluation, candidate, lead, rules, test.plan)
        if outcome.status not in ADOPTED:
            return outcome
        review = await AskReviewer(review_request(outcome))
        if await IsLead(lead.scored_by, lead.is_task):
            return reviewed(outcome, review, n, rules)


async def _run(
    test: ChallengerTest, files: Files, lead: CandidateEvidence
) -> tuple[Verdict | Evaluation | None, tuple[SeedResult, ...]]:
    """Measure seed after seed; return the verdict, and the results that it rests on.

    Instead of a verdict it may be how the candidate failed, or None if the lead changed.
    """
    results: tuple[SeedResult, ...] = ()
    verdict = None
    while verdict is None:
        told = await Measure(files, test.plan, test.plan.order[len(results)])
        if isinstance(told, Evaluation):
            return told, results
        if not await IsLead(lead.scored_by, lead.is_task):
            return None, results
        if isinstance(told, CheckpointReached):
            # In the user's world all curves are of the same reward.
            env = files.env if has_environment(files.env) else None
            curves = await ReadCurves(test.plan.rung, told.seed, env)
            verdict = test.judge_curve(told.curve, curves)
        else:
            results += (told,)
            verdict = test.verdict(results)
    return verdict, results
