"""The owner's side: start the server, launch workers from it, end them and learn how they ended."""

import contextlib
import json
import os
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Self

from sandbox.channel import Channel, ChannelClosedError
from sandbox.output import Drain

# Passed on to workers; everything else of the owner's environment (keys above all) stays behind.
ENVIRONMENT_KEPT = (
    "PATH", "HOME", "TMPDIR", "LANG", "LC_ALL", "LD_LIBRARY_PATH", "PYTHONPATH",
    "CUDA_VISIBLE_DEVICES",
)  # fmt: skip
_ENVIRONMENT_SET = {
    # One thread a worker: two torch threads collapse when anything else runs, and the thread count
    # changes scores. A fixed hash seed makes set and dict orders repeat.
    "PYTHONHASHSEED": "0",
    "PYTHONDONTWRITEBYTECODE": "1",
    "OMP_NUM_THREADS": "1",
    "MKL_NUM_THREADS": "1",
    "OPENBLAS_NUM_THREADS": "1",
}
START_TIMEOUT_S = 120.0


class ServerFailedError(Exception):
    """The server did not start or died; the text says what it printed."""


@dataclass(frozen=True)
class WorkerExit:
    """How a worker ended, by the kernel's word."""

    code: int | None
    """Exit code, or None when a signal ended it."""
    signal: int | None
    """Number of the signal that ended it, or None."""
    peak_memory_mb: float
    """Largest resident set in MiB."""
    cpu_s: float
    """User plus system time in seconds."""

    def __str__(self) -> str:
        if self.signal is None:
            return f"exit code {self.code}"
        with contextlib.suppress(ValueError):
            return f"killed by {signal.Signals(self.signal).name}"
        return f"killed by signal {self.signal}"


class Worker:
    """A running worker. `channel` carries its messages; `end` must be called once."""

    def __init__(self, server: "WorkerServer", pid: int, channel: Channel, drain: Drain) -> None:
        self._server = server
        self._pid = pid
        self._drain = drain
        self._exit: WorkerExit | None = None
        self._ending = threading.Lock()
        self.channel = channel

    def end(self, *, grace_s: float = 0.0) -> WorkerExit:
        """End the worker and all it started, after waiting `grace_s` for it to end by itself."""
        with self._ending:  # two threads may wish it at once
            if self._exit is None:
                self._exit = self._server.end_worker(self._pid, grace_s)
                self.channel.close()
            return self._exit

    def output(self) -> str:
        """Return what the worker printed (head and tail), stdout and stderr together."""
        return self._drain.text()


class WorkerServer:
    """A warm server and the workers forked from it. Safe to use from several threads."""

    def __init__(self, *, preload: Sequence[str], environment: Mapping[str, str]) -> None:
        """Start the server.

        Args:
            preload: what the server imports before its first worker: `module`, or
                `module:function` to call as well. It must leave the process single-threaded.
            environment: the owner's environment; workers see a scrubbed copy.

        Raises:
            ServerFailedError: it did not come up.
        """
        ours, theirs = socket.socketpair()
        self._control = ours
        self._lock = threading.Lock()
        kept = {name: environment[name] for name in ENVIRONMENT_KEPT if name in environment}
        with theirs:
            self._process = subprocess.Popen(
                [sys.executable, "-P", "-m", "sandbox.server", str(theirs.fileno()), *preload],
                env=kept | _ENVIRONMENT_SET,
                pass_fds=(theirs.fileno(),),
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
            )
        assert self._process.stdout is not None
        self._drain = Drain(os.dup(self._process.stdout.fileno()))
        self._process.stdout.close()
        self._replies = Channel(ours)
        self._ready = False

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exception: object) -> None:
        self.close()

    def launch(self, entry: str, *, memory_mb: int | None = None) -> Worker:
        """Fork a worker that runs `entry` (`module:function`, called with its `Channel`).

        Args:
            entry: a function of a preloaded module.
            memory_mb: most private memory in MiB the worker may hold, None for no limit.

        Raises:
            ServerFailedError: the server is gone.
        """
        ours, theirs = socket.socketpair()
        output_read, output_write = os.pipe()
        request = {"do": "launch", "entry": entry, "memory_mb": memory_mb}
        try:
            with theirs:
                reply = self._ask(request, [theirs.fileno(), output_write])
        except ServerFailedError:
            ours.close()
            os.close(output_read)
            raise
        finally:
            os.close(output_write)
        return Worker(self, int(reply["pid"]), Channel(ours), Drain(output_read))

    def end_worker(self, pid: int, grace_s: float) -> WorkerExit:
        """End one worker and all it started; return how it ended."""
        try:
            reply = self._ask({"do": "end", "pid": pid, "grace_s": grace_s})
        except ServerFailedError:  # its workers die with it
            return WorkerExit(code=None, signal=signal.SIGKILL, peak_memory_mb=0.0, cpu_s=0.0)
        return WorkerExit(
            code=reply["code"],
            signal=reply["signal"],
            peak_memory_mb=reply["peak_memory_mb"],
            cpu_s=reply["cpu_s"],
        )

    def wait_ready(self) -> None:
        """Block until the preloading is done. `launch` does this by itself.

        Raises:
            ServerFailedError: the server could not import what it was told to.
        """
        with self._lock:
            self._wait_ready()

    def close(self) -> None:
        """End the server and every worker."""
        self._control.close()
        try:
            self._process.wait(timeout=5)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()

    def _wait_ready(self) -> None:
        if self._ready:
            return
        try:
            self._replies.receive(START_TIMEOUT_S)
        except ChannelClosedError as error:
            raise ServerFailedError(
                f"the worker server did not start:\n{self._drain.text()}"
            ) from error
        self._ready = True

    def _ask(self, request: Mapping[str, Any], descriptors: Sequence[int] = ()) -> dict[str, Any]:
        with self._lock:
            self._wait_ready()
            try:
                text = json.dumps(request).encode()
                socket.send_fds(self._control, [text], list(descriptors))
                reply, _ = self._replies.receive()
            except (OSError, ChannelClosedError) as error:
                raise ServerFailedError(
                    f"the worker server is gone:\n{self._drain.text()}"
                ) from error
        return reply
