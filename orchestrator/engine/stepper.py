"""Steps the coroutines in flight, each from one unknown result to the next, to its end."""

from collections.abc import Callable
from typing import Any

from orchestrator.core.errors import (
    AgentBlockedError,
    EvaluatorError,
)
from orchestrator.core.records import Phase, Status
from orchestrator.core.spending import Spend
from orchestrator.engine.answers import UNKNOWN, Answers
from orchestrator.engine.back_off import TRANSIENT_ERRORS
from orchestrator.engine.commands import Command, Propose, ReadLead
from orchestrator.engine.dependencies import Dependencies
from orchestrator.engine.jobs import Jobs
from orchestrator.engine.lane import Kind, Lane
from orchestrator.engine.outcome import Candidate, Outcome
from orchestrator.engine.run_record import RunRecord
from orchestrator.planning.planner import InFlight
from orchestrator.planning.state import RunState


class Stepper:
    """Owns the lanes in flight."""

    def __init__(
        self,
        parts: Dependencies,
        answers: Answers,
        jobs: Jobs,
        run_record: RunRecord,
        show: Callable[[], None],
    ) -> None:
        self._ledger = parts.ledger
        self._answers, self._jobs, self._run_record = answers, jobs, run_record
        self._show = show
        self.lanes: list[Lane] = []
        """What is in flight, the oldest first."""
        self._broken: list[Lane] = []
        """Lanes whose coroutine was thrown off by a transient error; each begins anew."""
        self.next_call = Spend()
        """The most that the next proposal may cost, where the limits had no room for it."""
        self.has_changed = True
        """Something has begun to wait or has ended: there may be more to begin."""

    def open(self, lane: Lane) -> None:
        """Take a lane in, and step it to its first unknown result."""
        self.lanes.append(lane)
        self.advance(lane, restart=True)

    def advance(self, lane: Lane, result: Any = None, *, restart: bool = False) -> None:
        """Send a result to a lane; run it on to the next command whose result is unknown."""
        if lane in self._broken:
            return  # it begins anew, and finds the result in the ledger
        try:
            self._step(lane, result, restart=restart)
        except TRANSIENT_ERRORS:
            self._broken.append(lane)  # all that it knows is in the ledger
            raise

    def _step(self, lane: Lane, result: Any, *, restart: bool) -> None:
        if restart:
            lane.script, lane.measured, result = lane.begin(), None, None
        assert lane.script is not None
        lane.waits_for = None
        try:
            while True:
                command = lane.script.send(result)
                result = self._answers.answer(lane, command, self._run_record.state)
                if result is UNKNOWN:
                    self._wait_for(lane, command)
                    return
        except StopIteration as ended:
            self._ended(lane, ended.value)
        except EvaluatorError as error:
            self.give_back(lane, error)

    def _wait_for(self, lane: Lane, command: Command[Any]) -> None:
        lane.waits_for = command
        if isinstance(command, ReadLead):
            self._jobs.withdraw(lane)  # whoever measures the lead needs the evaluator
            lane.wait_idly(Phase.WAITING, "waiting until the lead is measured")
            self.has_changed = True

    def resume_waiting(self) -> None:
        """Go on with lanes whose lead is measured by now; drop references of former ones."""
        for lane in list(self.lanes):
            state = self._run_record.state
            if isinstance(lane.waits_for, ReadLead):
                evidence = self._answers.answer(lane, lane.waits_for, state)
                if evidence is not UNKNOWN:
                    lane.work(Phase.EVALUATING)
                    self.advance(lane, evidence)
            elif lane.kind is Kind.REFERENCE and state.lead_or_published(lane.n) is None:
                self.drop(lane)

    def retry_broken(self) -> None:
        """Begin anew what a transient error has thrown off."""
        while self._broken:
            lane = self._broken.pop()
            if lane in self.lanes:
                self._jobs.withdraw_evaluation(lane)
                self.advance(lane, restart=True)

    def distrust_all(self) -> None:
        """Have every lane begin anew, and ask again: what jobs had to tell may be lost."""
        for lane in self.lanes:
            self._jobs.withdraw(lane)
        self._broken = list(self.lanes)

    # Endings.

    def _ended(self, lane: Lane, outcome: Any) -> None:
        lane.work(Phase.RECORDING)
        self._show()  # git is waited for, and may hang
        if isinstance(outcome, Outcome):
            self._record(lane, outcome)
            return
        self.drop(lane)
        self._run_record.measured(lane, outcome)

    def _record(self, lane: Lane, outcome: Outcome, *, given_up: bool = False) -> None:
        """Record an ending, and do what follows from it."""
        experiment = self._run_record.record(lane, outcome, given_up=given_up)
        self.drop(lane)
        self._run_record.follow(experiment)

    def give_back(self, lane: Lane, error: AgentBlockedError | EvaluatorError) -> None:
        """Abort an experiment that can't be finished now, and pause: a person must act."""
        self._jobs.held.add("agent" if isinstance(error, AgentBlockedError) else "evaluator")
        self._run_record.pause(str(error))  # first: a fault in the abort must not lose it
        self.abort(lane, str(error))

    def abort_waiting(self, reason: str) -> None:
        """Abort what waits for an endpoint, say: a person has said stop."""
        for lane in [lane for lane in self.lanes if lane.is_waiting_out()]:
            self.abort(lane, reason)

    def abort(self, lane: Lane, reason: str, *, given_up: bool = False) -> None:
        """Record an experiment that was begun as aborted; what has no number leaves no trace."""
        if lane.n is None or lane.kind is Kind.REFERENCE:
            self.drop(lane)
            return
        self._jobs.withdraw(lane)
        files = self._ledger.files(lane.n)
        candidate = None
        if files is not None:
            candidate = Candidate(files, lane.fingerprint, lane.description, lane.rationale)
        outcome = Outcome(Status.ABORTED, reason, candidate=candidate, description=lane.description)
        self._record(lane, outcome, given_up=given_up)

    def drop(self, lane: Lane) -> None:
        """Take a lane out, with all that it has in hand."""
        self._jobs.withdraw(lane)
        script, lane.script = lane.script, None
        if script is not None:
            script.close()
        if lane in self.lanes:
            self.lanes.remove(lane)
        self.has_changed = True

    # What is in flight.

    def ordinals(self) -> set[int]:
        """Return the ordinals of the proposals in flight."""
        return {lane.ordinal for lane in self.lanes if lane.ordinal is not None}

    def in_flight(self) -> InFlight:
        """Count what is in flight, and what it has cost or may cost."""
        challenges = [lane for lane in self.lanes if lane.kind is Kind.CHALLENGE]
        used = self._jobs.calls.used(RunState())
        return InFlight(
            challenges=len(challenges),
            waiting=sum(isinstance(lane.waits_for, ReadLead) for lane in challenges),
            proposing=sum(isinstance(lane.waits_for, Propose) for lane in challenges),
            baselines=sum(lane.kind is Kind.BASELINE for lane in self.lanes),
            references=sum(lane.kind is Kind.REFERENCE for lane in self.lanes),
            used=used,
            next_call=self.next_call,
        )
