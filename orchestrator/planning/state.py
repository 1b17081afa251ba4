"""The state of a run: a fold over the endings of its experiments. Pure."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace

from orchestrator.core.experiments import Accept, Experiment
from orchestrator.core.records import FAILED, JUDGED, Rung, Status


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


def replay(
    experiments: Iterable[Experiment], accepts: Iterable[Accept], *, started_after: int = 0
) -> RunState:
    """Fold a run's experiments (in the order in which they ended) and overrides into its state.

    Args:
        experiments: those that have ended.
        accepts: a human's overrides.
        started_after: the last ending before the run was started again; failures before it may be
            tried anew.
    """
    state = RunState()
    waiting = sorted(accepts, key=lambda accept: accept.after_ended)
    is_new = started_after > 0
    for experiment in experiments:
        while waiting and waiting[0].after_ended < experiment.ended:
            state = state.after_accept(waiting.pop(0))
        if is_new and experiment.ended > started_after:
            state, is_new = state.at_start(), False
        state = state.after(experiment)
    for accept in waiting:
        state = state.after_accept(accept)
    return state.at_start() if is_new else state
