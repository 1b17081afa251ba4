"""What to do next: a pure function of the run's state, what is in flight, and the configuration.

No clock, randomness or I/O in this file.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace

from orchestrator.config.schema import BudgetConfig, LimitsConfig
from orchestrator.core.experiments import StopKind, StopReason
from orchestrator.core.records import Rung, Status
from orchestrator.core.spending import Spend
from orchestrator.judging.candidate_evidence import SearchEvidence
from orchestrator.judging.rules import JudgingRules
from orchestrator.planning.ladder import climb_reason, is_within_caps, rung_above
from orchestrator.planning.seeds import (
    CLAIM_SEEDS,
    MeasureCandidate,
    asked_seeds,
    idle_seeds,
    last_seeds,
    lead_seeds,
    seeds_due,
)
from orchestrator.planning.spending import lacks_room, plain
from orchestrator.planning.state import RunState


@dataclass(frozen=True)
class InFlight:
    """What has begun and not ended: it counts towards limits before anything more is begun."""

    challenges: int = 0
    waiting: int = 0
    """Challenges that can't be judged before the lead is measured."""
    proposing: int = 0
    """Challenges that the agent has not answered yet."""
    baselines: int = 0
    references: int = 0
    used: Spend = Spend()
    """What the calls of open experiments have cost; what calls in flight, and those without a bill,
    may cost."""
    next_call: Spend = Spend()
    """The most that the next proposal may cost, where it is known that room is short."""

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
            references=self.references + isinstance(step, MeasureCandidate),
        )


NOTHING = InFlight()
_CLAIM_AND_MORE = CLAIM_SEEDS + 4
"""Seeds for which time is left before the hours are up: a claim's, and a challenger's in flight."""
_MOST_FOR_CLAIM = 0.1
"""Largest share of a run's hours that is left for them."""
_UNSCORED = "the accepted candidate, not yet scored at this budget"
_UNSCORED_LEAD = "the lead, not yet scored at this budget"


@dataclass(frozen=True)
class Finish:
    """The run is over. What is in flight, if anything, waits for what can't be measured."""

    reason: StopReason


@dataclass(frozen=True)
class Wait:
    """Begin nothing before something in flight has ended."""


@dataclass(frozen=True)
class RunBaseline:
    """Evaluate the published candidate, or the lead, at `rung`, because `why`."""

    rung: Rung
    why: str
    is_of_lead: bool = False


@dataclass(frozen=True)
class RunChallenge:
    """Ask the agent for a change and evaluate it at `rung`."""

    rung: Rung


Step = Finish | Wait | RunBaseline | MeasureCandidate | RunChallenge


def next_step(
    state: RunState,
    budget: BudgetConfig,
    limits: LimitsConfig,
    *,
    hours: float,
    rules: JudgingRules,
    evidence: SearchEvidence,
    in_flight: InFlight = NOTHING,
    lanes: int = 1,
    wanted: Mapping[int, int] | None = None,
) -> Step:
    """Return what may begin now.

    Args:
        state: the run so far.
        budget: the ladder and when to climb it.
        limits: when to end.
        hours: how long the run has been running, all its sessions together.
        rules: how challengers are judged.
        evidence: what is known of the lead and the published candidate at the current rung.
        in_flight: what has begun and not ended.
        lanes: how many experiments may be in flight.
        wanted: how many fresh seeds a person wants candidates to have, by experiment.
    """
    if state.baseline_failure:
        return _once_stuck(in_flight, Finish(_baseline_failed(state)))
    if in_flight.baselines:
        return Wait()  # all that follows depends on it
    if in_flight.waiting and (step := _awaited(state, rules, evidence, in_flight)):
        return step  # whatever the limits say: what was begun must be judged
    reason = limit_reached(state, limits, hours=hours, in_flight=in_flight)
    if reason or _is_time_for_claim(state, limits, hours):
        # What is published is measured first, or nobody would know its true value.
        last = last_seeds(state, rules, evidence)
        if last and (limits.hours is None or hours < limits.hours):
            return _once_empty(in_flight, last)
    if reason:
        return _once_empty(in_flight, Finish(StopReason(StopKind.LIMIT, reason)))
    if step := _baseline_due(state, budget, evidence, in_flight):
        return step
    assert state.rung is not None
    if in_flight.total >= lanes:
        return _while_idle(state, rules, evidence, in_flight) or Wait()
    if not in_flight.references:
        due = seeds_due(state, rules, evidence)
        if due := due or asked_seeds(state, rules, evidence, wanted or {}):
            return due
        if not _is_known(rules, evidence):
            return _once_empty(in_flight, _unmeasurable(state, evidence))
    return RunChallenge(state.rung)


