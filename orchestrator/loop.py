"""The loop: plan, make one experiment, and again, until there is a reason to stop."""

import time
from typing import Any

from orchestrator.bench import Bench, Fittings
from orchestrator.decide import Finish, RunBaseline, RunChallenge, RunState, next_step, replay
from orchestrator.errors import (
    AgentBlockedError,
    AgentFinishedError,
    ConflictError,
    EvaluatorError,
    LedgerError,
    StopRequestedError,
    UserError,
)
from orchestrator.ledger import OpenExperiment, Request
from orchestrator.records import Experiment, Phase
from orchestrator.text import one_line

STOPPED_BY_USER = "stopped by the user"
_PAUSED_POLL_S = 0.5
_LEDGER_PAUSE_S = 5.0


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
        tag = fittings.run.tag
        past = replay(self._ledger.experiments(tag), self._ledger.accepts(tag))
        self.state: RunState = past.at_start()
        self._to_resume: OpenExperiment | None = None

    def run(self) -> str:
        """Run until there is a reason to stop; return it. It is also in the ledger."""
        reason = None
        try:
            self._recover()
            while reason is None:
                try:
                    reason = self.turn()
                except LedgerError as error:  # it may pass: a reader in the way, a full disk
                    self._host.wait(str(error), _LEDGER_PAUSE_S)
                    self._take_up("its end could not be recorded")
        except StopRequestedError as error:
            reason = str(error)
            self._abandon(reason)
        self._count_time()
        self._ledger.set_stop_reason(self._run.tag, reason)
        return reason

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
        opened, self._to_resume = self._to_resume, None
        if opened is None:
            self._abandon("it was begun and could not be finished")
        budget, limits = self._config.budget, self._config.limits
        try:
            match next_step(self.state, budget, limits, hours=self._hours()):
                case Finish(reason):
                    return reason
                case RunBaseline(rung, why):
                    self._bench.baseline(self.state, rung, why)
                case RunChallenge(rung):
                    self._bench.challenge(self.state, rung, opened)
        except AgentFinishedError as error:
            return str(error)
        except (AgentBlockedError, ConflictError, EvaluatorError) as error:
            self._abandon(str(error))
            self._pause(str(error))
        return None

    def _recorded(self, experiment: Experiment) -> None:
        """Take note of an experiment that is now in the ledger."""
        before, self.state = self.state, self.state.after(experiment)
        self._count_time()
        self._show_state()
        self._host.log("experiment finished", **_log_facts(experiment))
        if self.state.rung != before.rung and before.rung is not None:
            self._host.log("climbed", rung=str(self.state.rung), reason=experiment.description)
        self._branch.follow(experiment, before, self.state)

    def _recover(self) -> None:
        """Finish what a killed daemon left: go on from a recorded reply, else record an abort."""
        self._show_state()
        self._bench.catch_up()
        try:
            self._branch.sync(self.state)
        except ConflictError as error:
            self._pause(str(error))
        self._take_up("the daemon was killed during this experiment")

    def _take_up(self, reason: str) -> None:
        """Go on with an experiment that was begun, if its reply is there; else record its abort."""
        for opened in self._ledger.open_experiments(self._run.tag):
            has_reply = not opened.is_baseline and self._ledger.replies(opened.n)
            if has_reply and opened.rung == self.state.rung:
                self._host.log("experiment resumed", experiment=opened.n)
                self._to_resume = opened
            else:
                self._bench.abandon(self.state, opened, reason)

    def _abandon(self, reason: str) -> None:
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
