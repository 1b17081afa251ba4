"""One run of a program, within its limits; afterwards nothing that it started is left.

What it prints is read as it comes and never kept whole: a line is cut, and too much ends the run.
"""

import contextlib
import json
import os
import selectors
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import IO

from orchestrator.agents.check_desk import CheckDesk
from orchestrator.agents.keeper import STARTED
from orchestrator.agents.programs.program import Output, Said

LINE_BYTES = 2**20
"""Where a line is cut."""
MOST_BYTES = 2**28
"""Bytes of output after which a program is ended; each line counts for some more."""
_LINE_COSTS_BYTES = 100
_CHUNK_BYTES = 2**18
_STDERR_BYTES = 16_000
_GRACE_S = 3.0
"""How long a program may go on after it has told that its turn is over."""
_LOOK_S = 2.0
"""How often to look whether its keeper is alive."""
_END_S = 15.0
"""Time limit for ending all that it started."""


@dataclass(frozen=True)
class Started:
    """What is run, and where."""

    argv: Sequence[str]
    environment: Mapping[str, str]
    folder: Path
    prompt: str
    """Its standard input."""


@dataclass(frozen=True)
class Limits:
    """How long a program may take."""

    whole_s: float
    silence_s: float | None
    """Longest silence; None: it may be silent."""


@dataclass(frozen=True)
class Ended:
    """How a run ended."""

    said: Said
    killed: str = ""
    """Why it was killed before its end; empty if it ended itself, or its turn was over."""
    stderr: str = ""


class _Lines:
    """Cuts a stream into lines of a bounded length."""

    def __init__(self) -> None:
        self._line = bytearray()

    def take(self, chunk: bytes) -> list[bytes]:
        """Return the lines that a chunk completes."""
        first, *others = chunk.split(b"\n")
        self._grow(first)
        lines = []
        for other in others:
            lines.append(bytes(self._line))
            self._line.clear()
            self._grow(other)
        return lines

    def rest(self) -> list[bytes]:
        """Return the last line, which nothing ends."""
        return [bytes(self._line)] if self._line else []

    def _grow(self, part: bytes) -> None:
        self._line += part[: LINE_BYTES - len(self._line)]


