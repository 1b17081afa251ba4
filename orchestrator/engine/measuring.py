"""The accepted candidate is measured, as coroutines without I/O: baselines and references."""

from dataclasses import replace

from orchestrator.core.errors import EditError, EvaluatorError
from orchestrator.core.evaluations import (
    Evaluation,
    Measurement,
    Purpose,
)
from orchestrator.core.experiments import Experiment
from orchestrator.core.records import Files, Rung, Status
from orchestrator.engine.commands import (
    EndEvaluation,
    Measure,
    SaveSeed,
)
from orchestrator.engine.outcome import Candidate, Outcome, Rules
from orchestrator.judging.incumbent import learning_failure
from orchestrator.proposals.candidate_code import fingerprint


async def baseline(
    rung: Rung, files: Files, why: str, below: Experiment | None, rules: Rules
) -> Outcome:
    """Evaluate the accepted candidate at a rung; from then on it is what others must beat.

    Args:
        rung: the budget.
        files: the candidate.
        why: what this baseline is for, as its description.
        below: what scored it at the rung below, if it is to climb.
        rules: the numbers of the configuration.
    """
    try:
        candidate = Candidate(files, fingerprint(files), why)
    except EditError as error:
        return _unusable(Candidate(files, None, why), str(error))
    plan = Measurement(rung, rules.judging.default_seeds)
    evaluation = await _measure_all(files, plan)
    if evaluation.status is None and below is not None:
        failure = learning_failure(below.report, evaluation.report)
        if failure is not None:
            reason = f"{failure}; the run stays at {below.rung}"
            evaluation = replace(evaluation, status=Status.REJECTED, reason=reason)
    status = evaluation.status or Status.BASELINE
    reason = evaluation.reason or f"baseline at {rung}: {evaluation.score:.4f}"
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


async def measure_incumbent(
    rung: Rung, files: Files, seeds: tuple[int, ...], rules: Rules
) -> Evaluation:
    """Measure the incumbent on seeds that did not choose it: its reference.

    A seed on which it fails is recorded without a value; those after it get their turn later.

    Raises:
        EvaluatorError: the evaluator failed, not the candidate.
    """
    first = rules.judging.seed_count  # each further seed has a time limit of its own
    plan = Measurement(
        rung,
        seeds[:first],
        more_seeds=seeds[first:],
        scored=Purpose.REFERENCE,
        further=Purpose.REFERENCE,
    )
    measured: set[int] = set()
    for seed in seeds:
        told = await Measure(files, plan, seed)
        if isinstance(told, Evaluation):
            break
        measured.add(seed)
    else:
        told = await EndEvaluation(files, plan, len(seeds))
        if told.status is not None and not told.seeds:
            return told  # found at fault after its last seed, as in random play
    assert isinstance(told, Evaluation)
    if told.status is None:
        return told
    if not told.seeds:  # a dead evaluator, a clock: not the candidate's doing
        raise EvaluatorError(f"the incumbent could not be measured: {told.reason}")
    for result in told.seeds:
        if result.seed not in measured:
            await SaveSeed(rung, replace(result, purpose=Purpose.REFERENCE))
    return told
