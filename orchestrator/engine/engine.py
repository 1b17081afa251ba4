"""The engine: plan, begin, step, record, until there is a reason to stop.

Single-threaded: this loop alone writes experiments to the ledger, moves refs and changes the state
of the run. Agents and evaluators are jobs, which it starts and asks for news; experiments are
coroutines, which it steps from one unknown result to the next. A keep and the state that it rests
on are read and written in one step, so no other experiment can come between.
"""

import time

from orchestrator.core.clock import later
from orchestrator.core.errors import AgentBlockedError, EvaluatorError
from orchestrator.core.experiments import StopReason
from orchestrator.core.spending import Spend
from orchestrator.engine.answers import Answers
from orchestrator.engine.asking import Asking
from orchestrator.engine.back_off import (
    FIRST_PAUSE_S,
    LONGEST_PAUSE_S,
    TRANSIENT_ERRORS,
    back_off,
    described,
)
from orchestrator.engine.commands import AskReviewer, EndEvaluation, Measure, Propose
from orchestrator.engine.dependencies import Dependencies
from orchestrator.engine.display import PAUSED_BY_USER, STOPPED_BY_USER, Waiting, live_facts
from orchestrator.engine.jobs import Jobs
from orchestrator.engine.lane import Kind, Lane
from orchestrator.engine.news import News
from orchestrator.engine.openings import Openings
from orchestrator.engine.outcome import Rules
from orchestrator.engine.resuming import Resuming
from orchestrator.engine.run_record import RunRecord
from orchestrator.engine.steering import Steering
from orchestrator.engine.stepper import Stepper
from orchestrator.judging.lead import next_move
from orchestrator.judging.rules import JudgingRules
from orchestrator.planning.planner import Finish, InFlight, RunBaseline, Step, Wait, next_step
from orchestrator.planning.seeds import MeasureCandidate
from orchestrator.store.requests import MEASURE, PROPOSE, Request
from sandbox import demand_memory

_POLL_S = 0.25
_LEAST_MEMORY_MB = 32


