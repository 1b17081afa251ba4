"""What to do next: pure functions from what happened and the config to the next step.

`RunState` is a fold over the ledger: the same experiments and overrides always lead to the same
state, so a restart knows where it was. No clock, randomness or I/O in this file.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace

from orchestrator.config import BudgetConfig, JudgeConfig, LimitsConfig
from orchestrator.ratchet import Standing, climb_reason, is_within_caps, rung_above
from orchestrator.records import (
    FAILED,
    JUDGED,
    Accept,
    Evaluation,
    Experiment,
    Rung,
    Status,
)
from orchestrator.reference import LEAST_REFERENCE, reference_seeds, reference_wanted


@dataclass(frozen=True)
class Incumbent:
    """The accepted candidate, and its score at the current rung (None: a baseline is due)."""

    n: int
    commit: str
    score: float | None
    scores_by_seed: Mapping[int, float]
    scored_by: int | None
    """The experiment that scored it at this rung: its own, or a later baseline."""


@dataclass(frozen=True)
class RunState:
    """All that decisions rest on."""

    rung: Rung | None = None
    """The current rung; None before the first baseline."""
    incumbent: Incumbent | None = None
    baseline_score: float | None = None
    """The current rung's baseline score."""
    keeps_at_rung: int = 0
    since_keep_at_rung: int = 0
    """Judged experiments at this rung since its last keep (or its baseline)."""
    climb_failed: bool = False
    """A baseline at the next rung failed: the run stays where it is."""
    baseline_failure: str = ""
    """Why the current rung has no baseline, when it failed."""
    counted: int = 0
    """Experiments that count towards limits: all but baselines and aborted ones."""
    without_keep: int = 0
    consecutive_failures: int = 0
    tokens: int = 0
    cost_usd: float = 0.0
    by_status: Mapping[Status, int] = field(default_factory=dict)

    def after(self, experiment: Experiment) -> "RunState":
        """Return the state once `experiment` is recorded."""
        state = replace(
            self,
            tokens=self.tokens + experiment.tokens.total,
            cost_usd=self.cost_usd + (experiment.cost_usd or 0.0),
            by_status={
                **self.by_status,
                experiment.status: self.by_status.get(experiment.status, 0) + 1,
            },
        )
        if experiment.status is Status.ABORTED:
            return state
        return (
            _after_baseline(state, experiment)
            if experiment.is_baseline
            else (_after_challenge(state, experiment))
        )

    def after_accept(self, accept: Accept) -> "RunState":
        """Return the state once a human has made an experiment the incumbent."""
        comparable = accept.rung == self.rung
        return replace(
            self,
            incumbent=Incumbent(
                accept.n,
                accept.commit,
                accept.score if comparable else None,
                accept.scores_by_seed if comparable else {},
                accept.n if comparable else None,
            ),
            since_keep_at_rung=0,
            without_keep=0,
            baseline_failure="",
            climb_failed=False,  # this one may learn there
        )

    def at_start(self) -> "RunState":
        """Return the state with which a person starts the run again: failures may be tried anew."""
        return replace(self, baseline_failure="", consecutive_failures=0)


def _after_baseline(state: RunState, experiment: Experiment) -> RunState:
    if experiment.status is not Status.BASELINE:
        if state.rung not in {None, experiment.rung}:
            return replace(state, climb_failed=True)
        return replace(state, baseline_failure=f"{experiment.status}: {experiment.reason}")
    climbed = experiment.rung != state.rung
    old = state.incumbent
    n, commit = (old.n, old.commit) if old else (experiment.n, experiment.commit or "")
    return replace(
        state,
        rung=experiment.rung,
        incumbent=Incumbent(n, commit, experiment.score, experiment.scores_by_seed, experiment.n),
        baseline_score=experiment.score,
        keeps_at_rung=0 if climbed else state.keeps_at_rung,
        since_keep_at_rung=0,
        baseline_failure="",
    )


def _after_challenge(state: RunState, experiment: Experiment) -> RunState:
    state = replace(
        state,
        counted=state.counted + 1,
        consecutive_failures=(state.consecutive_failures + 1 if experiment.status in FAILED else 0),
    )
    if experiment.status is Status.KEEP:
        return replace(
            state,
            incumbent=Incumbent(
                experiment.n,
                experiment.commit or "",
                experiment.score,
                experiment.scores_by_seed,
                experiment.n,
            ),
            keeps_at_rung=state.keeps_at_rung + 1,
            since_keep_at_rung=0,
            climb_failed=False,  # this one may learn there
            without_keep=0,
        )
    judged = experiment.status in JUDGED  # what was never scored says nothing of the rung
    return replace(
        state,
        since_keep_at_rung=state.since_keep_at_rung + judged,
        without_keep=state.without_keep + 1,
    )


def replay(experiments: Iterable[Experiment], accepts: Iterable[Accept]) -> RunState:
    """Fold a run's experiments (in order of number) and overrides into its state."""
    state = RunState()
    waiting = sorted(accepts, key=lambda accept: accept.after_n)
    for experiment in experiments:
        while waiting and waiting[0].after_n < experiment.n:
            state = state.after_accept(waiting.pop(0))
        state = state.after(experiment)
    for accept in waiting:
        state = state.after_accept(accept)
    return state


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
    rules: JudgeConfig,
    known: Standing,
) -> Step:
    """Return what to do next.

    Args:
        state: the run so far.
        budget: the ladder and when to climb it.
        limits: when to end.
        hours: how long the run has been running, all its sessions together.
        rules: how challengers are judged.
        known: the incumbent's reference at the current rung.
    """
    if state.baseline_failure:
        return Finish(f"the baseline failed: {state.baseline_failure}")
    measure = _reference_due(state, rules, known)
    if reason := limit_reached(state, limits, hours=hours):
        # What was kept last is measured first, or nobody would know what it is worth.
        is_new = rules.rule == "sound" and known.tried < rules.reference_first
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
    if higher and (why := climb_reason(state, budget, rules, known)):
        return RunBaseline(higher, why)
    if rules.rule == "sound":
        if measure:
            return measure
        if len(known.returns) < LEAST_REFERENCE:
            return Finish(
                f"the accepted candidate #{state.incumbent.n} failed on "
                f"{known.tried - len(known.returns)} of {known.tried} fresh seeds at {state.rung}, "
                "so nothing can be measured against it: `autorl-daemon accept N` another one"
            )
    return RunChallenge(state.rung)


def _reference_due(state: RunState, rules: JudgeConfig, known: Standing) -> MeasureIncumbent | None:
    """Return which reference seeds of the incumbent are missing."""
    incumbent = state.incumbent
    if rules.rule == "naive" or state.rung is None or incumbent is None:
        return None
    wanted = reference_wanted(rules, state.since_keep_at_rung)
    # A seed that fails now and then must not end the run: others are tried, within reason.
    lacking = LEAST_REFERENCE - len(known.returns)
    first = min(rules.reference_first, rules.reference)
    wanted = max(wanted, min(known.tried + lacking, 2 * first))
    if incumbent.scored_by is None or known.tried >= wanted:
        return None
    seeds = reference_seeds(incumbent.scored_by, wanted)[known.tried :]
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
