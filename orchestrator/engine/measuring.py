"""The lead and the published candidate are measured, as coroutines without I/O."""

from dataclasses import replace

from orchestrator.core.errors import EditError, EvaluatorError
from orchestrator.core.evaluations import (
    Evaluation,
    Measurement,
    Purpose,
    Report,
    SeedResult,
)
from orchestrator.core.experiments import Experiment
from orchestrator.core.records import Files, Rung, Status
from orchestrator.engine.commands import (
    EndEvaluation,
    Measure,
    SaveSeed,
)
from orchestrator.engine.outcome import Candidate, Outcome, Rules
from orchestrator.judging import task_rules
from orchestrator.judging.candidate_evidence import learning_failure
from orchestrator.proposals.candidate_code import fingerprint


async def baseline(
    rung: Rung,
    files: Files,
    why: str,
    below: Experiment | None,
    rules: Rules,
    *,
    is_task: bool = False,
) -> Outcome:
    """Evaluate the accepted candidate at a rung; from then on it is what others must beat.

    Where nothing was accepted yet it may be no task at all: then it is flagged so, and the first
    challenger that is one takes its place.

    Args:
        rung: the budget.
        files: the candidate.
        why: what this baseline is for, as its description.
        below: what scored it at the rung below, if it is to climb.
        rules: the numbers of the configuration.
        is_task: whether it was kept, or accepted by a person.
    """
    try:
        candidate = Candidate(files, fingerprint(files), why)
    except EditError as error:
        return _unusable(Candidate(files, None, why), str(error))
    plan = Measurement(rung, rules.judging.default_seeds)
    evaluation = await _measure_all(files, plan)
    if evaluation.status is None and below is not None:
        failure = _other_horizon(below.max_steps, evaluation) or learning_failure(
            below.report, evaluation.report
        )
        if failure is not None:
            reason = f"{failure}; the run stays at {below.rung}"
            evaluation = replace(evaluation, status=Status.REJECTED, reason=reason)
    reason = evaluation.reason or f"baseline at {rung}: {evaluation.score:.4f}"
    if evaluation.status is None and not is_task:
        # The user's world is a task, whatever is learnt in it.
        report = Report() if rules.has_world else evaluation.report
        why_not = task_rules.no_task(report, evaluation.flags, rules.veto)
        if why_not is not None:
            flags = (*evaluation.flags, task_rules.no_task_flag(why_not))
            evaluation = replace(evaluation, flags=flags)
            reason += (
                f", but no task to improve on ({why_not}): the first one becomes the baseline; "
                "`autorl-daemon accept` with this number where it is what you mean"
            )
    status = evaluation.status or Status.BASELINE
    return Outcome(status, reason, evaluation, candidate)


def _unusable(candidate: Candidate, reason: str) -> Outcome:
    failure = Evaluation(Status.INVALID, reason=reason)
    return Outcome(Status.INVALID, reason, failure, candidate)


async def _measure_all(files: Files, plan: Measurement) -> Evaluation:
    for seed in plan.order:
        told = await Measure(files, plan, seed)
        if isinstance(told, Evaluation):
            return told
    return await EndEvaluation(files, plan, len(plan.order))


async def measure_candidate(
    rung: Rung,
    files: Files,
    seeds: tuple[int, ...],
    rules: Rules,
    *,
    purpose: Purpose = Purpose.REFERENCE,
    compared_with: Files | None = None,
    is_lead: bool = False,
    max_steps: int | None = None,
) -> Evaluation:
    """Measure the lead, or the published candidate, on seeds that did not choose it.

    A seed on which it fails is recorded without a value; those after it get their turn later. What
    would reject a challenger or end it for good ends a lead too, while what is published stays:
    a fault that shows after the last seed, or an evaluator that dies with it again and again.

    Args:
        rung: the budget.
        files: the candidate.
        seeds: of its reference.
        rules: the numbers of the configuration.
        purpose: why it is measured.
        compared_with: the published candidate, where the lead's environment is other code.
        is_lead: whether it is a lead that is not published.
        max_steps: its horizon where it was scored, if known; another one is its fault.

    Raises:
        EvaluatorError: the evaluator failed, not the candidate.
    """
    first = rules.judging.seed_count  # each further seed has a time limit of its own
    plan = Measurement(
        rung,
        seeds[:first],
        more_seeds=seeds[first:],
        scored=purpose,
        further=purpose,
        compared_with=compared_with,
    )
    measured: set[int] = set()
    for seed in seeds:
        told = await Measure(files, plan, seed)
        if isinstance(told, Evaluation):
            break
        measured.add(seed)
    else:
        told = await EndEvaluation(files, plan, len(seeds))
        if other := told.status is None and _other_horizon(max_steps, told):
            told = Evaluation(Status.REJECTED, reason=other)
        if told.status is not None and not told.seeds and not is_lead:
            return told  # found at fault after its last seed, as in random play
    assert isinstance(told, Evaluation)
    if told.status is None:
        return told
    # It learns nothing where it hangs.
    if not told.seeds and (is_lead or told.status is Status.TIMEOUT):
        await SaveSeed(rung, SeedResult(seed, None, purpose=purpose))
        return told
    if not told.seeds:  # a dead evaluator is not the candidate's doing
        raise EvaluatorError(f"the accepted candidate could not be measured: {told.reason}")
    for result in told.seeds:
        if result.seed not in measured:
            await SaveSeed(rung, replace(result, purpose=purpose))
    return told


def _other_horizon(before: int | None, evaluation: Evaluation) -> str | None:
    """Return how a candidate's horizon differs from the one it had before, None if it does not.

    It can choose one by the seed, and its returns are then no sample of one quantity.
    """
    if before is None or evaluation.max_steps in {None, before}:
        return None
    return f"the horizon differs between seeds: {before} and {evaluation.max_steps}"
