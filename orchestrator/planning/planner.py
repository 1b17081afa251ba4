"""What to do next: pure functions from what happened and the config to the next step.

`RunState` is a fold over the ledger: the same experiments and overrides always lead to the same
state, so a restart knows where it was. No clock, randomness or I/O in this file.
"""

from dataclasses import dataclass

from orchestrator.config.schema import BudgetConfig, LimitsConfig
from orchestrator.core.evaluations import Evaluation
from orchestrator.core.records import Rung, Status
from orchestrator.judging.incumbent import IncumbentEvidence
from orchestrator.judging.reference import reference_seeds
from orchestrator.judging.rules import JudgingRules
from orchestrator.planning.ladder import climb_reason, is_within_caps, rung_above
from orchestrator.planning.state import RunState

# -- the next step ---------------------------------------------------------------------------------


@dataclass(frozen=True)
class Finish:
    """The run is over."""

    reason: str


@dataclass(frozen=True)
class RunBaseline:
    """Evaluate the accepted candidate at `rung`, because `why`."""

    rung: Rung
    why: str


@dataclass(frozen=True)
class RunChallenge:
    """Ask the agent for a change and evaluate it at `rung`."""

    rung: Rung


@dataclass(frozen=True)
class MeasureIncumbent:
    """Evaluate the incumbent at `rung` on seeds that choose nothing."""

    rung: Rung
    n: int
    """The experiment that scored it there: what is measured is put down to it."""
    seeds: tuple[int, ...]


Step = Finish | RunBaseline | MeasureIncumbent | RunChallenge


def next_step(
    state: RunState,
    budget: BudgetConfig,
    limits: LimitsConfig,
    *,
    hours: float,
    rules: JudgingRules,
    evidence: IncumbentEvidence,
) -> Step:
    """Return what to do next.

    Args:
        state: the run so far.
        budget: the ladder and when to climb it.
        limits: when to end.
        hours: how long the run has been running, all its sessions together.
        rules: how challengers are judged.
        evidence: the incumbent's reference at the current rung.
    """
    if state.baseline_failure:
        return Finish(f"the baseline failed: {state.baseline_failure}")
    measure = _reference_due(state, rules, evidence)
    if reason := limit_reached(state, limits, hours=hours):
        # What was kept last is measured first, or nobody would know what it is worth.
        is_new = rules.needs_reference and evidence.tried < rules.numbers.reference_first
        has_time = limits.hours is None or hours < limits.hours
        return measure if measure and is_new and has_time else Finish(reason)
    if state.rung is None:
        return RunBaseline(budget.rungs[0], "the candidate as it stands")
    if not is_within_caps(state.rung, budget):
        return Finish(
            f"the run is at {state.rung}, beyond budget.max_train_episodes or "
            "budget.max_eval_episodes: raise them, or begin a new run with --tag"
        )
    if state.incumbent is None or state.incumbent.score is None:
        return RunBaseline(state.rung, "the accepted candidate, not yet scored at this budget")
    higher = rung_above(state.rung, budget)
    if higher and (why := climb_reason(state, budget, rules, evidence)):
        return RunBaseline(higher, why)
    if rules.needs_reference:
        if measure:
            return measure
        if len(evidence.returns) < rules.least_reference:
            return Finish(
                f"the accepted candidate #{state.incumbent.n} failed on "
                f"{evidence.tried - len(evidence.returns)} of {evidence.tried} fresh seeds at "
                f"{state.rung}, so nothing can be measured against it: `autorl-daemon accept N` "
                "another one"
            )
    return RunChallenge(state.rung)


def _reference_due(
    state: RunState, rules: JudgingRules, evidence: IncumbentEvidence
) -> MeasureIncumbent | None:
    """Return which reference seeds of the incumbent are missing."""
    incumbent = state.incumbent
    if not rules.needs_reference or state.rung is None or incumbent is None:
        return None
    wanted = rules.reference_wanted(state.since_keep_at_rung)
    # A seed that fails now and then must not end the run: others are tried, within reason.
    lacking = rules.least_reference - len(evidence.returns)
    first = rules.reference_wanted(0)
    wanted = max(wanted, min(evidence.tried + lacking, 2 * first))
    if incumbent.scored_by is None or evidence.tried >= wanted:
        return None
    seeds = reference_seeds(incumbent.scored_by, wanted)[evidence.tried :]
    return MeasureIncumbent(state.rung, incumbent.scored_by, seeds)


def limit_reached(state: RunState, limits: LimitsConfig, *, hours: float) -> str | None:
    """Return the stop reason if a limit is reached."""
    reached: list[tuple[str, float, float | None]] = [
        ("experiments", state.counted, limits.experiments),
        ("hours", hours, limits.hours),
        ("tokens", state.tokens, limits.tokens),
        ("cost_usd", state.cost_usd, limits.cost_usd),
        ("without_keep", state.without_keep, limits.without_keep),
        ("consecutive_failures", state.consecutive_failures, limits.consecutive_failures),
    ]
    for name, value, limit in reached:
        if limit is not None and value >= limit:
            return f"limits.{name} reached ({_plain(value)} of {_plain(limit)})"
    return None


def _plain(value: float) -> str:
    return str(value) if isinstance(value, int) else f"{value:.4g}"


def may_repair(failure: Status | None, *, failures: int, crashes: int, max_repairs: int) -> bool:
    """May the agent try again within this experiment?

    Args:
        failure: how the attempt failed: `invalid` or `crash` are worth another try.
        failures: attempts of this experiment that failed, this one included.
        crashes: those of them that crashed in the evaluator: one is forgiven.
        max_repairs: most further attempts.
    """
    if failures > max_repairs:
        return False
    return failure is Status.INVALID or (failure is Status.CRASH and crashes <= 1)


def is_comparable(evaluation: Evaluation, state: RunState, rung: Rung) -> bool:
    """Can this evaluation be judged against the incumbent? Only at the same rung."""
    return (
        evaluation.score is not None
        and state.rung == rung
        and state.incumbent is not None
        and state.incumbent.score is not None
    )
