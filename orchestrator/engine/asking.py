"""Puts questions to agent and reviewer, each only if the limits hold whatever it costs."""

from collections.abc import Sequence

from orchestrator.config.caps import with_caps
from orchestrator.config.schema import Config
from orchestrator.core.errors import AgentBlockedError
from orchestrator.core.records import Phase
from orchestrator.core.spending import FREE, Spend, WorstCase
from orchestrator.engine.answers import Answers
from orchestrator.engine.commands import AskReviewer, Propose
from orchestrator.engine.dependencies import Dependencies
from orchestrator.engine.jobs import Jobs
from orchestrator.engine.lane import Lane
from orchestrator.engine.run_record import RunRecord
from orchestrator.engine.stepper import Stepper
from orchestrator.planning.spending import is_limited, lacks_room
from orchestrator.proposals.brief import Brief
from orchestrator.proposals.review_prompt import ReviewBrief


class Asking:
    """Makes the calls of the lanes, or has them go without."""

    def __init__(
        self,
        parts: Dependencies,
        answers: Answers,
        jobs: Jobs,
        stepper: Stepper,
        run_record: RunRecord,
    ) -> None:
        self._agent, self._reviewer, self._monitor = parts.agent, parts.reviewer, parts.monitor
        self._jobs, self._stepper, self._run_record = jobs, stepper, run_record
        self._answers = answers
        self._config = parts.config

    def propose(self, lane: Lane, command: Propose) -> None:
        """Ask the agent, unless it has the question in hand."""
        if lane.asked is not None:
            if why := self._why_no_retry(lane):
                worst = lane.worst
                self._jobs.withdraw_question(lane)
                self._go_without(lane, worst or FREE, why)
        elif "agent" not in self._jobs.held:
            if lane.worst is not None and (why := self._why_not(lane.worst)):
                self._go_without(lane, lane.worst, why)  # as before, without the brief made anew
                return
            brief = self._brief(lane, command)
            worst = self._agent.worst_case(brief)
            if why := self._why_not(worst):
                self._go_without(lane, worst, why)
                return
            self._jobs.ask(lane, brief, worst)
            self._stepper.next_call = Spend()

    def _brief(self, lane: Lane, command: Propose) -> Brief:
        state, briefing = self._run_record.state, self._run_record.briefing
        evidence = self._answers.evidence(state)
        return briefing.brief(lane, command.attempts, state, evidence, self._stepper.lanes)

    def _go_without(self, lane: Lane, worst: WorstCase, why: str) -> None:
        """Do what follows where a call may not be made: wait for room, or do without the answer."""
        if lane.n is None:  # the planner waits for what is in flight, or ends the run
            self._stepper.next_call = self._jobs.calls.reservation(worst)
            self._stepper.drop(lane)
        elif self._may_get_room(lane):
            lane.worst = worst
            lane.wait_idly(Phase.WAITING, f"waiting for other calls to end: {why}")
        else:
            self._monitor.log("no call", "warning", experiment=lane.n, reason=why)
            lane.worst = None
            lane.work(Phase.CHECKING)
            self._stepper.advance(lane, None)

    def review(self, lane: Lane, command: AskReviewer) -> None:
        """Ask the reviewer, unless it has the question in hand."""
        request, reviews = command.request, self._jobs.reviews
        if lane.review == request:
            if why := self._why_no_retry(lane):
                reviews.refuse(lane, request, why)
            return
        if lane.worst is not None and self._may_get_room(lane) and self._why_not(lane.worst):
            return  # as before, without the prompt made anew
        try:
            brief = ReviewBrief(self._run_record.briefing.program(), request)
        except AgentBlockedError as error:
            reviews.refuse(lane, request, str(error))
            return
        worst = self._reviewer.worst_case(brief)
        why_not = self._why_not(worst)
        if why_not is None:
            reviews.ask(lane, brief, worst)
        elif self._may_get_room(lane):
            lane.worst = worst
            lane.wait_idly(Phase.WAITING, f"waiting for other calls to end: {why_not}")
        else:
            reviews.refuse(lane, request, why_not)

    def _why_not(self, worst: WorstCase) -> str | None:
        """Return why a call may not be made now; None if it may."""
        limits = self._config.limits
        if worst == FREE or not is_limited(limits):
            return None
        calls = self._jobs.calls
        return lacks_room(limits, calls.used(self._run_record.state), calls.reservation(worst))

    def _why_no_retry(self, lane: Lane) -> str | None:
        """Return why a call may not be tried again, once it was broken off; None if it may."""
        if not lane.is_retrying:
            return None
        lane.is_retrying = False
        if lane.worst is None or not is_limited(self._config.limits):
            return None
        # The try that may follow is among what is used.
        retry = self._jobs.calls.reservation(lane.worst)
        used = self._jobs.calls.used(self._run_record.state).minus(retry)
        return lacks_room(self._config.limits, used, retry)

    def _may_get_room(self, lane: Lane) -> bool:
        """Is another call about to end, and perhaps to cost less than is reserved for it?"""
        return any(
            (other.asked is not None or other.review is not None) and not other.is_waiting_out()
            for other in self._stepper.lanes
            if other is not lane
        )

    def configure(self, config: Config) -> None:
        """Ask by another configuration from now on.

        What the agent or the reviewer of before has in hand was broken off with it, and is asked
        again within the limits.
        """
        former, new, self._config = with_caps(self._config), with_caps(config), config
        self._stepper.next_call = Spend()
        if (former.proposers, former.agents_by) != (new.proposers, new.agents_by):
            self._withdraw([lane for lane in self._stepper.lanes if lane.asked is not None])
        if (former.agent, former.review) != (new.agent, new.review) and self._reviewer.name:
            self._withdraw([lane for lane in self._stepper.lanes if lane.review is not None])

    def _withdraw(self, lanes: Sequence[Lane]) -> None:
        for lane in lanes:
            self._jobs.withdraw_question(lane)