class ProgramRun:
    """A program that runs; `finish` returns when it has ended."""

    def __init__(
        self, started: Started, limits: Limits, output: Output, desk: CheckDesk | None = None
    ) -> None:
        """Start it. Raises `OSError`, `MemoryError`: no process can be had."""
        self._limits, self._output, self._desk = limits, output, desk
        self._lines = _Lines()
        self._said = bytearray()
        self._bytes = 0
        self._selector = selectors.DefaultSelector()
        self._told = tempfile.TemporaryFile()  # noqa: SIM115 - closed by `finish`
        self._keeper = _keeper(started, self._told)
        assert self._keeper.stdout is not None
        assert self._keeper.stderr is not None
        self._pipes: list[IO[bytes]] = [self._keeper.stdout, self._keeper.stderr]
        for pipe in self._pipes:
            os.set_blocking(pipe.fileno(), False)
            self._selector.register(pipe, selectors.EVENT_READ)
        if desk is not None:
            self._selector.register(desk.descriptor, selectors.EVENT_READ)
        self._start = self._heard = time.monotonic()
        self._over_at: float | None = None
        self._ending_at: float | None = None
        self._killed: str | None = None
        """Why it is being ended; empty after its turn was over."""

    def finish(self) -> Ended:
        """Follow it to its end, whatever it does. Raises `OSError`: it was never started."""
        try:
            while self._pipes:
                has_ended = self._keeper.poll() is not None
                ready = self._selector.select(0 if has_ended else self._timeout_s())
                for key, _ in ready:
                    if key.fileobj in self._pipes:
                        self._read(key.fileobj)
                if has_ended and not ready:
                    break  # it was killed, and what is left of the program holds its pipes
                if self._desk is not None:
                    self._desk.work()
                    if self._desk.is_busy:
                        self._heard = time.monotonic()  # it waits for us
                self._judge(time.monotonic())
                if self._ending_at is not None and time.monotonic() > self._ending_at + _END_S:
                    break
        finally:
            self._end()
        stderr = self._said.decode(errors="replace")
        with self._told:
            if self._killed is None and os.pread(self._told.fileno(), 1, 0) != STARTED:
                raise OSError((stderr.strip().splitlines() or ["it could not be started"])[-1])
        for line in self._lines.rest():
            self._output.feed(line)
        code = self._keeper.returncode if self._killed is None else None
        return Ended(self._output.said(code, stderr), self._killed or "", stderr)

    def _read(self, pipe: IO[bytes]) -> None:
        chunk = os.read(pipe.fileno(), _CHUNK_BYTES)
        if not chunk:
            self._selector.unregister(pipe)
            self._pipes.remove(pipe)
            return
        self._heard = time.monotonic()
        self._bytes += len(chunk) + _LINE_COSTS_BYTES * chunk.count(b"\n")
        if pipe is self._keeper.stderr:
            self._said += chunk
            del self._said[:-_STDERR_BYTES]
            return
        for line in self._lines.take(chunk):
            self._output.feed(line)
        if self._output.is_over and self._over_at is None:
            self._over_at = time.monotonic()

    def _judge(self, now: float) -> None:
        """End it if it must end now."""
        if self._ending_at is not None:
            return
        limits = self._limits
        if self._over_at is not None and now > self._over_at + _GRACE_S:
            self._ask_to_end("", now)
        elif now > self._start + limits.whole_s:
            self._ask_to_end(f"not over after {limits.whole_s:g} s (agent.timeout_s)", now)
        elif limits.silence_s is not None and now > self._heard + limits.silence_s:
            self._ask_to_end(f"silent for {limits.silence_s:g} s (agent.silence_s)", now)
        elif self._bytes > MOST_BYTES:
            self._ask_to_end(f"it printed some {MOST_BYTES // 2**20} MiB", now)

    def _ask_to_end(self, why: str, now: float) -> None:
        self._killed, self._ending_at = why, now
        self._keeper.terminate()

    def _timeout_s(self) -> float:
        now = time.monotonic()
        due = [self._start + self._limits.whole_s, now + _LOOK_S]
        if self._limits.silence_s is not None:
            due.append(self._heard + self._limits.silence_s)
        if self._over_at is not None:
            due.append(self._over_at + _GRACE_S)
        if self._ending_at is not None:
            due = [self._ending_at + _END_S, now + _LOOK_S]
        if self._desk is not None and (desk_s := self._desk.timeout_s()) is not None:
            due.append(now + desk_s)
        return max(0.0, min(due) - now) + 0.001

    def _end(self) -> None:
        """End it with all that it started; its keeper does that, and is not waited for in vain."""
        if self._pipes:
            self._keeper.terminate()
        with contextlib.suppress(subprocess.TimeoutExpired):
            self._keeper.wait(_END_S)
        if self._keeper.poll() is None:
            self._keeper.kill()
            self._keeper.wait()
        self._selector.close()
        for pipe in (self._keeper.stdout, self._keeper.stderr):
            if pipe is not None:
                pipe.close()


def _keeper(started: Started, told: IO[bytes]) -> "subprocess.Popen[bytes]":
    call = {
        "argv": list(started.argv),
        "environment": dict(started.environment),
        "folder": str(started.folder),
        "parent": os.getpid(),
    }
    # Files without a name: nobody can read a key in them.
    with tempfile.TemporaryFile() as prompt:
        told.write(json.dumps(call).encode())
        told.flush()
        prompt.write(started.prompt.encode(errors="replace"))
        prompt.seek(0)
        return subprocess.Popen(
            [sys.executable, "-P", "-m", "orchestrator.agents.keeper", str(told.fileno())],
            stdin=prompt,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            bufsize=0,
            pass_fds=(told.fileno(),),
            start_new_session=True,
        )
