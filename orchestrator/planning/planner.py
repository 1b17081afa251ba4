"""What to do next: a pure function of the run's state, what is in flight, and the configuration.

No clock, randomness or I/O in this file.
"""

from dataclasses import dataclass, replace

from orchestrator.config.schema import BudgetConfig, LimitsConfig
from orchestrator.core.experiments import StopKind, StopReason
from orchestrator.core.records import Rung, Status
from orchestrator.judging.incumbent import IncumbentEvidence
from orchestrator.judging.reference import reference_seeds
from orchestrator.judging.rules import JudgingRules
from orchestrator.planning.ladder import climb_reason, is_within_caps, rung_above
from orchestrator.planning.state import RunState


@dataclass(frozen=True)
class InFlight:
    """What has begun and not ended: it counts towards limits before anything more is begun."""

    challenges: int = 0
    waiting: int = 0
    """Challenges that can't be judged before the incumbent's reference is measured."""
    baselines: int = 0
    references: int = 0
    tokens: int = 0
    """Tokens that the challenges have used, or may yet use."""
    cost_usd: float = 0.0

    @property
    def total(self) -> int:
        """All lanes in use."""
        return self.challenges + self.baselines + self.references

    def plus(self, step: "Step") -> "InFlight":
        """Return what is in flight once a step has begun."""
        return replace(
            self,
            challenges=self.challenges + isinstance(step, RunChallenge),
            baselines=self.baselines + isinstance(step, RunBaseline),
            references=self.references + isinstance(step, MeasureIncumbent),
        )


NOTHING = InFlight()
_UNSCORED = "the accepted candidate, not yet scored at this budget"


@dataclass(frozen=True)
class Finish:
    """The run is over. What is in flight, if anything, waits for what can't be measured."""

    reason: StopReason


@dataclass(frozen=True)
class Wait:
    """Begin nothing before something in flight has ended."""


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
    """Evaluate the incumbent at `rung` on seeds that did not choose it."""

    rung: Rung
    n: int
    """The experiment that scored it there: its reference is recorded under this number."""
    seeds: tuple[int, ...]


Step = Finish | Wait | RunBaseline | MeasureIncumbent | RunChallenge


def next_step(
    state: RunState,
    budget: BudgetConfig,
    limits: LimitsConfig,
    *,
    hours: float,
    rules: JudgingRules,
    evidence: IncumbentEvidence,
    in_flight: InFlight = NOTHING,
    lanes: int = 1,
) -> Step:
    """Return what may begin now.

    Args:
        state: the run so far.
        budget: the ladder and when to climb it.
        limits: when to end.
        hours: how long the run has been running, all its sessions together.
        rules: how challengers are judged.
        evidence: what is known of the incumbent at the current rung.
        in_flight: what has begun and not ended.
        lanes: how many experiments may be in flight.
    """
    if state.baseline_failure:
        text = f"the baseline failed: {state.baseline_failure}"
        return _once_stuck(in_flight, Finish(StopReason(StopKind.BASELINE_FAILED, text)))
    if in_flight.baselines:
        return Wait()  # all that follows depends on it
    if in_flight.waiting and (step := _awaited(state, rules, evidence, in_flight)):
        return step  # whatever the limits say: what was begun must be judged
    reference = reference_due(state, rules, evidence)
    if reason := limit_reached(state, limits, hours=hours, in_flight=in_flight):
        # What was kept last is measured first, or nobody would know its true value.
        is_new = rules.needs_reference and evidence.tried < rules.numbers.reference_first
        if reference and is_new and (limits.hours is None or hours < limits.hours):
            return _once_empty(in_flight, reference)
        return _once_empty(in_flight, Finish(StopReason(StopKind.LIMIT, reason)))
    if step := _baseline_due(state, budget, rules, evidence, in_flight):
        return step
    assert state.rung is not None
    if in_flight.total >= lanes:
        return Wait()
    if not in_flight.references:
        if reference:
            return reference
        if len(evidence.returns) < rules.least_reference:
            return _once_empty(in_flight, _no_reference(state, evidence))
    return RunChallenge(state.rung)


