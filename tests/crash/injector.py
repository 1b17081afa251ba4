"""Kills a daemon at the k-th state-changing system call of an experiment, restarts it, and checks."""

import contextlib
import os
import pickle
import shutil
import signal
import threading
import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from enum import StrEnum
from pathlib import Path
from typing import BinaryIO

from tests.crash.checks import Recorded, of_the_user, read_ledger, trained, violations
from tests.crash.model import Model
from tests.crash.scenarios import Place, Run, Scenario, arrange, daemon, script
from tests.crash.tracer import Call, trace

_LEFTOVERS_S = 15.0


class Mode(StrEnum):
    """Who dies."""

    DAEMON = "daemon"
    """The daemon, at any call; a git command or evaluator of its goes on to its own end."""
    CALLER = "caller"
    """The child of the daemon's that makes the call; the daemon lives."""
    ALL = "all"
    """The daemon and its child at once, in the middle of the child's call."""

    def counts(self, *, by_daemon: bool) -> bool:
        """Is a call, made by the daemon itself or by a child, a case of this mode?"""
        return self is Mode.DAEMON or not by_daemon


@dataclass(frozen=True)
class Life:
    """A daemon's traced life."""

    calls: list[tuple[bool, str]]
    """Whether the daemon itself made it, and which call it was."""
    struck: str | None
    """The call at which somebody was killed."""
    exit_code: int
    pid: int
    url: str = ""
    """Where it finds its model."""


@dataclass(frozen=True)
class Point:
    """Where to kill: at which of the mode's calls in the first life, and perhaps in the second."""

    mode: Mode
    calls: tuple[int, ...]


@dataclass(frozen=True)
class Outcome:
    """What was killed where, and what was found afterwards."""

    kills: list[str]
    violations: list[str]


@dataclass
class _Past:
    """What has happened to a workspace so far."""

    recorded: list[Recorded]
    """What was recorded at the beginning, and at the end of each daemon that was killed."""
    lives: list[tuple[int, str]]
    """Each daemon's pid, and where it finds its model."""
    kills: list[str] = field(default_factory=list)


