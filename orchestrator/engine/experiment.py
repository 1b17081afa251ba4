"""An experiment as a coroutine without I/O: propose, check, evaluate, judge.

Every effect is an awaited command (`commands.py`); the engine obeys it and sends the result. After
a restart the same coroutine runs again and gets the results that were recorded before.
"""

from dataclasses import replace

from orchestrator.core.errors import EditError
from orchestrator.core.evaluations import (
    CheckpointReached,
    Evaluation,
    SeedResult,
    Verdict,
)
from orchestrator.core.records import Attempt, Files, Proposal, Reply, Rung, Status
from orchestrator.core.text import clean, one_line
from orchestrator.engine.commands import (
    EndEvaluation,
    IsIncumbent,
    Measure,
    Propose,
    ReadCurves,
    ReadIncumbent,
    ReserveCode,
    SaveFailure,
)
from orchestrator.engine.outcome import Candidate, Outcome, Rules
from orchestrator.judging import flag_rules
from orchestrator.judging.challenger_test import ChallengerTest, challenger_test
from orchestrator.judging.incumbent import IncumbentEvidence
from orchestrator.planning.planner import may_repair
from orchestrator.proposals.candidate_code import fingerprint
from orchestrator.proposals.reply import describe, read_reply

_RATIONALE_CHARS = 4000


async def challenge(rung: Rung, before: Files, rules: Rules) -> Outcome:
    """Have the agent propose, evaluate that, and judge it; failed replies may be repaired.

    Args:
        rung: the budget.
        before: the files of the incumbent, which the agent changes.
        rules: the numbers of the configuration.
    """
    attempts: tuple[Attempt, ...] = ()
    evaluated: frozenset[str] = frozenset()
    candidate: Candidate | None = None
    description = ""
    crash: tuple[Evaluation, Candidate | None] | None = None
    crashes = 0
    failure = Evaluation(Status.INVALID, reason="the agent had no answer")
    while answer := await Propose(attempts):
        reply = answer.reply
        try:
            candidate = _candidate(read_reply(reply, before))
            await _claim(candidate, rung, evaluated)
        except EditError as error:
            description = description or one_line(describe(reply.text))
            failure = Evaluation(Status.INVALID, reason=f"{error.code}: {error}")
        else:
            evaluated |= {candidate.fingerprint or ""}
            if answer.failure is None:
                outcome = await evaluate(answer.n, candidate, rung, rules)
                if outcome.evaluation.status is None:
                    return outcome
                failure = outcome.evaluation
        failure = answer.failure or failure
        attempts += (_failed(reply, failure),)
        if answer.failure is None:  # saving it forgets seeds, by now perhaps those of a repair
            await SaveFailure(len(attempts), failure)
        if failure.status is Status.CRASH:
            crash, crashes = (failure, candidate), crashes + 1
        if not may_repair(
            failure.status, failures=len(attempts), crashes=crashes, max_repairs=rules.max_repairs
        ):
            break
    if failure.status is Status.INVALID and crash is not None:
        failure, candidate = crash  # its files and traceback say more than a spoilt repair
    assert failure.status is not None
    return Outcome(failure.status, failure.reason, failure, candidate, description)


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


def _failed(reply: Reply, failure: Evaluation) -> Attempt:
    error = "\n".join(filter(None, [failure.reason, failure.details]))
    return Attempt(reply.text, error)


async def evaluate(n: int, candidate: Candidate, rung: Rung, rules: Rules) -> Outcome:
    """Evaluate a challenger seed by seed until the test has a verdict against the incumbent of now.

    Should the incumbent change meanwhile, the results on the default seeds stay, and the test
    begins anew on the seeds of the new incumbent's reference: none of them has seen the challenger.
    """
    while True:
        incumbent = await ReadIncumbent(rung)
        test = challenger_test(incumbent, n, rung, rules.judging)
        verdict, used = await _run(test, candidate.files, incumbent)
        if verdict is None:
            continue
        evaluation = verdict
        if isinstance(verdict, Verdict):
            evaluation = await EndEvaluation(candidate.files, test.plan, used)
        assert isinstance(evaluation, Evaluation)
        if evaluation.status is not None:
            return Outcome(
                evaluation.status, evaluation.reason, evaluation, candidate, incumbent=incumbent
            )
        assert isinstance(verdict, Verdict)
        verdict = test.final_verdict(verdict, evaluation.scores_by_seed)
        if await IsIncumbent(incumbent.scored_by):  # still, after the evaluator's report
            return judged(replace(evaluation, verdict=verdict), candidate, incumbent, rules)


async def _run(
    test: ChallengerTest, files: Files, incumbent: IncumbentEvidence
) -> tuple[Verdict | Evaluation | None, int]:
    """Measure seed after seed; return the verdict, and how many seeds it rests on.

    Instead of a verdict it may be how the candidate failed, or None if the incumbent changed.
    """
    results: tuple[SeedResult, ...] = ()
    verdict = None
    while verdict is None:
        told = await Measure(files, test.plan, test.plan.order[len(results)])
        if isinstance(told, Evaluation):
            return told, len(results)
        if not await IsIncumbent(incumbent.scored_by):
            return None, len(results)
        if isinstance(told, CheckpointReached):
            curves = await ReadCurves(test.plan.rung, told.seed)
            verdict = test.judge_curve(told.curve, curves)
        else:
            results += (told,)
            verdict = test.verdict(results)
    return verdict, len(results)


def judged(
    evaluation: Evaluation, candidate: Candidate, incumbent: IncumbentEvidence, rules: Rules
) -> Outcome:
    """Turn a verdict into an outcome; the flags of the comparison may veto a keep."""
    assert evaluation.verdict is not None
    scored = incumbent.scored
    if scored is not None and evaluation.score is not None:  # else it was stopped early
        challenger = flag_rules.ScoredCandidate(
            evaluation.score, evaluation.max_steps, evaluation.report, candidate.files.env
        )
        flags = (*evaluation.flags, *flag_rules.compare(scored, challenger))
        evaluation = replace(evaluation, flags=flags)
    verdict = evaluation.verdict
    assert verdict is not None
    status, reason = verdict.status, verdict.reason
    if status is Status.KEEP:
        excused = scored.flags if scored else ()
        if vetoed_for := flag_rules.veto(evaluation.flags, excused, rules.veto):
            status = Status.REJECTED
            reason = flag_rules.veto_reason(vetoed_for, verdict.gain_text)
    return Outcome(status, reason, evaluation, candidate, incumbent=incumbent)