def _awaited(
    state: RunState, rules: JudgingRules, evidence: IncumbentEvidence, in_flight: InFlight
) -> Step | None:
    """Return what the challenges that wait need, None if it is there or under way."""
    assert state.rung is not None
    if state.incumbent is None or state.incumbent.score is None:
        return RunBaseline(state.rung, _UNSCORED)
    if in_flight.references:
        return None
    if reference := reference_due(state, rules, evidence):
        return reference
    if len(evidence.returns) >= rules.least_reference:
        return None
    return _once_stuck(in_flight, _no_reference(state, evidence))


def _baseline_due(
    state: RunState,
    budget: BudgetConfig,
    rules: JudgingRules,
    evidence: IncumbentEvidence,
    in_flight: InFlight,
) -> Step | None:
    """Return the baseline that must come before the next challenge, None if none must."""
    if state.rung is None:
        return RunBaseline(budget.rungs[0], "the candidate as it stands")
    if not is_within_caps(state.rung, budget):
        return _once_empty(in_flight, _beyond_caps(state.rung))
    if state.incumbent is None or state.incumbent.score is None:
        return RunBaseline(state.rung, _UNSCORED)
    higher = rung_above(state.rung, budget)
    if higher and (why := climb_reason(state, budget, rules, evidence)):
        # Nothing is compared across rungs: what is in flight ends at this one.
        return _once_empty(in_flight, RunBaseline(higher, why))
    return None


def _once_empty(in_flight: InFlight, step: Step) -> Step:
    return Wait() if in_flight.total else step


def _once_stuck(in_flight: InFlight, step: Step) -> Step:
    """Return `step` once nothing in flight can end any more."""
    return Wait() if in_flight.total > in_flight.waiting else step


def _beyond_caps(rung: Rung) -> Finish:
    text = (
        f"the run is at {rung}, beyond budget.max_train_episodes or budget.max_eval_episodes: "
        "raise them, or begin a new run with --tag"
    )
    return Finish(StopReason(StopKind.STUCK, text))


def _no_reference(state: RunState, evidence: IncumbentEvidence) -> Finish:
    assert state.incumbent is not None
    failed = evidence.tried - len(evidence.returns)
    text = (
        f"the accepted candidate #{state.incumbent.n} failed on "
        f"{failed} of {evidence.tried} fresh seeds at {state.rung}, "
        "so nothing can be measured against it: `autorl-daemon accept N` another one"
    )
    return Finish(StopReason(StopKind.STUCK, text))


def reference_due(
    state: RunState, rules: JudgingRules, evidence: IncumbentEvidence
) -> MeasureIncumbent | None:
    """Return which reference seeds of the incumbent are missing, None if none is."""
    incumbent = state.incumbent
    if not rules.needs_reference or state.rung is None or incumbent is None:
        return None
    wanted = rules.reference_wanted(state.since_keep_at_rung)
    # A seed that fails now and then must not end the run: others are tried, within reason.
    lacking = rules.least_reference - len(evidence.returns)
    first = min(rules.numbers.reference_first, rules.numbers.reference)
    wanted = max(wanted, min(evidence.tried + lacking, 2 * first))
    if incumbent.scored_by is None or evidence.tried >= wanted:
        return None
    seeds = reference_seeds(incumbent.scored_by, wanted)[evidence.tried :]
    return MeasureIncumbent(state.rung, incumbent.scored_by, seeds)


def is_judgeable(
    state: RunState, rung: Rung, rules: JudgingRules, evidence: IncumbentEvidence
) -> bool:
    """Can a challenger at this rung be judged now? The incumbent must be scored and measured."""
    incumbent = state.incumbent
    return (
        incumbent is not None
        and state.rung == rung
        and incumbent.score is not None
        and len(evidence.returns) >= rules.least_reference
        and reference_due(state, rules, evidence) is None
    )


def limit_reached(
    state: RunState, limits: LimitsConfig, *, hours: float, in_flight: InFlight = NOTHING
) -> str | None:
    """Return the stop reason if a limit is reached, or would be by what is in flight."""
    challenges = in_flight.challenges
    reached: list[tuple[str, float, float | None]] = [
        ("experiments", state.counted + challenges, limits.experiments),
        ("hours", hours, limits.hours),
        ("tokens", state.tokens + in_flight.tokens, limits.tokens),
        ("cost_usd", state.cost_usd + in_flight.cost_usd, limits.cost_usd),
        ("without_keep", state.without_keep + challenges, limits.without_keep),
        (
            "consecutive_failures",
            state.consecutive_failures + challenges,
            limits.consecutive_failures,
        ),
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
