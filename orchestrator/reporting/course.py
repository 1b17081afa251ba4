"""How the published candidate and the lead moved in a run, with places for a chart. Pure."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from orchestrator.core.experiments import Accept, Experiment, LeadMove, MoveKind
from orchestrator.core.records import Rung, Status
from orchestrator.judging.default_seed_tests import FIRST_TASK
from orchestrator.planning.candidates import Incumbent
from orchestrator.planning.events import Event, in_order
from orchestrator.planning.state import RunState


@dataclass(frozen=True)
class Step:
    """A candidate becomes the published one, or the lead."""

    n: int
    """The experiment that scored it at this rung."""
    score: float
    rung: Rung
    at: int
    """The highest number of an experiment that had ended by then: where a chart draws it."""
    is_accept: bool = False
    """By the user's override, not by the test."""
    epoch: int = 0
    """How many tasks the run had before this one: only steps of one epoch are comparable."""
    move: MoveKind | None = None
    """How the lead moved, where it did not move on to a challenger."""


@dataclass(frozen=True)
class LeadOutcome:
    """What became of an experiment that took the lead."""

    is_proven: bool
    reason: str
    """The figures of the trial, or why it leads no more."""
    when: str
    """Time in ISO 8601; empty where it is not recorded."""


@dataclass(frozen=True)
class Course:
    """All steps of a run, in their order."""

    published: Sequence[Step] = ()
    """Each published candidate that has a score."""
    leads: Sequence[Step] = ()
    """Each lead that has one, the published candidate where nothing looks better."""
    outcomes: Mapping[int, LeadOutcome] = field(default_factory=dict)
    """What became of those that took the lead and are it no more, or are proven, by number."""


def begins_task(experiment: Experiment) -> bool:
    """Is a keep the baseline of a task that nothing before it is comparable with?"""
    is_first = experiment.verdict.get("stage") == FIRST_TASK
    return experiment.status is Status.KEEP and (experiment.opens_epoch or is_first)


@dataclass(frozen=True)
class Followed:
    """A run as far as it was followed."""

    state: RunState = field(default_factory=RunState)
    course: Course = field(default_factory=Course)
    at: int = 0
    """The highest number of an experiment that had ended by then."""
    epoch: int = 0
    """How many tasks the run had before the present one."""


def course(experiments: Iterable[Experiment], moves: Iterable[LeadMove | Accept]) -> Course:
    """Follow a run through its endings and moves.

    What was accepted without a score, or at another budget, has no step: the baseline that scores
    it has.
    """
    ended = sorted(experiments, key=lambda experiment: experiment.ended)
    return follow(Followed(), ended, moves).course


def follow(
    before: Followed, experiments: Iterable[Experiment], moves: Iterable[LeadMove | Accept]
) -> Followed:
    """Follow a run further, through later endings and moves, each in their order."""
    state, at, epoch = before.state, before.at, before.epoch
    published, leads = list(before.course.published), list(before.course.leads)
    outcomes = dict(before.course.outcomes)
    for event in in_order(experiments, moves):
        former, state = state, state.after_event(event)
        if isinstance(event, Experiment):
            at, epoch = max(at, event.n), epoch + begins_task(event)
        outcomes |= _outcomes(former, state, event)
        for steps, was, now in (
            (published, former.incumbent, state.incumbent), (leads, former.lead, state.lead)
        ):  # fmt: skip
            if now is not None and _is_another(was, now):
                steps.append(_step(now, event, steps, at, epoch))
    return Followed(state, Course(published, leads, outcomes), at, epoch)


def _is_another(was: Incumbent | None, now: Incumbent) -> bool:
    """Is it another candidate, or scored anew?"""
    if now.score is None or now.scored_by is None:
        return False
    return was is None or (was.n, was.scored_by) != (now.n, now.scored_by)


def _step(now: Incumbent, event: Event, steps: Sequence[Step], at: int, epoch: int) -> Step:
    """Return the step to a candidate that has a score, which an event led to."""
    assert now.score is not None
    assert now.scored_by is not None
    if isinstance(event, LeadMove):
        return Step(now.scored_by, now.score, steps[-1].rung, at, epoch=epoch, move=event.kind)
    if isinstance(event, Accept):
        return Step(now.scored_by, now.score, event.rung, at, is_accept=True, epoch=epoch)
    # One that ended after a keep with a higher number took effect beside that one.
    beside = max([event.n, *(step.at for step in steps)])
    return Step(now.scored_by, now.score, event.rung, beside, epoch=epoch)


def _outcomes(before: RunState, now: RunState, event: Event) -> dict[int, LeadOutcome]:
    """Return what has become of steps to the lead by an event."""
    left = {each.n for each in before.leads} - {each.n for each in now.leads}
    match event:
        case LeadMove(kind=kind):
            found = LeadOutcome(kind is MoveKind.PROMOTION, event.reason, event.created_at)
        case Accept():
            found = LeadOutcome(False, f"you accepted #{event.n}", event.created_at)
        case Experiment(is_baseline=True):
            found = LeadOutcome(False, f"it failed at {event.rung} (#{event.n})", event.finished_at)
        case _:
            found = LeadOutcome(False, f"#{event.n} was published", event.finished_at)
    return dict.fromkeys(left, found)
