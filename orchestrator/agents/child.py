"""A child process of an agent; reading and writing its pipes never blocks."""

import contextlib
import os
import selectors
import signal
import subprocess
import sys
from collections.abc import Sequence
from typing import IO

_CHUNK_BYTES = 65_536
_SAID_BYTES = 16_000
_EXIT_S = 2.0
"""Time limit for a process that has ended or was killed; usually an instant."""


class Child:
    """`job.py`: lines in, lines out, and its standard error.

    Its pipes are in the selector, each with the function to call when it is ready.
    """

    def __init__(self, selector: selectors.BaseSelector, first_line: bytes) -> None:
        """Start it.

        Raises:
            OSError, MemoryError: no process can be had.
        """
        self._selector = selector
        self._process = subprocess.Popen(
            # -P: files in the current folder must not be imported in place of a library.
            [sys.executable, "-P", "-m", "orchestrator.agents.job"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            bufsize=0,
            start_new_session=True,
        )
        stdin, stdout, stderr = self._process.stdin, self._process.stdout, self._process.stderr
        assert stdin is not None
        assert stdout is not None
        assert stderr is not None
        self._stdin, self._stdout, self._stderr = stdin, stdout, stderr
        self._unsent = bytearray()
        self._line = bytearray()
        self._lines: list[bytes] = []
        self._said = bytearray()
        self._open_outputs = 2
        try:
            for pipe in (stdin, stdout, stderr):
                os.set_blocking(pipe.fileno(), False)
            selector.register(stdout, selectors.EVENT_READ, self._read_stdout)
            selector.register(stderr, selectors.EVENT_READ, self._read_stderr)
            self.send(first_line)
        except BaseException:
            self.kill()
            raise

    def send(self, line: bytes) -> None:
        """Write a line, now or as soon as the pipe takes it."""
        is_waiting = bool(self._unsent)
        self._unsent += line
        if not is_waiting:
            self._selector.register(self._stdin, selectors.EVENT_WRITE, self._write)

    def take_lines(self) -> Sequence[bytes]:
        """Return the complete lines that it has written since the last call."""
        lines, self._lines = self._lines, []
        return lines

    def has_ended(self) -> bool:
        """Has it closed its outputs, as it does when it ends?"""
        return self._open_outputs == 0

    def last_words(self) -> str:
        """Return, after its end, its last output, and how it ended if something else ended it."""
        # The kernel closes the pipes an instant before it reports that the process has ended.
        with contextlib.suppress(subprocess.TimeoutExpired):
            self._process.wait(_EXIT_S)
        code = self._process.returncode
        if code is not None and code < 0:
            return f"signal {-code} ({signal.strsignal(-code)})"
        ended = "it closed its outputs" if code is None else f"exit code {code}"
        return self._said.decode(errors="replace").strip() or ended

    def kill(self) -> None:
        """Kill it and all that it started, without waiting for its end."""
        for pipe in (self._stdin, self._stdout, self._stderr):
            self._forget(pipe)
            pipe.close()
        if self._process.poll() is None:  # not reaped, so its pid is still its own
            with contextlib.suppress(ProcessLookupError, PermissionError):
                os.killpg(self._process.pid, signal.SIGKILL)

    def is_reaped(self) -> bool:
        """Has it ended? Called after `kill`, so that no zombie is left."""
        return self._process.poll() is not None

    def reap(self) -> None:
        """Wait, after `kill`, for its end, which takes an instant."""
        with contextlib.suppress(subprocess.TimeoutExpired):
            self._process.wait(_EXIT_S)

    def _write(self) -> None:
        try:
            written = os.write(self._stdin.fileno(), self._unsent[:_CHUNK_BYTES])
        except BlockingIOError:
            return
        except OSError:  # it is dying, as its standard output will show
            self._unsent.clear()
        else:
            del self._unsent[:written]
        if not self._unsent:
            self._selector.unregister(self._stdin)

    def _read_stdout(self) -> None:
        first, *others = self._read(self._stdout).split(b"\n")
        self._line += first
        for other in others:
            self._lines.append(bytes(self._line))
            self._line = bytearray(other)

    def _read_stderr(self) -> None:
        self._said += self._read(self._stderr)
        del self._said[:-_SAID_BYTES]

    def _read(self, pipe: IO[bytes]) -> bytes:
        chunk = os.read(pipe.fileno(), _CHUNK_BYTES)
        if not chunk:
            self._open_outputs -= 1
            self._selector.unregister(pipe)
        return chunk

    def _forget(self, pipe: IO[bytes]) -> None:
        with contextlib.suppress(KeyError):
            self._selector.unregister(pipe)
