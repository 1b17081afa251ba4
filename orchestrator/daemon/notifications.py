"""Tells people what happens in a run, by processes of their own: a failure never is in the way.

What is told is read off the log: each message follows a line there.
"""

import contextlib
import json
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Mapping, Set
from dataclasses import asdict, dataclass, field
from typing import IO, Any

from orchestrator.config.notify import NotifyConfig
from orchestrator.config.reloading import RunningConfig
from orchestrator.config.schema import Config
from orchestrator.core.errors import LedgerError
from orchestrator.core.text import one_line
from orchestrator.planning.limit_shares import nearest_limit
from orchestrator.planning.state import replay
from orchestrator.store.ledger import Ledger

LIMIT_S = 60.0
"""Time limit of one message, all ways together."""
_LAST_S = 10.0
"""How long a run's end waits for its last message."""
_MOST_AT_ONCE = 4
_SAID_BYTES = 4000
_LONG_S, _LOOKING_SHARE = 0.05, 0.01
"""A look whether a limit is near that takes longer takes at most this share of the time."""


@dataclass(frozen=True)
class Message:
    """What is told."""

    kind: str
    """One of `config.notify.Notice`, or `test`."""
    title: str
    text: str


def message_of(event: str, facts: Mapping[str, Any], tag: str) -> Message | None:
    """Return the message that a line of the log is worth, None for none."""
    number = facts.get("experiment")
    what = one_line(str(facts.get("description", "")), 200)
    match event:
        case "experiment finished" if facts.get("status") == "keep":
            return Message("keep", f"{tag}: #{number} is published", f"#{number} {what}")
        case "lead proven":
            gain, error = facts.get("gain"), facts.get("standard_error")
            better = "" if gain is None else f", {gain:+.4f} ± {error or 0.0:.4f} better"
            text = f"the lead #{number} is proven{better}"
            return Message("keep", f"{tag}: #{number} is published", text)
        case "climbed":
            return Message("climbed", f"{tag}: climbed to {facts.get('rung')}", _reason(facts))
        case "paused":
            return Message("paused", f"{tag}: paused", _reason(facts))
        case "run stopped":
            return Message("stopped", f"{tag}: stopped", _reason(facts))
    return None


def _reason(facts: Mapping[str, Any]) -> str:
    return one_line(str(facts.get("reason", "")), 500)


@dataclass
class _Child:
    """A process that tells."""

    process: subprocess.Popen[bytes]
    output: IO[bytes]
    deadline: float


@dataclass
class Notifier:
    """Starts a process for each message, and takes note of those that fail."""

    config: NotifyConfig
    ledger: Ledger
    tag: str
    log: Callable[..., None]
    _children: list[_Child] = field(default_factory=list)
    _told_s: dict[str, float] = field(default_factory=dict)
    _untold: dict[str, int] = field(default_factory=dict)
    _near_told: str | None = None
    _next_look_s: float = 0.0

    @property
    def processes(self) -> Set[int]:
        """The processes that are telling now."""
        return {child.process.pid for child in self._children}

    def heard(self, event: str, facts: Mapping[str, Any]) -> None:
        """Tell of a line of the log, if it is worth it and somebody wants to know."""
        with contextlib.suppress(LedgerError):  # it can't be read for now
            self._heard(event, facts)

    def _heard(self, event: str, facts: Mapping[str, Any]) -> None:
        self.poll()
        if event == "configuration reread" and (known := self._recorded()):
            self.config = known.notify
        if not self.config.is_on:
            return
        message = message_of(event, facts, self.tag)
        if message is not None and message.kind in self.config.events:
            self._tell(message)
        if event == "experiment finished" and "limit_near" in self.config.events:
            self._tell_of_limits()

    def _recorded(self) -> Config | None:
        """Return the configuration that the daemon works with, as it is recorded."""
        run = self.ledger.run(self.tag)
        running = RunningConfig.from_json(run.config) if run else None
        return running.config if running else None

    def _tell_of_limits(self) -> None:
        """Tell, once for each limit, that most of it is used."""
        began_s = time.monotonic()
        if began_s < self._next_look_s:
            return
        run, config = self.ledger.run(self.tag), self._recorded()
        if run is None or config is None:
            return
        state = replay(self.ledger.endings(self.tag), self.ledger.moves(self.tag))
        took_s = time.monotonic() - began_s  # half a second after ten thousand experiments
        if took_s > _LONG_S:
            self._next_look_s = began_s + took_s / _LOOKING_SHARE
        near = nearest_limit(state, config.limits, run.seconds / 3600)
        if near is None or near.share < self.config.limit_near or near.name == self._near_told:
            return
        self._near_told = near.name
        text = f"limits.{near.name}: {near.used:.4g} of {near.limit:.4g}"
        self._tell(Message("limit_near", f"{self.tag}: a limit is near", text))

    def poll(self) -> None:
        """Take note of what has ended, and end what takes too long."""
        for child in list(self._children):
            code = child.process.poll()
            if code is None and time.monotonic() < child.deadline:
                continue
            if code is None:
                _kill(child.process)
            self._children.remove(child)
            with child.output:
                child.output.seek(0)
                said = child.output.read(_SAID_BYTES).decode(errors="replace")
            if code != 0:
                why = f"no end within {LIMIT_S:g} s" if code is None else said
                self.log("notification failed", "warning", reason=one_line(why, 500))

    def close(self) -> None:
        """Give the last messages a moment, then end what is left."""
        until = time.monotonic() + _LAST_S
        while self._children and time.monotonic() < until:
            time.sleep(0.05)
            self.poll()
        for child in self._children:
            child.deadline = 0.0
        self.poll()

    def _tell(self, message: Message) -> None:
        now, last = time.monotonic(), self._told_s.get(message.kind)
        is_too_soon = last is not None and now - last < self.config.min_interval_s
        if (is_too_soon and message.kind != "stopped") or len(self._children) >= _MOST_AT_ONCE:
            self._untold[message.kind] = self._untold.get(message.kind, 0) + 1
            return
        if more := self._untold.pop(message.kind, 0):
            message = Message(message.kind, message.title, f"{message.text} (and {more} before)")
        self._told_s[message.kind] = now
        try:
            self._children.append(_begin(self.config, message))
        except (OSError, MemoryError) as error:
            self.log("notification failed", "warning", reason=f"no process for it: {error}")


def _begin(config: NotifyConfig, message: Message) -> _Child:
    line = json.dumps({"config": config.model_dump(mode="json"), "message": asdict(message)})
    output = tempfile.TemporaryFile()  # noqa: SIM115 - closed once it is read
    try:
        process = subprocess.Popen(
            [sys.executable, "-P", "-m", "orchestrator.daemon.notify_job"],
            stdin=subprocess.PIPE, stdout=output, stderr=output, start_new_session=True,
        )  # fmt: skip
    except BaseException:
        output.close()
        raise
    assert process.stdin is not None
    with contextlib.suppress(OSError), process.stdin as pipe:  # shorter than a pipe's room
        pipe.write(line.encode())
    return _Child(process, output, time.monotonic() + LIMIT_S)


def _kill(process: subprocess.Popen[bytes]) -> None:
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(process.pid, signal.SIGKILL)
    process.wait()
