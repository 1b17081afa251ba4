"""Kills a daemon at the k-th state-changing system call of an experiment, restarts it, and checks."""

import contextlib
import os
import pickle
import shutil
import signal
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import BinaryIO

from tests.crash.checks import Recorded, of_the_user, read_ledger, violations
from tests.crash.scenarios import Model, Place, Run, Scenario, arrange, daemon, replies
from tests.crash.tracer import Call, trace

_LEFTOVERS_S = 15.0


class Mode(StrEnum):
    """Who dies."""

    DAEMON = "daemon"
    """The daemon; a git command or evaluator of its goes on to its own end."""
    CALLER = "caller"
    """The child of the daemon's that makes the call; the daemon lives."""
    ALL = "all"
    """Daemon and children at once, in the middle of a child's call."""


@dataclass(frozen=True)
class Life:
    """A daemon's traced life."""

    calls: list[tuple[bool, str]]
    """Whether the daemon itself made it, and which call it was."""
    exit_code: int
    pid: int


@dataclass(frozen=True)
class Point:
    """Where to kill: at which call of the first life, and perhaps of the second."""

    mode: Mode
    calls: tuple[int, ...]


@dataclass(frozen=True)
class Outcome:
    """What was killed where, and what was found afterwards."""

    kills: list[str]
    violations: list[str]


class Rig:
    """One scenario, made ready once, and copied for every point."""

    def __init__(self, scenario: Scenario, folder: Path, model: Model) -> None:
        self.scenario = scenario
        self._folder = folder
        self._model = model
        self._template = arrange(scenario, folder / "template")
        self._environment: dict[str, str] = {}
        if scenario.by_model:
            # A model has no last reply: a limit ends the run.
            self._environment = {
                "AUTORL_AGENT__BASE_URL": model.url, "AUTORL_LIMITS__EXPERIMENTS": "1",
            }  # fmt: skip
        self._replies = replies(scenario, self._template)
        place = self._copy("uninterrupted")
        with self._running(place, None, Mode.DAEMON) as life:
            self.calls = life.calls
        """The calls of an uninterrupted run."""
        uninterrupted = read_ledger(place)
        self._expected = uninterrupted.outcome()
        self._evaluations = _evaluations(place)
        wrong = list(violations(place, uninterrupted, self._expected))
        assert not wrong, wrong
        shutil.rmtree(place.folder)

    def points(self, mode: Mode) -> list[int]:
        """Return the numbers of the calls at which killing in this mode is a case of its own."""
        if mode is Mode.DAEMON:
            return list(range(len(self.calls)))
        return [k for k, (by_daemon, _) in enumerate(self.calls) if not by_daemon]

    def kill(self, point: Point) -> Outcome:
        """Kill, restart (and kill, and restart), and check."""
        place = self._copy("-".join(map(str, (point.mode, *point.calls))))
        user = of_the_user(place)
        snapshots = [read_ledger(self._template)]
        where, struck_daemon = [], False
        asked, by = 0, 0
        for k in point.calls:
            with self._running(place, k, point.mode) as life:
                if len(life.calls) > k:
                    where.append(life.calls[k][1])
                    struck_daemon |= life.calls[k][0]
                by = life.pid
                if life.exit_code != 0:
                    snapshots.append(read_ledger(place))
                    asked, by = self._model.asked, 0
                if by == 0 and len(where) == len(point.calls):
                    last = Run(place, self._environment)
                    by = last.pid
                    if (code := last.wait()) != 0:
                        return Outcome(where, [f"the restart gave {code}: {_tail(place)}"])
            if by:
                break
        found = [fault for past in snapshots for fault in violations(place, past, self._expected)]
        found += self._paid_twice(place, snapshots[-1], by, asked, has_lived=len(snapshots) == 1)
        # What git is killed in comes after the evaluation, or before it: none is run again.
        again = _evaluations(place) - self._evaluations
        if not 0 <= again <= sum(".git/" not in kill for kill in where):
            found.append(f"{again} evaluations more than uninterrupted")
        # A heartbeat may come earlier or later than in the uninterrupted run, so that the call is one
        # of the daemon's own: it is dead then, and by right.
        if point.mode is Mode.CALLER and len(snapshots) > 1 and not struck_daemon:
            found.append("the daemon did not outlive its child")
        if of_the_user(place) != user:
            found.append("something of the user's has changed")
        if not found:
            shutil.rmtree(place.folder)
        return Outcome(where, list(dict.fromkeys(found)))

    def _paid_twice(
        self, place: Place, before: Recorded, pid: int, asked: int, *, has_lived: bool
    ) -> Iterator[str]:
        """Yield what the last daemon did again though it was recorded: evaluations, questions.

        Args:
            place: the workspace.
            before: what was recorded when that daemon began.
            pid: that daemon.
            asked: how often the model had been asked by then.
            has_lived: nothing of it was killed but a child, whose work it may have had done again.
        """
        after = read_ledger(place)
        evaluations = place.evaluations.read_text().split().count(str(pid))
        needed = after.evaluations - before.evaluations
        if not needed <= evaluations <= needed + has_lived:
            yield f"{evaluations} evaluations, {needed} were not recorded before"
        questions, answers = self._model.asked - asked, len(after.replies) - len(before.replies)
        if self.scenario.by_model and questions != answers:
            yield f"the model was asked {questions} times for {answers} replies"

    def _copy(self, name: str) -> Place:
        place = self._template.copy(self._folder / name)
        self._model.serve(place, self._replies)
        return place

    @contextlib.contextmanager
    def _running(self, place: Place, at: int | None, mode: Mode) -> Iterator[Life]:
        """Run a daemon under a tracer of its own; the block begins when the daemon has ended.

        The tracer stays with what the daemon left behind, and the block's end waits for that.
        """
        read, write = os.pipe()
        tracer = os.fork()
        if tracer == 0:
            try:
                os.close(read)
                with os.fdopen(write, "wb") as pipe:
                    _be_tracer(place, self._environment, at, mode, pipe)
            finally:
                os._exit(0)
        os.close(write)
        watchdog = threading.Timer(90, os.kill, (tracer, signal.SIGKILL))
        watchdog.start()
        try:
            with os.fdopen(read, "rb") as pipe:
                life: Life = pickle.load(pipe)
            yield life
        finally:
            watchdog.cancel()
            _reap(tracer)