class Rig:
    """One scenario, made ready once, and copied for every point."""

    def __init__(self, scenario: Scenario, folder: Path, model: Model) -> None:
        self.scenario = scenario
        self._folder = folder
        self._model = model
        self._template = arrange(scenario, folder / "template")
        self._script = script(scenario, self._template)
        place = self._copy("uninterrupted")
        with self._running(place, None, Mode.DAEMON) as life:
            self.calls = life.calls
        """The calls of an uninterrupted run."""
        uninterrupted = read_ledger(place)
        # Where several experiments are in flight, numbers and verdicts depend on who is faster.
        self._expected = uninterrupted.outcome() if scenario.lanes == 1 else None
        self._evaluations = _evaluations(place)
        wrong = list(violations(scenario, place, [uninterrupted], self._expected))
        assert not wrong, wrong
        shutil.rmtree(place.folder)

    def points(self, mode: Mode) -> list[int]:
        """Return the numbers of the calls that are a case of this mode."""
        return list(range(sum(mode.counts(by_daemon=by_daemon) for by_daemon, _ in self.calls)))

    def kill(self, point: Point) -> Outcome:
        """Kill, restart (and kill, and restart), and check."""
        place = self._copy("-".join(map(str, (point.mode, *point.calls))))
        user = of_the_user(place)
        past = _Past([read_ledger(self._template)], [])
        found = self._lives(place, point, past)
        if not found:
            found = list(violations(self.scenario, place, past.recorded, self._expected))
            found += self._paid_twice(place, past)
        if point.mode is Mode.CALLER and len(past.recorded) > 1:
            found.append("the daemon did not outlive its child")
        if of_the_user(place) != user:
            found.append("something of the user's has changed")
        if not found:
            shutil.rmtree(place.folder)
        return Outcome(past.kills, list(dict.fromkeys(found)))

    def _lives(self, place: Place, point: Point, past: "_Past") -> list[str]:
        """Have daemons live and die until one comes to its end; return what is wrong with that."""
        for k in point.calls:
            with self._running(place, k, point.mode) as life:
                past.lives.append((life.pid, life.url))
                if life.struck is not None:
                    past.kills.append(life.struck)
                if life.exit_code == 0:
                    return []
                past.recorded.append(read_ledger(place))
                if life.exit_code != -signal.SIGKILL:
                    return [f"the daemon ended with {life.exit_code}: {_tail(place)}"]
                if k == point.calls[-1]:
                    # What the killed one has left behind may still be at work.
                    return self._last_life(place, past)
        raise AssertionError("no call to kill at")

    def _last_life(self, place: Place, past: "_Past") -> list[str]:
        environment, url = self._environment()
        last = Run(place, environment)
        past.lives.append((last.pid, url))
        code = last.wait()
        return [f"the restart gave {code}: {_tail(place)}"] if code else []

    def _paid_twice(self, place: Place, past: "_Past") -> Iterator[str]:
        """Yield what was done again though it was recorded: evaluations, seeds, questions."""
        before, after = past.recorded[-1], read_ledger(place)
        pid, url = past.lives[-1]
        has_lived = len(past.recorded) == 1  # a child was killed, whose work it may have done again
        if self.scenario.lanes == 1:
            evaluations = place.evaluations.read_text().split().count(str(pid))
            needed = after.evaluations - before.evaluations
            if not needed <= evaluations <= needed + has_lived:
                yield f"{evaluations} evaluations, {needed} were not recorded before"
            # What git is killed in comes after the evaluation, or before it: none is run again.
            again = _evaluations(place) - self._evaluations
            if not 0 <= again <= sum(".git/" not in kill for kill in past.kills):
                yield f"{again} evaluations more than uninterrupted"
        if self.scenario.resumes:
            yield from self._trained_twice(place, past, once_more=has_lived)
        questions, answers = self._model.asked(url), len(after.replies) - len(before.replies)
        if self.scenario.by_model and questions != answers:
            yield f"the model was asked {questions} times for {answers} replies"
        reviews, needed = self._model.reviewed(url), len(after.reviews) - len(before.reviews)
        # With several lanes the incumbent may change, and another change is to be reviewed.
        if self.scenario.lanes == 1 and reviews > needed + has_lived:
            yield f"{reviews} reviews were asked for, {needed} were not recorded before"

    def _trained_twice(self, place: Place, past: "_Past", *, once_more: bool) -> Iterator[str]:
        """Yield the seeds that a daemon had trained although an earlier one had recorded them."""
        seeds = trained(place)
        for number, recorded in enumerate(past.recorded):
            later = {pid for pid, _ in past.lives[number:]}
            for pid, seed in seeds:
                if pid in later and seed in recorded.seeds:
                    yield f"{seed} was recorded, and trained again by {pid}"
        counts = Counter(seeds)
        # With several lanes the incumbent may change, and a seed that is under way is begun anew.
        if self.scenario.lanes == 1 and sum(counts.values()) > len(counts) + once_more:
            yield f"a daemon had seeds trained twice: {counts.most_common(2)}"

    def _copy(self, name: str) -> Place:
        place = self._template.copy(self._folder / name)
        self._model.serve(place, self._script)
        return place

    def _environment(self) -> tuple[dict[str, str], str]:
        """Return the environment for one more daemon, and the URL where it finds its model."""
        url = self._model.url()
        if not self.scenario.by_model:
            return {}, url
        # A model has no last reply: a limit ends the run.
        limit = str(len(self.scenario.script))
        return {"AUTORL_AGENT__BASE_URL": url, "AUTORL_LIMITS__EXPERIMENTS": limit}, url

    @contextlib.contextmanager
    def _running(self, place: Place, at: int | None, mode: Mode) -> Iterator[Life]:
        """Run a daemon under a tracer of its own; the block begins when the daemon has ended.

        The tracer stays with what the daemon left behind, and the block's end waits for that.
        """
        environment, url = self._environment()
        read, write = os.pipe()
        tracer = os.fork()
        if tracer == 0:
            try:
                os.close(read)
                with os.fdopen(write, "wb") as pipe:
                    _be_tracer(place, environment, at, mode, pipe)
            finally:
                os._exit(0)
        os.close(write)
        watchdog = threading.Timer(90, os.kill, (tracer, signal.SIGKILL))
        watchdog.start()
        try:
            with os.fdopen(read, "rb") as pipe:
                life: Life = pickle.load(pipe)
            yield replace(life, url=url)
        finally:
            watchdog.cancel()
            _reap(tracer)


def _be_tracer(
    place: Place, environment: dict[str, str], at: int | None, mode: Mode, pipe: BinaryIO
) -> None:
    calls: list[tuple[bool, str]] = []
    struck: str | None = None
    root, cases = 0, 0

    def work() -> int:
        return daemon(place, environment)

    def on_call(call: Call) -> None:
        nonlocal root, struck, cases
        root = call.process if call.is_root else root
        line = call.describe(place.root)
        if mode.counts(by_daemon=call.is_root):
            if cases == at:
                struck = line
                for process in {Mode.DAEMON: {root}, Mode.CALLER: {call.process}}.get(
                    mode, {root, call.process}
                ):
                    os.kill(process, signal.SIGKILL)
            cases += 1
        calls.append((call.is_root, line))

    def on_exit(pid: int, code: int) -> None:
        pickle.dump(Life(list(calls), struck, code, pid), pipe)
        pipe.close()

    trace(work, on_call, [place.root, place.evaluations, place.seeds], on_exit=on_exit)


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
