"""The loop: plan, make one experiment, and again, until there is a reason to stop."""

import time
from collections.abc import Callable
from typing import Any

from orchestrator.core.errors import (
    AgentBlockedError,
    AgentFinishedError,
    ConflictError,
    EvaluatorError,
    LedgerError,
    ShortageError,
    StopRequestedError,
    StoreError,
    UserError,
)
from orchestrator.core.experiments import Experiment
from orchestrator.core.records import Phase
from orchestrator.core.text import one_line
from orchestrator.engine.bench import Bench
from orchestrator.engine.fittings import Fittings
from orchestrator.judging.incumbent import UNMEASURED, IncumbentEvidence, incumbent_evidence
from orchestrator.planning.planner import (
    Finish,
    MeasureIncumbent,
    RunBaseline,
    RunChallenge,
    Step,
    next_step,
)
from orchestrator.planning.state import RunState, replay
from orchestrator.store.ledger import GIVEN_UP, OpenExperiment, Request
from orchestrator.store.retention import Retention
from sandbox import demand_memory

STOPPED_BY_USER = "stopped by the user"
_PAUSED_POLL_S = 0.5
_FIRST_FAULT_PAUSE_S, _LONGEST_FAULT_PAUSE_S = 1.0, 60.0
_DISK_POLL_S = 5.0
_LEAST_MEMORY_MB = 32
# The world's faults: a full or read-only disk, no descriptors, no memory or processes, a reader in
# the way. Nobody's experiment is to blame, and they may pass.
_FAULTS = (LedgerError, StoreError, ShortageError, OSError, MemoryError)
MOST_RESUMES = 3
"""Starts that go on with an experiment in which a daemon died, without a step forward between."""