def _be_tracer(
    place: Place, environment: dict[str, str], at: int | None, mode: Mode, pipe: BinaryIO
) -> None:
    calls: list[tuple[bool, str]] = []
    root = 0

    def work() -> int:
        return daemon(place, environment)

    def on_call(call: Call) -> None:
        nonlocal root
        root = call.process if call.is_root else root
        if len(calls) == at:
            for process in {Mode.DAEMON: {root}, Mode.CALLER: {call.process}}.get(
                mode, {root, call.process}
            ):
                os.kill(process, signal.SIGKILL)
        calls.append((call.is_root, call.describe(place.root)))

    def on_exit(pid: int, code: int) -> None:
        pickle.dump(Life(list(calls), code, pid), pipe)
        pipe.close()

    trace(work, on_call, [place.root, place.evaluations], on_exit=on_exit)


def _reap(tracer: int) -> None:
    """Wait for a tracer, which waits for all that a killed daemon left running."""
    deadline = time.monotonic() + _LEFTOVERS_S
    while time.monotonic() < deadline:
        if os.waitpid(tracer, os.WNOHANG)[0]:
            return
        time.sleep(0.002)
    os.kill(tracer, signal.SIGKILL)  # which ends what it traces
    os.waitpid(tracer, 0)
    raise AssertionError(f"processes of a killed daemon lived on for {_LEFTOVERS_S} s")


def _evaluations(place: Place) -> int:
    return len(place.evaluations.read_text().split())


def _tail(place: Place) -> str:
    return place.output.read_text(errors="replace")[-1500:]
