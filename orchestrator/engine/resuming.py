"""Takes up what an earlier daemon began: it is resumed, aborted, or given up."""

from collections.abc import Callable, Iterable

from orchestrator.engine.dependencies import Dependencies
from orchestrator.engine.lane import Kind, Lane
from orchestrator.engine.openings import MOST_RESUMES, Openings
from orchestrator.engine.run_record import RunRecord
from orchestrator.engine.stepper import Stepper
from orchestrator.planning.planner import InFlight, RunBaseline, Step
from orchestrator.store.open_experiments import OpenExperiment


class Resuming:
    """Turns the open experiments of a ledger into lanes."""

    def __init__(
        self,
        parts: Dependencies,
        openings: Openings,
        stepper: Stepper,
        run_record: RunRecord,
        next_step: Callable[[InFlight], Step],
    ) -> None:
        self._ledger, self._monitor = parts.ledger, parts.monitor
        self._openings, self._stepper, self._run_record = openings, stepper, run_record
        self._next_step = next_step
        self._counted: set[int] = set()
        self._suspects: set[int] = set()
        """Taken up alone by this daemon."""
        self.is_alone = False
        """Something that may be deadly is in flight, and nothing else may be."""

    def take_up_all(self, opened: Iterable[OpenExperiment]) -> None:
        """Take up what an earlier daemon began.

        What daemons have died in again and again is taken up alone, one after the other: so the one
        that kills them is told from those that were only in flight with it.
        """
        in_hand = {lane.n for lane in self._stepper.lanes if lane.kind is not Kind.REFERENCE}
        if in_hand & self._suspects:
            return  # after a transient error it is still alone
        left = [experiment for experiment in opened if experiment.n not in in_hand]
        suspects = [experiment for experiment in left if experiment.resumes >= MOST_RESUMES - 1]
        self.is_alone = bool(suspects)
        if suspects:
            left = [] if self._stepper.lanes else suspects[:1]
            self._suspects |= {experiment.n for experiment in left}
        for experiment in left:
            self._take_up(experiment)

    def _take_up(self, opened: OpenExperiment) -> None:
        """Go on with an experiment that an earlier daemon began, or record its abort."""
        step = self._next_step(InFlight())
        due = step if isinstance(step, RunBaseline) else None
        state = self._run_record.state
        lane = self._openings.reopened(opened, state, due)
        why_not = self._openings.why_not_resumed(opened, state, step)
        resumes = opened.resumes
        if opened.n not in self._counted:  # once a daemon: a fault of today is no death
            resumes = self._ledger.count_resume(opened.n)
            self._counted.add(opened.n)
        if resumes > MOST_RESUMES:
            self._give_up(lane, resumes)
        elif why_not:
            self._stepper.abort(lane, why_not)
        else:
            self._monitor.log("experiment resumed", experiment=opened.n)
            self._stepper.open(lane)

    def _give_up(self, lane: Lane, resumes: int) -> None:
        """Abort an experiment that no daemon survives; without a baseline a person must look."""
        died = f"the daemon died {resumes} times in this experiment, at the same step"
        self._stepper.abort(lane, f"given up: {died}", given_up=True)
        if lane.kind is Kind.BASELINE:
            self._run_record.pause(
                f"{died} (#{lane.n}, a baseline): see logs/daemon.jsonl and logs/daemon.out, "
                "then `autorl-daemon resume` tries again"
            )
