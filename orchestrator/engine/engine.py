"""The engine: plan, begin, step, record, until there is a reason to stop.

Single-threaded: this loop alone writes experiments to the ledger, moves refs and changes the state
of the run. Agents and evaluators are jobs, which it starts and asks for news; experiments are
coroutines, which it steps from one unknown result to the next. A keep and the state that it rests
on are read and written in one step, so no other experiment can come between.
"""

import time
from collections import deque
from typing import Any

from orchestrator.core.clock import later
from orchestrator.core.errors import (
    AgentBlockedError,
    EvaluatorError,
    LedgerError,
    ShortageError,
    StoreError,
)
from orchestrator.core.evaluations import EvaluatorEvent
from orchestrator.core.experiments import StopReason
from orchestrator.core.records import Phase, Status
from orchestrator.core.text import one_line
from orchestrator.engine.answers import UNKNOWN, Answers
from orchestrator.engine.commands import Command, EndEvaluation, Measure, Propose, ReadIncumbent
from orchestrator.engine.dependencies import Dependencies
from orchestrator.engine.display import PAUSED_BY_USER, STOPPED_BY_USER, Waiting, live_facts
from orchestrator.engine.experiment import Candidate, Outcome, Rules
from orchestrator.engine.jobs import Jobs, News
from orchestrator.engine.lane import Kind, Lane
from orchestrator.engine.openings import MOST_RESUMES, Openings
from orchestrator.engine.run_record import RunRecord
from orchestrator.judging.rules import JudgingRules
from orchestrator.planning.planner import (
    Finish,
    InFlight,
    MeasureIncumbent,
    RunBaseline,
    Step,
    Wait,
    next_step,
)
from orchestrator.proposals.agent_events import AgentEvent
from orchestrator.store.open_experiments import OpenExperiment
from orchestrator.store.requests import Request
from sandbox import demand_memory

TRANSIENT_ERRORS = (LedgerError, StoreError, ShortageError, OSError, MemoryError)
"""System errors (disk, descriptors, memory, locks). Retried with back-off, never charged to an
experiment."""
_FIRST_PAUSE_S, _LONGEST_PAUSE_S = 1.0, 60.0
_POLL_S = 0.25
_LEAST_MEMORY_MB = 32