class Engine:
    """One run, turn by turn."""

    def __init__(self, parts: Dependencies) -> None:
        config = parts.config
        self._tag, self._config, self._width = parts.run.tag, config, parts.lanes
        self._ledger, self._monitor = parts.ledger, parts.monitor
        self._judging = JudgingRules(config.judge, config.evaluator.seed_count)
        self._has_world = parts.world is not None
        self.run_record = RunRecord(parts)
        self._answers = Answers(parts, self._judging)
        self._jobs = Jobs(parts)
        self._openings = Openings(parts, self._rules())
        self._reread = parts.reload
        self._stepper = Stepper(parts, self._answers, self._jobs, self.run_record, self._show)
        self._resuming = Resuming(
            parts, self._openings, self._stepper, self.run_record, self._next_step
        )
        self._steering = Steering(parts, self.run_record, self._answers, self._judging)
        self._asking = Asking(parts, self._answers, self._jobs, self._stepper, self.run_record)
        self._ending: StopReason | None = None
        self._shortage: str | None = None
        self._last_proposal = 0

    @property
    def lanes(self) -> list[Lane]:
        """What is in flight, the oldest first."""
        return self._stepper.lanes

    # The loop.

    def run(self) -> StopReason:
        """Run until there is a reason to stop; return it. It is also in the ledger."""
        reason = None
        pause_s = FIRST_PAUSE_S
        while reason is None:
            fault = None
            try:
                reason = self.turn()
                pause_s = FIRST_PAUSE_S
            except TRANSIENT_ERRORS as error:
                fault = described(error)
                self.run_record.is_behind = self._stepper.has_changed = True
            if fault:  # out here, where the memory that the turn held is free again
                reason = back_off(fault, pause_s, self._monitor, self._ledger, self._show)
                pause_s = min(2 * pause_s, LONGEST_PAUSE_S)
        return self._end(reason)

    def turn(self) -> StopReason | None:
        """Catch up, obey, begin, take in; return a reason to stop."""
        if reason := self._monitor.end_asked():
            return reason
        if self.run_record.is_behind:
            self._catch_up()
        if self._monitor.reload_asked():
            self._reload()
        for request in self._ledger.requests():
            self._obey(request)
        self._stepper.retry_broken()
        if self._ending == STOPPED_BY_USER:
            self._stepper.abort_waiting(STOPPED_BY_USER.text)
        if self._stepper.has_changed and (reason := self._begin_more()):
            return reason
        self._start_jobs()
        self._show()
        self._take_in()
        return None

    def _begin_more(self) -> StopReason | None:
        """Begin whatever may begin now; return why to stop, once nothing is in flight."""
        demand_memory(_LEAST_MEMORY_MB)  # before it is missed half-way
        self._move_lead()
        self._stepper.resume_waiting()
        if self._is_disk_low():
            return None if self.lanes else self._ending
        self._stepper.has_changed = False
        while self._resuming.is_alone and not self.lanes and not self._ending:
            self._resuming.take_up_all(self._ledger.open_experiments(self._tag))
        while True:
            in_flight = self._stepper.in_flight()
            step = self._next_step(in_flight)
            if isinstance(step, Wait):
                return None  # something is in flight
            if self._is_held(step, in_flight):
                if not self.lanes:
                    return self._ending
                # What waits for an incumbent that nobody can measure will never end by itself.
                if self._ending and in_flight.waiting == in_flight.total:
                    return step.reason if isinstance(step, Finish) else self._ending
                return None
            if isinstance(step, Finish):
                return step.reason
            state, taken = self.run_record.state, self._stepper.ordinals()
            self._stepper.open(self._openings.lane(step, state, taken))

    def _move_lead(self) -> None:
        """Have the lead go back, or be proven, as often as the evidence asks for it."""
        while move := next_move(self._answers.evidence(self.run_record.state), self._judging):
            self.run_record.move(move)

    def _is_held(self, step: Step, in_flight: InFlight) -> bool:
        """Must a step not be taken now? What was begun is judged, in a run that ends too."""
        if not (self._ending or self.run_record.paused or self._resuming.is_alone):
            return False
        needed = MeasureCandidate if self.run_record.paused else MeasureCandidate | RunBaseline
        return not (in_flight.waiting and isinstance(step, needed))

    def _next_step(self, in_flight: InFlight) -> Step:
        state = self.run_record.state
        return next_step(
            state, self._config.budget, self._config.limits, hours=self.run_record.hours,
            rules=self._judging, evidence=self._answers.evidence(state), in_flight=in_flight,
            lanes=self._width, wanted=self._steering.wanted,
        )  # fmt: skip

    # Jobs.

    def _start_jobs(self) -> None:
        # All wait for the incumbent's numbers: baselines and references are evaluated first.
        for lane in sorted(self.lanes, key=lambda lane: lane.kind is Kind.CHALLENGE):
            command = lane.waits_for
            if self._ending and self._jobs.is_held(lane):
                self._stepper.abort(lane, self._ending.text)  # nobody knows when a person acts
                continue
            try:
                if isinstance(command, Propose):
                    self._asking.propose(lane, command)
                elif isinstance(command, AskReviewer):
                    self._asking.review(lane, command)
                elif isinstance(command, Measure | EndEvaluation):
                    self._jobs.evaluate(lane, command)
            except (AgentBlockedError, EvaluatorError) as error:
                self._stepper.give_back(lane, error)

    def _take_in(self) -> None:
        """Take in what jobs have to tell; wait for it if there is nothing else to do."""
        self._poll()
        if not self._jobs.events and (self._shortage or not self._stepper.has_changed):
            self._ledger.save_pending(after_s=_POLL_S)
            self._monitor.wait(*self._jobs.waiting_for(_POLL_S))
            self._poll()
        while events := self._jobs.events:
            key, event = events[0]
            lane = next((lane for lane in self.lanes if lane.has_in_hand(key)), None)
            news = self._jobs.save(lane, event) if lane else None
            events.popleft()  # it is in the ledger; until then it is taken in again
            if lane is not None and news is not None:
                self._follow(lane, news)

    def _poll(self) -> None:
        try:
            self._jobs.poll()
        except TRANSIENT_ERRORS:
            self._jobs.events.clear()  # their jobs are asked again, by the same keys
            self._stepper.distrust_all()
            raise

    def _follow(self, lane: Lane, news: News) -> None:
        """Do what an event means for its lane."""
        if news.fault is not None:
            self._stepper.give_back(lane, news.fault)
        elif news.finished is not None:
            self._ending = self._ending or news.finished
            self._stepper.abort(lane, news.finished.text)
        elif news.has_result:
            if self._stepper.next_call != Spend():
                self._stepper.has_changed = True  # it may have cost less than was reserved
            self._stepper.advance(lane, news.result)

    # Catching up with the ledger: at the start, and after a transient error.

    def _catch_up(self) -> None:
        self.run_record.catch_up()
        calls = [lane.call for lane in self.lanes if lane.call is not None]
        self._ledger.break_off_calls(self._tag, besides=calls)
        opened = self._ledger.open_experiments(self._tag)
        numbers = {experiment.n for experiment in opened}
        for lane in list(self.lanes):
            if lane.n is not None and lane.kind is not Kind.REFERENCE and lane.n not in numbers:
                self._stepper.drop(lane)  # it was recorded just when an error came
        self._resuming.take_up_all(opened)

    # What people ask for, and the end.

    def _obey(self, request: Request) -> None:
        if request.kind == PROPOSE:  # it stays in the queue until a lane is free for it
            self._stepper.has_changed |= request.id > self._last_proposal
            self._last_proposal = max(self._last_proposal, request.id)
            return
        if request.kind == MEASURE:  # likewise, until the seeds are there
            self._stepper.has_changed |= self._steering.measure(request)
            return
        if request.kind == "accept" and any(lane.kind is Kind.BASELINE for lane in self.lanes):
            return  # it stays in the queue: a baseline is of the incumbent that it began with
        match request.kind:
            case "accept":
                self.run_record.accept(int(request.argument or 0))
            case "reload":
                self._reload()
            case "prune":
                self._steering.prune(request)
            case "stop":
                self._ending = STOPPED_BY_USER
            case "pause":
                self.run_record.pause(PAUSED_BY_USER)
            case "resume":
                self._jobs.held.clear()
                self.run_record.resume()
        self._stepper.has_changed = True
        self._show()  # what waits for something in flight stays in sight
        # Last: a fault before it leaves the request in the queue, and twice does no harm.
        self._ledger.drop_requests(request.kind, up_to=request.id)

    def _reload(self) -> None:
        """Reread the configuration; what began with the former one ends with it."""
        reloaded = self._reread(self.run_record.state.rung)
        if reloaded is not None:
            self._config, self._width = reloaded.config, reloaded.lanes
            self._openings.rules = self._rules()
            self.run_record.configure(reloaded.config)
            self._asking.configure(reloaded.config)
            self._stepper.has_changed = True

    def _rules(self) -> Rules:
        return Rules.of(self._config, self._judging, has_world=self._has_world)

    def _end(self, reason: StopReason) -> StopReason:
        try:
            for lane in list(self.lanes):
                self._stepper.abort(lane, reason.text)
            self.run_record.end(reason)
        except TRANSIENT_ERRORS as error:  # the next start records what this one can't
            self._monitor.log("the end could not be recorded", "error", reason=described(error))
        return reason

    # Waiting.

    def _is_disk_low(self) -> bool:
        """While the disk is nearly full nothing is begun; what is in flight goes on."""
        shortage = self.run_record.low_disk()
        if shortage and not self._shortage:
            self._monitor.log("waiting", level="warning", reason=shortage)
        self._shortage = shortage
        return shortage is not None

    def _show(self, fault: Waiting | None = None) -> None:
        if fault is None and self._shortage:
            fault = Waiting(self._shortage, later(self._monitor.now(), _POLL_S))
        facts = live_facts(
            self.lanes, self.run_record.state, now_s=time.monotonic(),
            paused=self.run_record.paused, ending=self._ending, waiting=fault,
        )  # fmt: skip
        self._monitor.show(facts)
