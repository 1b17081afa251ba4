"""The state of a run: a fold over the endings of its experiments. Pure."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace

from orchestrator.core.experiments import Accept, Experiment, LeadMove, MoveKind
from orchestrator.core.records import FAILED, JUDGED, Rung, Status
from orchestrator.judging import task_rules
from orchestrator.planning.candidates import Incumbent, step_to, unscored
from orchestrator.planning.events import Event, in_order


@dataclass(frozen=True)
class RunState:
    """All that decisions rest on."""

    rung: Rung | None = None
    """The current rung; None before the first baseline."""
    incumbent: Incumbent | None = None
    """The published candidate: the tip of the branch."""
    leads: tuple[Incumbent, ...] = ()
    """The steps from the published candidate to the lead, the lead last; none is proven yet."""
    baseline_score: float | None = None
    """The current rung's baseline score."""
    keeps_at_rung: int = 0
    since_keep_at_rung: int = 0
    """Judged experiments at this rung since its last keep (or its baseline)."""
    scored_at_rung: int = 0
    """Challengers whose evaluation at this rung has told a solve rate, since its baseline."""
    learnt_at_rung: bool = False
    """Whether one of them, or the baseline, solved anything or learnt clearly."""
    climb_failed: bool = False
    """A baseline at the next rung failed: the run stays where it is."""
    baseline_failure: str = ""
    """Why the current rung has no baseline, when it failed."""
    counted: int = 0
    """Experiments that count towards limits: all but baselines and aborted ones."""
    without_keep: int = 0
    consecutive_failures: int = 0
    since_lead: int = 0
    """Judged experiments since the lead last moved."""
    agent_s: float = 0.0
    """Seconds that the agent took, in all proposals."""
    evaluator_s: float = 0.0
    """Evaluator seconds of experiments; those of references are not among them."""
    seed_s: float | None = None
    """Evaluator seconds of a seed, by the latest baseline."""
    tokens: int = 0
    cost_usd: float = 0.0
    by_status: Mapping[Status, int] = field(default_factory=dict)

    @property
    def lead(self) -> Incumbent | None:
        """What the next proposal starts from; None before there is anything."""
        return self.leads[-1] if self.leads else self.incumbent

    @property
    def mean_agent_s(self) -> float | None:
        """Mean time of the agent for a proposal, in seconds; None before the first."""
        return self.agent_s / self.counted if self.counted else None

    def find(self, n: int) -> Incumbent | None:
        """Return the published candidate, or the step to the lead, of experiment `n`."""
        known = (self.incumbent, *self.leads)
        return next((each for each in known if each is not None and each.n == n), None)

    def lead_or_published(self, scored_by: int | None) -> Incumbent | None:
        """Return the lead or the published candidate if this experiment scored it."""
        known = (self.lead, self.incumbent)
        return next((e for e in known if e is not None and e.scored_by == scored_by), None)

    def after(self, experiment: Experiment) -> "RunState":
        """Return the state once `experiment` is recorded."""
        status = Status.LEAD if experiment.took_lead else experiment.status
        state = replace(
            self,
            agent_s=self.agent_s + experiment.seconds.agent,
            evaluator_s=self.evaluator_s + experiment.seconds.evaluator,
            tokens=self.tokens + experiment.tokens.total,
            cost_usd=self.cost_usd + (experiment.cost_usd or 0.0),
            by_status={
                **self.by_status,
                status: self.by_status.get(status, 0) + 1,
            },
        )
        if experiment.status is Status.ABORTED:
            return state
        return (
            _after_baseline(state, experiment)
            if experiment.is_baseline
            else (_after_challenge(state, experiment))
        )

    def after_move(self, move: LeadMove) -> "RunState":
        """Return the state once the lead went back, or was proven."""
        place = next((i for i, each in enumerate(self.leads, 1) if each.n == move.n), 0)
        if move.kind is MoveKind.ROLLBACK:
            gone = len(self.leads) - place
            return replace(
                self, leads=self.leads[:place], since_lead=0,
                by_status=_moved(self.by_status, Status.DISCARD, gone),
            )  # fmt: skip
        assert place, "what is proven is the lead"
        return replace(
            self,
            incumbent=replace(self.leads[place - 1], is_proven=True),
            leads=self.leads[place:],
            by_status=_moved(self.by_status, Status.KEEP, place),
            keeps_at_rung=self.keeps_at_rung + place,
            since_keep_at_rung=0,
            since_lead=0,
            without_keep=0,
            climb_failed=False,  # this one may learn there
        )

    def after_event(self, event: Event) -> "RunState":
        """Return the state after an ending, a move of the lead, or a human's override."""
        if isinstance(event, Accept):
            return self.after_accept(event)
        return self.after_move(event) if isinstance(event, LeadMove) else self.after(event)

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
            leads=(),
            by_status=_moved(self.by_status, Status.DISCARD, len(self.leads)),
            since_lead=0,
            since_keep_at_rung=0,
            without_keep=0,
            baseline_failure="",
            climb_failed=False,  # this one may learn there
        )

    def at_start(self) -> "RunState":
        """Return the state with which a person starts the run again: failures may be tried anew."""
        return replace(self, baseline_failure="", consecutive_failures=0)