class Engine:
    """Steps the experiments in flight."""

    def __init__(self, parts: Dependencies) -> None:
        config = parts.config
        self._tag, self._config, self._width = parts.run.tag, config, parts.lanes
        self._ledger, self._monitor = parts.ledger, parts.monitor
        self._judging = JudgingRules(config.judge, config.evaluator.seed_count)
        rules = Rules(self._judging, config.agent.max_repairs, tuple(config.integrity.veto))
        self.run_record = RunRecord(parts)
        self._answers = Answers(parts, self._judging)
        self._jobs = Jobs(parts)
        self._openings = Openings(parts, rules)
        self.lanes: list[Lane] = []
        """What is in flight, the oldest first."""
        self._broken: list[Lane] = []
        """Lanes whose coroutine was thrown off by a transient error; each begins anew."""
        self._is_new = True
        """What an earlier daemon began is not taken up yet."""
        self._changed = True
        """Something has ended or was asked for: there may be more to begin."""
        self._ending: StopReason | None = None
        self._shortage: str | None = None
        self._events: deque[tuple[str, AgentEvent | EvaluatorEvent]] = deque()

    # The loop.

    def run(self) -> StopReason:
        """Run until there is a reason to stop; return it. It is also in the ledger."""
        reason = None
        pause_s = _FIRST_PAUSE_S
        while reason is None:
            fault = None
            try:
                reason = self.turn()
                pause_s = _FIRST_PAUSE_S
            except TRANSIENT_ERRORS as error:
                fault = _described(error)
                self.run_record.is_behind = self._changed = True
            if fault:  # out here, where the memory that the turn held is free again
                reason = self._back_off(fault, pause_s)
                pause_s = min(2 * pause_s, _LONGEST_PAUSE_S)
        return self._end(reason)

    def turn(self) -> StopReason | None:
        """Catch up, obey, begin, take in; return a reason to stop."""
        if reason := self._monitor.end_asked():
            return reason
        if self.run_record.is_behind:
            self._catch_up()
        for request in self._ledger.requests():
            self._obey(request)
        self._retry_broken()
        if self._changed and (reason := self._begin_more()):
            return reason
        self._start_jobs()
        self._show()
        self._take_in()
        return None

    def _begin_more(self) -> StopReason | None:
        """Begin whatever may begin now; return why to stop, once nothing is in flight."""
        demand_memory(_LEAST_MEMORY_MB)  # before it is missed half-way
        self._resume_waiting()
        if self._is_disk_low():
            return None
        self._changed = False
        while True:
            in_flight = self._in_flight()
            step = self._next_step(in_flight)
            is_held = self._ending or self.run_record.paused
            if is_held and not (isinstance(step, MeasureIncumbent) and in_flight.waiting):
                return None if self.lanes else self._ending
            if isinstance(step, Wait):
                return None
            if isinstance(step, Finish):
                # What waits for an incumbent that nobody can measure will never end by itself.
                stuck = all(isinstance(lane.waits_for, ReadIncumbent) for lane in self.lanes)
                return step.reason if stuck else None
            self._open(self._openings.lane(step, self.run_record.state, self._taken()))

    def _next_step(self, in_flight: InFlight) -> Step:
        state = self.run_record.state
        return next_step(
            state, self._config.budget, self._config.limits, hours=self.run_record.hours,
            rules=self._judging, evidence=self._answers.evidence(state), in_flight=in_flight,
            lanes=self._width,
        )  # fmt: skip

    def _open(self, lane: Lane) -> None:
        self.lanes.append(lane)
        self._advance(lane, restart=True)

    # Stepping.

    def _advance(self, lane: Lane, result: Any = None, *, restart: bool = False) -> None:
        """Send a result to a lane; run it on to the next command whose result is unknown."""
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
                result = self._answers.answer(lane, command, self.run_record.state)
                if result is UNKNOWN:
                    self._wait_for(lane, command)
                    return
        except StopIteration as ended:
            self._ended(lane, ended.value)
        except EvaluatorError as error:
            self._give_back(lane, error)

    def _wait_for(self, lane: Lane, command: Command[Any]) -> None:
        lane.waits_for = command
        if isinstance(command, ReadIncumbent):
            self._jobs.withdraw(lane)  # whoever measures the incumbent needs the evaluator
            lane.wait_idly(Phase.WAITING, "waiting until the incumbent is measured")
            self._changed = True

    def _resume_waiting(self) -> None:
        """Go on with lanes whose incumbent is measured by now; drop references of former ones."""
        state = self.run_record.state
        for lane in list(self.lanes):
            if isinstance(lane.waits_for, ReadIncumbent):
                evidence = self._answers.answer(lane, lane.waits_for, state)
                if evidence is not UNKNOWN:
                    lane.work(Phase.EVALUATING)
                    self._advance(lane, evidence)
            elif lane.kind is Kind.REFERENCE:
                incumbent = state.incumbent
                if incumbent is None or incumbent.scored_by != lane.n:
                    self._drop(lane)

    def _retry_broken(self) -> None:
        while self._broken:
            lane = self._broken.pop()
            if lane in self.lanes:
                self._jobs.withdraw_evaluation(lane)
                self._advance(lane, restart=True)

    # Jobs.

    def _start_jobs(self) -> None:
        # All wait for the incumbent's numbers: baselines and references are evaluated first.
        for lane in sorted(self.lanes, key=lambda lane: lane.kind is Kind.CHALLENGE):
            command = lane.waits_for
            try:
                if isinstance(command, Propose):
                    self._ask(lane, command)
                elif isinstance(command, Measure | EndEvaluation):
                    self._jobs.evaluate(lane, command)
            except (AgentBlockedError, EvaluatorError) as error:
                self._give_back(lane, error)

    def _ask(self, lane: Lane, command: Propose) -> None:
        if lane.asked is None and "agent" not in self._jobs.held:
            briefing = self.run_record.briefing
            self._jobs.ask(lane, briefing.brief(lane, command.attempts, self.run_record.state))

    def _take_in(self) -> None:
        """Take in what jobs have to tell; wait for it if there is nothing else to do."""
        self._poll()
        if not self._events and not self._changed:
            self._ledger.save_pending(after_s=_POLL_S)
            self._monitor.wait(*self._jobs.waiting_for(_POLL_S))
            self._poll()
        while self._events:
            key, event = self._events[0]
            lane = next((lane for lane in self.lanes if self._jobs.is_of(lane, key)), None)
            news = self._jobs.save(lane, event) if lane else None
            self._events.popleft()  # it is in the ledger; until then it is taken in again
            if lane is not None and news is not None:
                self._follow(lane, news)

    def _poll(self) -> None:
        try:
            self._events += self._jobs.poll()
        except TRANSIENT_ERRORS:
            for lane in self.lanes:  # what was being read may be lost: everything is asked again
                self._jobs.withdraw(lane)
            self._broken = list(self.lanes)
            raise

    def _follow(self, lane: Lane, news: News) -> None:
        """Do what an event means for its lane."""
        if news.fault is not None:
            self._give_back(lane, news.fault)
        elif news.finished is not None:
            self._ending = self._ending or news.finished
            self._abort(lane, news.finished.text)
        elif news.has_result and lane not in self._broken:
            self._advance(lane, news.result)

    # Endings.

    def _ended(self, lane: Lane, outcome: Any) -> None:
        lane.work(Phase.RECORDING)
        self._show()  # git is waited for, and may hang
        if isinstance(outcome, Outcome):
            self._record(lane, outcome)
            return
        self._drop(lane)
        self.run_record.measured(lane, outcome)

    def _record(self, lane: Lane, outcome: Outcome, *, given_up: bool = False) -> None:
        """Record an ending, and do what follows from it."""
        experiment = self.run_record.record(lane, outcome, given_up=given_up)
        self._drop(lane)
        self.run_record.follow(experiment)

    def _give_back(self, lane: Lane, error: AgentBlockedError | EvaluatorError) -> None:
        """Abort an experiment that can't be finished now, and pause: a person must act."""
        self._jobs.held.add("agent" if isinstance(error, AgentBlockedError) else "evaluator")
        self._abort(lane, str(error))
        self.run_record.pause(str(error))

    def _abort(self, lane: Lane, reason: str, *, given_up: bool = False) -> None:
        """Record an experiment that was begun as aborted; what has no number leaves no trace."""
        if lane.n is None or lane.kind is Kind.REFERENCE:
            self._drop(lane)
            return
        self._jobs.withdraw(lane)
        files = self._ledger.files(lane.n)
        candidate = None
        if files is not None:
            candidate = Candidate(files, lane.fingerprint, lane.description, lane.rationale)
        outcome = Outcome(Status.ABORTED, reason, candidate=candidate, description=lane.description)
        self._record(lane, outcome, given_up=given_up)

    def _drop(self, lane: Lane) -> None:
        """Take a lane out, with all that it has in hand."""
        self._jobs.withdraw(lane)
        script, lane.script = lane.script, None
        if script is not None:
            script.close()
        self.lanes.remove(lane)
        self._changed = True

    def _end(self, reason: StopReason) -> StopReason:
        try:
            for lane in list(self.lanes):
                self._abort(lane, reason.text)
            self.run_record.end(reason)
        except TRANSIENT_ERRORS as error:  # the next start records what this one can't
            text = "the end could not be recorded"
            self._monitor.log(text, "error", reason=_described(error))
        return reason

    # Catching up with the ledger: at the start, and after a transient error.

    def _catch_up(self) -> None:
        self.run_record.catch_up()
        opened = self._ledger.open_experiments(self._tag)
        numbers = {experiment.n for experiment in opened}
        for lane in list(self.lanes):
            if lane.n is not None and lane.kind is not Kind.REFERENCE and lane.n not in numbers:
                self._drop(lane)  # it was recorded just when an error came
        if self._is_new:
            self._is_new = False
            for experiment in opened:
                self._take_up(experiment)

    def _take_up(self, opened: OpenExperiment) -> None:
        """Go on with an experiment that an earlier daemon began, or record its abort."""
        step = self._next_step(InFlight())
        why = step.why if isinstance(step, RunBaseline) else ""
        state = self.run_record.state
        lane = self._openings.reopened(opened, state, why)
        self.lanes.append(lane)
        resumes = self._ledger.count_resume(opened.n)
        if resumes > MOST_RESUMES:
            self._give_up(lane, resumes)
        elif why_not := self._openings.why_not_resumed(opened, state, step, self.run_record.tip):
            self._abort(lane, why_not)
        else:
            self._monitor.log("experiment resumed", experiment=opened.n)
            self._advance(lane, restart=True)

    def _give_up(self, lane: Lane, resumes: int) -> None:
        """Abort an experiment that no daemon survives; without a baseline a person must look."""
        died = f"the daemon died {resumes} times in this experiment, at the same step"
        self._abort(lane, f"given up: {died}", given_up=True)
        if lane.kind is Kind.BASELINE:
            self.run_record.pause(
                f"{died} (#{lane.n}, a baseline): see logs/daemon.jsonl and logs/daemon.out, "
                "then `autorl-daemon resume` tries again"
            )

    # What people ask for.

    def _obey(self, request: Request) -> None:
        """Do what a person asked."""
        if request.kind == "accept" and any(lane.kind is Kind.BASELINE for lane in self.lanes):
            return  # it stays in the queue: a baseline is of the incumbent that it began with
        self._ledger.drop_requests(request.kind, up_to=request.id)
        self._changed = True
        match request.kind:
            case "stop":
                self._ending = STOPPED_BY_USER
                for lane in [lane for lane in self.lanes if lane.is_waiting_out()]:
                    self._abort(lane, STOPPED_BY_USER.text)  # nobody knows how long it takes
            case "pause":
                self.run_record.pause(PAUSED_BY_USER)
            case "resume":
                self._jobs.held.clear()
                self.run_record.resume()
            case "accept":
                self.run_record.accept(int(request.argument or 0))

    # Small things.

    def _taken(self) -> set[int]:
        return {lane.ordinal for lane in self.lanes if lane.ordinal is not None}

    def _in_flight(self) -> InFlight:
        """Count what is in flight; a proposal not answered yet may cost as much as any before."""
        challenges = [lane for lane in self.lanes if lane.kind is Kind.CHALLENGE]
        spent = [self._ledger.spent(lane.n) for lane in challenges if lane.n is not None]
        past = self.run_record.briefing.history
        unanswered = len(challenges) - len(spent)
        most_tokens = max((e.tokens.total for e in past), default=0)
        most_usd = max((e.cost_usd or 0.0 for e in past), default=0.0)
        return InFlight(
            challenges=len(challenges),
            waiting=sum(isinstance(lane.waits_for, ReadIncumbent) for lane in challenges),
            baselines=sum(lane.kind is Kind.BASELINE for lane in self.lanes),
            references=sum(lane.kind is Kind.REFERENCE for lane in self.lanes),
            tokens=sum(tokens.total for tokens, _ in spent) + unanswered * most_tokens,
            cost_usd=sum(cost or 0.0 for _, cost in spent) + unanswered * most_usd,
        )

    def _is_disk_low(self) -> bool:
        """While the disk is nearly full nothing is begun; what is in flight goes on."""
        shortage = self.run_record.low_disk()
        if shortage and not self._shortage:
            self._monitor.log("waiting", level="warning", reason=shortage)
        self._shortage = shortage
        if shortage and not self.lanes:
            self._show()
            self._monitor.wait((), _POLL_S)
        return shortage is not None

    def _show(self, fault: Waiting | None = None) -> None:
        if fault is None and self._shortage:
            fault = Waiting(self._shortage, later(self._monitor.now(), _POLL_S))
        facts = live_facts(
            self.lanes, self.run_record.state, now_s=time.monotonic(),
            paused=self.run_record.paused, ending=self._ending, waiting=fault,
        )  # fmt: skip
        self._monitor.show(facts)

    def _back_off(self, fault: str, seconds: float) -> StopReason | None:
        """Wait until a transient error may have passed; return a reason to end meanwhile."""
        try:
            self._monitor.log("waiting", level="warning", reason=fault, seconds=round(seconds, 1))
            self._show(Waiting(fault, later(self._monitor.now(), seconds)))
            deadline = time.monotonic() + seconds
            while (left := deadline - time.monotonic()) > 0:
                if reason := self._monitor.end_asked():
                    return reason
                self._monitor.wait((), min(left, _POLL_S))
        except MemoryError:  # not even for a word about it
            time.sleep(_FIRST_PAUSE_S)
        return None


def _described(error: Exception) -> str:
    """Return a transient error in one line, with what happens next."""
    return one_line(f"{str(error) or type(error).__name__}; goes on by itself when it is over", 500)