class Loop:
    """A run: its state, and the one way to change it."""

    def __init__(self, fittings: Fittings) -> None:
        self._run = fittings.run
        self._config = fittings.config
        self._ledger = fittings.ledger
        self._branch = fittings.branch
        self._host = fittings.host
        self._bench = Bench(fittings, self._recorded)
        self._began = time.monotonic()
        self._counted_s = 0.0
        self._paused = fittings.run.pause_reason
        self.state: RunState = self._recorded_state()
        self._to_resume: OpenExperiment | None = None
        self._inherited = {opened.n for opened in self._ledger.open_experiments(self._run.tag)}
        self._upkeep = Retention(fittings.workspace, fittings.config, self._ledger.accepted)

    def run(self) -> str:
        """Run until there is a reason to stop; return it. It is also in the ledger."""
        reason = None
        unfinished: str | None = "the daemon was killed during this experiment"
        pause_s = _FIRST_FAULT_PAUSE_S
        try:
            while reason is None:
                fault = None
                try:
                    demand_memory(_LEAST_MEMORY_MB)  # before it is missed half-way
                    if unfinished:
                        self._recover(unfinished)
                        unfinished = None
                    reason = self.turn()
                    pause_s = _FIRST_FAULT_PAUSE_S
                except _FAULTS as error:
                    fault = _words(error)
                if fault:  # out here, where the memory that the turn held is free again
                    self._sit_out(fault, pause_s)
                    pause_s = min(2 * pause_s, _LONGEST_FAULT_PAUSE_S)
                    unfinished = unfinished or "its end could not be recorded"
        except StopRequestedError as error:
            reason = str(error)
        try:
            self._abandon(reason)
            self._count_time()
            self._ledger.set_stop_reason(self._run.tag, reason)
        except _FAULTS as error:  # the next start records what this one can't
            self._host.log("the end could not be recorded", "error", reason=_words(error))
        return reason

    def _sit_out(self, fault: str, seconds: float) -> None:
        try:
            self._host.wait(fault, seconds)
        except MemoryError:  # not even for a word about it
            time.sleep(_FIRST_FAULT_PAUSE_S)

    def turn(self) -> str | None:
        """Do one thing: a request, a wait while paused, or one experiment. Return why to stop."""
        self._host.wait("", 0)  # alive; and the place where `stop --now` ends a busy run
        for request in self._ledger.requests():
            if (reason := self._obey(request)) is not None:
                return reason
        if self._paused:
            self._host.show(Phase.PAUSED, reason=self._paused)
            self._host.wait("", _PAUSED_POLL_S)
            return None
        self._host.show(Phase.PLANNING, reason="")
        if shortage := self._upkeep.shortage():
            self._host.wait(shortage, _DISK_POLL_S)
            return None
        budget, limits = self._config.budget, self._config.limits
        rules, known = self._config.judge, self._known()
        step = next_step(self.state, budget, limits, hours=self._hours(), rules=rules, known=known)
        if isinstance(step, MeasureIncumbent):
            self._measure(step)
            return None
        opened, self._to_resume = self._to_resume, None
        if opened is None or not _continues(step, opened, self._branch.tip(self.state)):
            self._abandon("it was begun and could not be finished")
            opened = None
        match step:
            case Finish(reason):
                return reason
            case RunBaseline(rung, why):
                return self._do(lambda: self._bench.baseline(self.state, rung, why, opened))
            case RunChallenge(rung):
                reference = None if rules.rule == "naive" else known
                return self._do(lambda: self._bench.challenge(self.state, rung, reference, opened))

    def _measure(self, step: MeasureIncumbent) -> None:
        """Measure the incumbent; what is open meanwhile stays open."""
        try:
            self._bench.measure(self.state, step)
        except EvaluatorError as error:
            self._pause(str(error))
        self._count_time()

    def _do(self, work: Callable[[], None]) -> str | None:
        """Do one step; return why to stop, pause if a person must act first."""
        try:
            work()
        except AgentFinishedError as error:
            return str(error)
        except (AgentBlockedError, ConflictError, EvaluatorError) as error:
            self._abandon(str(error))
            self._pause(str(error))
        return None

    def _known(self) -> IncumbentEvidence:
        """Return what the references say of the incumbent."""
        incumbent = self.state.incumbent
        if incumbent is None or self._config.judge.rule == "naive":
            return UNMEASURED
        n, rung = incumbent.scored_by, self.state.rung
        if n is None or rung is None:
            return UNMEASURED
        references = self._ledger.references_at(self._run.tag, rung)
        references[n] = self._ledger.reference(n, rung)
        challengers = self._ledger.confirmations(self._run.tag, rung)
        return incumbent_evidence(references, n, self._ledger.screen(n, rung), challengers)

    def _recorded(self, experiment: Experiment) -> None:
        """Take note of an experiment that is now in the ledger."""
        before, self.state = self.state, self.state.after(experiment)
        self._count_time()
        self._show_state()
        self._host.log("experiment finished", **_log_facts(experiment))
        if self.state.rung != before.rung and before.rung is not None:
            self._host.log("climbed", rung=str(self.state.rung), reason=experiment.description)
        if removed := self._upkeep.wrote(experiment.n):
            self._host.log("old experiment folders removed", experiments=removed)
        self._branch.follow(experiment, before, self.state)

    def _recorded_state(self) -> RunState:
        """Return the run's state as the ledger has it."""
        tag = self._run.tag
        past = replay(self._ledger.experiments(tag), self._ledger.accepts(tag))
        return past.at_start()

    def _recover(self, reason: str) -> None:
        """Finish what a kill or a fault left: go on from a recorded reply, else record an abort."""
        self.state = self._recorded_state()
        self._show_state()
        self._bench.catch_up()
        try:
            self._branch.sync(self.state)
        except ConflictError as error:
            self._pause(str(error))
        self._take_up(reason)

    def _take_up(self, reason: str) -> None:
        """Go on with an experiment that was begun; without a reply, record its abort."""
        for opened in self._ledger.open_experiments(self._run.tag):
            resumes = self._resumes(opened.n)
            if resumes > MOST_RESUMES:
                self._give_up(opened, resumes)
            elif opened.is_baseline or self._ledger.replies(opened.n):
                self._host.log("experiment resumed", experiment=opened.n)
                self._to_resume = opened
            else:
                self._bench.abandon(self.state, opened, reason)

    def _resumes(self, n: int) -> int:
        """Count a resume of what an earlier daemon began; what a fault of today left is none."""
        if n not in self._inherited:
            return 0
        self._inherited.discard(n)
        return self._ledger.count_resume(n)

    def _give_up(self, opened: OpenExperiment, resumes: int) -> None:
        """Abort an experiment that no daemon survives; without a baseline a person must look."""
        died = f"the daemon died {resumes} times in this experiment, at the same step"
        self._bench.abandon(self.state, opened, GIVEN_UP + died)
        if opened.is_baseline:
            self._pause(
                f"{died} (#{opened.n}, a baseline): see logs/daemon.jsonl and logs/daemon.out, "
                "then `autorl-daemon resume` tries again"
            )

    def _abandon(self, reason: str) -> None:
        self._to_resume = None
        for opened in self._ledger.open_experiments(self._run.tag):
            self._bench.abandon(self.state, opened, reason)

    # What people ask for.

    def _obey(self, request: Request) -> str | None:
        """Do what a person asked; return a reason to stop."""
        self._ledger.drop_requests(request.kind, up_to=request.id)
        match request.kind:
            case "stop":
                return STOPPED_BY_USER
            case "pause":
                self._pause("paused by the user")
            case "resume":
                self._resume()
            case "accept":
                self._accept(int(request.argument or 0))
        return None

    def _pause(self, reason: str) -> None:
        self._paused = one_line(reason, 500)
        self._ledger.set_pause_reason(self._run.tag, self._paused)
        self._host.show(Phase.PAUSED, reason=self._paused)
        self._host.log("paused", "warning", reason=self._paused)

    def _resume(self) -> None:
        self._paused = None
        self._ledger.set_pause_reason(self._run.tag, None)
        self._host.log("resumed")
        try:
            self._branch.sync(self.state)
        except ConflictError as error:
            self._pause(str(error))

    def _accept(self, n: int) -> None:
        try:
            self._branch.accept(n, self._host.now())
        except (UserError, ConflictError) as error:
            self._host.log("accept refused", "warning", experiment=n, reason=str(error))
            return
        self.state = self.state.after_accept(self._ledger.accepts(self._run.tag)[-1])
        self._host.log("accepted by a human", experiment=n)
        self._show_state()

    # Time and display.

    def _hours(self) -> float:
        return (self._run.seconds + time.monotonic() - self._began) / 3600

    def _count_time(self) -> None:
        running_s = time.monotonic() - self._began
        self._ledger.add_seconds(self._run.tag, running_s - self._counted_s)
        self._counted_s = running_s

    def _show_state(self) -> None:
        incumbent = self.state.incumbent
        self._host.show(
            Phase.PLANNING,
            rung=self.state.rung._asdict() if self.state.rung else None,
            best_score=incumbent.score if incumbent else None,
            incumbent=incumbent.n if incumbent else None,
            experiment=None,
            description=None,
            progress=None,
        )


def _continues(step: Step, opened: OpenExperiment, tip: str) -> bool:
    """Is an experiment that was begun the one that is due, with the incumbent's commit as it is?"""
    match step:
        case RunBaseline(rung):
            # A baseline scores the incumbent, and a person may have made another the incumbent.
            return opened.is_baseline and opened.rung == rung and opened.parent == tip
        case RunChallenge(rung):
            return not opened.is_baseline and opened.rung == rung
    return False


def _words(error: Exception) -> str:
    """Return a fault in one line, with what it means for the run."""
    return one_line(f"{str(error) or type(error).__name__}; goes on by itself when it is over", 500)


def _log_facts(experiment: Experiment) -> dict[str, Any]:
    return {
        "experiment": experiment.n,
        "status": experiment.status.value,
        "score": experiment.score,
        "rung": str(experiment.rung),
        "agent": experiment.agent,
        "description": experiment.description,
        "reason": one_line(experiment.reason, 500),
        "flags": list(experiment.flags),
        "commit": experiment.commit,
        "evaluator_s": experiment.seconds.evaluator,
        "agent_s": experiment.seconds.agent,
        "overhead_s": experiment.seconds.overhead,
    }