def _baseline_failed(state: RunState) -> StopReason:
    text = f"the baseline failed: {state.baseline_failure}"
    if state.incumbent is not None and state.incumbent.score is None:  # a person has accepted it
        text += "; `autorl-daemon accept N` publishes another experiment"
    return StopReason(StopKind.BASELINE_FAILED, text)


def _while_idle(
    state: RunState, rules: JudgingRules, evidence: SearchEvidence, in_flight: InFlight
) -> Step | None:
    """Return what an evaluator does while all agents think; None if none is idle.

    A run with a single lane does one thing after the other.
    """
    if in_flight.total < 2 or in_flight.proposing < in_flight.total:
        return None
    return seeds_due(state, rules, evidence) or idle_seeds(state, rules, evidence)


def _awaited(
    state: RunState, rules: JudgingRules, evidence: SearchEvidence, in_flight: InFlight
) -> Step | None:
    """Return what the challenges that wait need, None if it is there or under way."""
    assert state.rung is not None
    if state.incumbent is None or state.incumbent.score is None:
        return RunBaseline(state.rung, _UNSCORED)
    if state.lead is None or state.lead.score is None:
        return RunBaseline(state.rung, _UNSCORED_LEAD, is_of_lead=True)
    if in_flight.references:
        return None
    if due := lead_seeds(state, rules, evidence):
        return due
    if _is_known(rules, evidence):
        return None
    return _once_stuck(in_flight, _unmeasurable(state, evidence))


def _baseline_due(
    state: RunState, budget: BudgetConfig, evidence: SearchEvidence, in_flight: InFlight
) -> Step | None:
    """Return the baseline that must come before the next challenge, None if none must."""
    if state.rung is None:
        return RunBaseline(budget.rungs[0], "the candidate as it stands")
    if not is_within_caps(state.rung, budget):
        return _once_empty(in_flight, _beyond_caps(state.rung))
    if state.incumbent is None or state.incumbent.score is None:
        return RunBaseline(state.rung, _UNSCORED)
    if state.lead is None or state.lead.score is None:
        return RunBaseline(state.rung, _UNSCORED_LEAD, is_of_lead=True)
    higher = rung_above(state.rung, budget)
    if higher and (why := climb_reason(state, budget, evidence.lead)):
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


def _unmeasurable(state: RunState, evidence: SearchEvidence) -> Finish:
    assert state.incumbent is not None
    lead = evidence.lead
    text = (
        f"the accepted candidate #{state.incumbent.n} failed on "
        f"{lead.tried - len(lead.returns)} of {lead.tried} fresh seeds at {state.rung}, "
        "so nothing can be measured against it: `autorl-daemon accept N` another one"
    )
    return Finish(StopReason(StopKind.STUCK, text))


def is_judgeable(
    state: RunState, rung: Rung, rules: JudgingRules, evidence: SearchEvidence
) -> bool:
    """Can a challenger at this rung be judged now? The lead must be scored and measured."""
    lead = state.lead
    return (
        lead is not None
        and state.rung == rung
        and lead.score is not None
        and _is_known(rules, evidence)
        and lead_seeds(state, rules, evidence) is None
    )


def _is_known(rules: JudgingRules, evidence: SearchEvidence) -> bool:
    """Is there anything of the lead to compare with?"""
    lead = evidence.lead
    return not (rules.has_lead and lead.is_task) or bool(lead.returns)


def _is_time_for_claim(state: RunState, limits: LimitsConfig, hours: float) -> bool:
    """Is what is left of the run's hours needed to measure what it ends with?"""
    if limits.hours is None or state.seed_s is None:
        return False
    needed = min(_CLAIM_AND_MORE * state.seed_s / 3600, _MOST_FOR_CLAIM * limits.hours)
    return hours >= limits.hours - needed


def limit_reached(
    state: RunState, limits: LimitsConfig, *, hours: float, in_flight: InFlight = NOTHING
) -> str | None:
    """Return the stop reason if a limit is reached, or would be by what is in flight."""
    challenges = in_flight.challenges
    reached: list[tuple[str, float, float | None]] = [
        ("experiments", state.counted + challenges, limits.experiments),
        ("hours", hours, limits.hours),
        ("without_keep", state.without_keep + challenges, limits.without_keep),
        (
            "consecutive_failures",
            state.consecutive_failures + challenges,
            limits.consecutive_failures,
        ),
    ]
    for name, value, limit in reached:
        if limit is not None and value >= limit:
            return f"limits.{name} reached ({plain(value)} of {plain(limit)})"
    used = Spend(state.tokens, state.cost_usd).plus(in_flight.used)
    return lacks_room(limits, used, in_flight.next_call)


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