def _moved(counts: Mapping[Status, int], to: Status, count: int) -> Mapping[Status, int]:
    """Return the counts by status once so many leads are something else."""
    if not count:
        return counts
    left = {Status.LEAD: counts.get(Status.LEAD, 0) - count, to: counts.get(to, 0) + count}
    return {status: n for status, n in {**counts, **left}.items() if n}


def _after_baseline(state: RunState, experiment: Experiment) -> RunState:
    if (lead := state.lead) and state.leads and experiment.commit == lead.commit:
        return _after_baseline_of_lead(state, experiment)
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
        incumbent=Incumbent(
            n,
            commit,
            experiment.score,
            experiment.scores_by_seed,
            experiment.n,
            is_task=task_rules.is_task(experiment.flags),
        ),
        baseline_score=experiment.score,
        keeps_at_rung=0 if climbed else state.keeps_at_rung,
        since_keep_at_rung=0,
        scored_at_rung=0 if climbed else state.scored_at_rung,
        leads=tuple(map(unscored, state.leads)) if climbed else state.leads,
        since_lead=0,
        seed_s=_seed_s(experiment),
        learnt_at_rung=(
            task_rules.is_learnt(experiment.report) or (state.learnt_at_rung and not climbed)
        ),
        baseline_failure="",
    )


def _after_baseline_of_lead(state: RunState, experiment: Experiment) -> RunState:
    """Return the state once the lead is scored after a climb; if it can't be, nothing leads."""
    if experiment.status is not Status.BASELINE:
        return replace(
            state, leads=(), by_status=_moved(state.by_status, Status.DISCARD, len(state.leads))
        )
    lead = replace(
        state.leads[-1],
        score=experiment.score,
        scores_by_seed=experiment.scores_by_seed,
        scored_by=experiment.n,
    )
    return replace(state, leads=(*state.leads[:-1], lead))


def _seed_s(experiment: Experiment) -> float | None:
    seeds = len(experiment.scores_by_seed)
    return experiment.seconds.evaluator / seeds if seeds else None


def _after_challenge(state: RunState, experiment: Experiment) -> RunState:
    state = replace(
        state,
        counted=state.counted + 1,
        consecutive_failures=(state.consecutive_failures + 1 if experiment.status in FAILED else 0),
    )
    if experiment.report.solve_rate is not None:  # also of what was vetoed
        state = replace(
            state,
            scored_at_rung=state.scored_at_rung + 1,
            learnt_at_rung=state.learnt_at_rung or task_rules.is_learnt(experiment.report),
        )
    if experiment.took_lead:
        return replace(
            state,
            leads=(*state.leads, step_to(experiment)),
            since_lead=0,
            since_keep_at_rung=state.since_keep_at_rung + 1,
            without_keep=state.without_keep + 1,
        )
    if experiment.status is Status.KEEP:
        return _after_keep(state, experiment)
    judged = experiment.status in JUDGED  # what was never scored says nothing of the rung
    return replace(
        state,
        since_keep_at_rung=state.since_keep_at_rung + judged,
        since_lead=state.since_lead + judged,
        without_keep=state.without_keep + 1,
    )


def _after_keep(state: RunState, experiment: Experiment) -> RunState:
    old = state.incumbent
    if (old is not None and not old.is_task) or experiment.opens_epoch:
        # The baseline of another task: nothing before it is comparable.
        state = replace(
            state,
            baseline_score=experiment.score,
            keeps_at_rung=0,
            scored_at_rung=0,
            learnt_at_rung=task_rules.is_learnt(experiment.report),
        )
    else:
        state = replace(state, keeps_at_rung=state.keeps_at_rung + 1)
    return replace(
        state,
        incumbent=step_to(experiment),
        leads=(),
        by_status=_moved(state.by_status, Status.DISCARD, len(state.leads)),
        since_lead=0,
        since_keep_at_rung=0,
        climb_failed=False,  # this one may learn there
        without_keep=0,
    )


def replay(
    experiments: Iterable[Experiment],
    moves: Iterable[LeadMove | Accept],
    *,
    started_after: int = 0,
) -> RunState:
    """Fold a run's endings, moves of the lead, and overrides into its state.

    Args:
        experiments: those that have ended, in that order.
        moves: moves of the lead and a human's overrides, in their order.
        started_after: the last ending before the run was started again; failures before it may be
            tried anew.
    """
    state, is_new = RunState(), started_after > 0
    for event in in_order(experiments, moves):
        if is_new and isinstance(event, Experiment) and event.ended > started_after:
            state, is_new = state.at_start(), False
        state = state.after_event(event)
    return state.at_start() if is_new else state
