"""One evaluator process and its pipes. No method blocks.

No thread reads the pipes: when memory is short, a thread that can't start hangs its starter.
"""

import collections
import contextlib
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import IO, Any

from orchestrator.core.text import clean, one_line
from sandbox import ENVIRONMENT_KEPT, Tier

_CHUNK_BYTES = 65_536
_CHUNKS_AT_ONCE = 64
_STDERR_KEPT = 16_000
_EXIT_GRACE_S = 2.0
"""Time that a process which has closed its output may take to exit."""
_SERVER_GRACE_S = 2.0
"""Time that its worker server has to end all workers before it is killed too."""


class Child:
    """A running evaluator: a line of JSON in, lines of JSON out."""

    def __init__(self, file: Path, tier: Tier) -> None:
        """Start it with a scrubbed environment, without the daemon's keys.

        Raises:
            OSError, MemoryError: no process can be had.
        """
        kept = {name: os.environ[name] for name in ENVIRONMENT_KEPT if name in os.environ}
        self._process = subprocess.Popen(
            # -P: files beside it must not be imported in place of a library.
            [sys.executable, "-P", str(file), "--serve", "--sandbox", tier],
            cwd=file.parent,
            env=kept | {"PYTHONHASHSEED": "0", "PYTHONDONTWRITEBYTECODE": "1"},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            bufsize=0,
            start_new_session=True,
        )
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        assert self._process.stderr is not None
        self._stdin: IO[bytes] = self._process.stdin
        self._stdout: IO[bytes] = self._process.stdout
        self._stderr: IO[bytes] = self._process.stderr
        self._open = [self._stdout, self._stderr]
        for pipe in (self._stdin, *self._open):
            os.set_blocking(pipe.fileno(), False)
        self._unsent = bytearray()
        self._line = bytearray()
        self._lines: collections.deque[bytes] = collections.deque()
        self._errors = bytearray()
        self._ended_at: float | None = None
        self._killed_at: float | None = None
        self.is_up = False
        """Whether it has reported that it serves; set by the owner, who reads its lines."""
        self.resumes = False
        """Whether it accepts seeds as measured; set by the owner too."""
        self.compares = False
        """Whether it compares environments; set by the owner too."""
        self.keeps = False
        """Whether it writes out what it trained and played; set by the owner too."""

    @property
    def pid(self) -> int:
        """Process id, and id of its process group."""
        return self._process.pid

    @property
    def has_ended(self) -> bool:
        """Whether it has closed its output or its input; lines may still be unread."""
        return self._ended_at is not None

    @property
    def needs_attention(self) -> bool:
        """Whether `read` must be called again soon, although no descriptor becomes readable."""
        return self.has_ended or bool(self._unsent)

    def descriptors(self) -> Iterator[int]:
        """Return the descriptors that become readable when `read` has something to do."""
        return (pipe.fileno() for pipe in self._open)

    def send(self, message: Mapping[str, Any]) -> None:
        """Send one message, as much as the pipe takes; `read` sends the rest."""
        self._unsent += json.dumps(message).encode() + b"\n"
        self._flush()

    def read(self) -> None:
        """Read what is there, and send the rest of what the pipe did not take before."""
        self._flush()
        for pipe in tuple(self._open):
            for _ in range(_CHUNKS_AT_ONCE):
                try:
                    chunk = os.read(pipe.fileno(), _CHUNK_BYTES)
                except BlockingIOError:
                    break
                self._take(pipe, chunk)
                if not chunk:
                    break

    def first_line(self) -> bytes | None:
        """Return the first line not yet dropped; None if none is complete."""
        return self._lines[0] if self._lines else None

    def drop_line(self) -> None:
        """Drop the first line: it has been processed."""
        self._lines.popleft()

    def last_words(self) -> str | None:
        """Return how it ended, once it has; None before.

        Its exit code gets a short time to arrive: it may have closed its output only.
        """
        if self._ended_at is None or self._lines:
            return None
        code = self._process.poll()
        if code is None and time.monotonic() < self._ended_at + _EXIT_GRACE_S:
            return None
        self.read()
        exit_code = "none yet" if code is None else str(code)
        return f"the evaluator process ended (exit code {exit_code}): {self.stderr_text()}"

    def stderr_text(self) -> str:
        """Return the end of its stderr, as one clean line."""
        return one_line(clean(self._errors.decode(errors="replace"))[-500:], 500)

    def kill(self) -> None:
        """Kill it. Its worker server notices and ends all workers; see `is_gone`."""
        if self._killed_at is not None:
            return
        self._killed_at = time.monotonic()
        self._process.kill()
        self._open.clear()
        for pipe in (self._stdin, self._stdout, self._stderr):
            with contextlib.suppress(OSError):
                pipe.close()

    def is_gone(self) -> bool:
        """After `kill`: return whether all its processes are gone; in the end kill its group."""
        assert self._killed_at is not None
        if self._process.poll() is None:
            return False
        killed_for_s = time.monotonic() - self._killed_at
        if killed_for_s >= _SERVER_GRACE_S:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(self.pid, signal.SIGKILL)
        return not _group_lives(self.pid) or killed_for_s >= 2 * _SERVER_GRACE_S

    def _flush(self) -> None:
        if self.has_ended:
            return
        try:
            while self._unsent:
                sent = os.write(self._stdin.fileno(), self._unsent[:_CHUNK_BYTES])
                del self._unsent[:sent]
        except BlockingIOError:
            return
        except OSError:  # it is gone, or has closed its input
            self._unsent.clear()
            self._ended_at = time.monotonic()

    def _take(self, pipe: IO[bytes], chunk: bytes) -> None:
        """Add a chunk read from a pipe; an empty one is its end."""
        if not chunk:
            self._open.remove(pipe)
        if pipe is self._stderr:
            self._errors += chunk
            del self._errors[:-_STDERR_KEPT]
            return
        if not chunk and self._ended_at is None:
            self._ended_at = time.monotonic()
        first, *others = chunk.split(b"\n")
        self._line += first
        for other in others:
            self._lines.append(bytes(self._line))
            self._line = bytearray(other)


def _group_lives(group: int) -> bool:
    with contextlib.suppress(ChildProcessError):
        os.waitpid(-group, os.WNOHANG)  # orphans of the group are ours to reap (`adopt_orphans`)
    try:
        os.killpg(group, 0)
    except ProcessLookupError:
        return False
    return True
