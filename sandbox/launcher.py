"""The owner's side: start the server, launch its workers, end them, report how they ended."""

import contextlib
import json
import os
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Mapping, Sequence
from dataclasses import asdict, replace
from typing import Any, Self

from sandbox import interpreter
from sandbox.channel import Channel, ChannelClosedError, ChannelError
from sandbox.confinement import Confinement, Tier
from sandbox.ending import WorkerExit
from sandbox.inherited import occupy_standard_streams
from sandbox.macos import sandbox_exec
from sandbox.output import Drain
from sandbox.watch import Watch, children, is_dead, peak_mb, processor_s

# Passed on to workers; the rest of the owner's environment (keys above all) is not.
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
_CONFINE_TIMEOUT_S = 60.0


class ServerFailedError(Exception):
    """The server did not start or died; the text has its output."""


class ConfinementError(Exception):
    """A worker could not be confined; the text has what the kernel refused."""


class Worker:
    """A running worker. `channel` carries its messages; `end` must be called once."""

    def __init__(self, server: "WorkerServer", pid: int, channel: Channel, drain: Drain) -> None:
        self._server = server
        self._drain = drain
        self._exit: WorkerExit | None = None
        self._ending = threading.Lock()
        self._why = ""
        self.pid = pid
        """Of its init, which ends everything: the process to signal."""
        self.main_pid: int | None = None
        """Of the process that runs the entry, where the kernel tells."""
        self.channel = channel

    def begin(self) -> None:
        """End its idleness, before its first message."""
        self._server.watch.begin(self)

    def end(self, *, grace_s: float = 0.0) -> WorkerExit:
        """End the worker and its descendants; it has `grace_s` to end by itself."""
        with self._ending:  # two threads may call it at once
            if self._exit is None:
                ending = self._server.end_worker(self, grace_s)
                self._exit = replace(ending, why=self._why or ending.why)
                self.channel.close()
            return self._exit

    def kill(self, why: str) -> None:
        """Kill the worker now; its owner notices the closed channel and calls `end`."""
        if self._ending.acquire(blocking=False):  # else it is being ended, its pid perhaps reused
            try:
                if self._exit is None:
                    self._why = why
                    with contextlib.suppress(ProcessLookupError):
                        os.kill(self.pid, signal.SIGTERM)  # its init kills all others
            finally:
                self._ending.release()

    def is_idle(self) -> bool:
        """Is it alive, and has it sent nothing?"""
        return self.channel.is_quiet() and not is_dead(self.pid)

    def processor_s(self) -> tuple[float, float]:
        """Return its processor seconds so far: of the main thread, and of all together."""
        return processor_s(self.pid, self.main_pid)

    def peak_memory_mb(self) -> float:
        """Return its largest resident set in MiB so far; ends it where only its end shows that."""
        return (self.main_pid and peak_mb(self.main_pid)) or self.end().peak_memory_mb

    def hang_up(self) -> None:
        """Close the channel for both sides; what has arrived can still be received."""
        self.channel.hang_up()

    def outlived(self, *, timeout_s: float) -> bool:
        """Does a process of the ended worker still hold its output open after `timeout_s`?"""
        self._drain.join(timeout_s)
        return self._drain.is_alive()

    def output(self) -> str:
        """Return the worker's output (head and tail), stdout and stderr together."""
        return self._drain.text()


class WorkerServer:
    """A warm server and the workers forked from it. Safe to use from several threads."""

    def __init__(
        self,
        *,
        preload: Sequence[str],
        environment: Mapping[str, str],
        tier: Tier = Tier.OFF,
    ) -> None:
        """Start the server.

        Args:
            tier: how its workers are confined.
            preload: modules that the server imports before its first worker: `module`, or
                `module:function` to call too. They must leave the process single-threaded.
            environment: the owner's environment; workers see a scrubbed copy.

        Raises:
            ServerFailedError: it did not start.
        """
        occupy_standard_streams()  # or the socket would be one of them, and lost in the server
        ours, theirs = socket.socketpair()
        self._control = ours
        self._tier = tier
        self.watch = Watch()
        self._lock = threading.Lock()
        kept = {name: environment[name] for name in ENVIRONMENT_KEPT if name in environment}
        is_exposed = tier is Tier.NAMESPACES and interpreter.is_exposed()
        module = "sandbox.interpreter" if is_exposed else "sandbox.server"
        command = [sys.executable, "-P", "-m", module, str(theirs.fileno()), *preload]
        with theirs:
            self._process = subprocess.Popen(
                sandbox_exec(command) if tier is Tier.SANDBOX_EXEC else command,
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
        self._failed = False

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exception: object) -> None:
        self.close()

    def launch(
        self,
        entry: str,
        *,
        memory_mb: int | None = None,
        cpu_s: int | None = None,
        devices: Sequence[str] = (),
        idle: bool = False,
    ) -> Worker:
        """Fork a worker that runs `entry` (`module:function`, called with its `Channel`).

        It starts in an empty folder of its own, which is removed when it ends.

        Args:
            entry: a function of a preloaded module.
            memory_mb: limit in MiB of the private memory of the worker and its descendants
                together, None for none.
            cpu_s: limit of processor seconds of each of its processes, None for none.
            devices: device files it may use.
            idle: it waits for its first message, which is sent after `Worker.begin`: it is
                looked at less often until then.

        Raises:
            ServerFailedError: the server is gone.
            ConfinementError: the worker could not be confined.
        """
        confinement = Confinement(
            tier=self._tier, memory_mb=memory_mb, cpu_s=cpu_s, devices=tuple(devices)
        )
        pid, folder, channel, drain = self._fork(entry, confinement)
        worker = Worker(self, pid, channel, drain)
        try:
            channel.receive(_CONFINE_TIMEOUT_S)
        except ChannelError as error:
            ending = worker.end(grace_s=1.0)
            raise ConfinementError(worker.output() or str(ending)) from error
        # So far its init has no other child.
        worker.main_pid = next(iter(children(worker.pid)), None)
        private = None if folder is None else (folder, confinement.tmp_mb)
        self.watch.add(worker, memory_mb, idle=idle, folder=private)
        return worker

    def end_worker(self, worker: Worker, grace_s: float) -> WorkerExit:
        """End one worker and its descendants; return how it ended."""
        self.watch.discard(worker)
        try:
            reply = self._ask({"do": "end", "pid": worker.pid, "grace_s": grace_s})
        except ServerFailedError:  # its workers die with it
            self._failed = True
            return WorkerExit(code=None, signal=signal.SIGKILL, peak_memory_mb=0.0, cpu_s=0.0)
        return WorkerExit(**reply)

    def has_died(self) -> bool:
        """Has the server itself ended, and all its workers with it?"""
        return self._failed or self._process.poll() is not None

    def wait_ready(self) -> None:
        """Block until the preloading is done. `launch` does this by itself.

        Raises:
            ServerFailedError: the server could not import its modules.
        """
        with self._lock:
            self._wait_ready()

    def kill(self) -> None:
        """Kill the server's process, which has no chance to end its workers."""
        self._process.kill()
        self._process.wait()

    def close(self) -> None:
        """End the server and every worker."""
        self.watch.close()
        self._control.close()
        try:
            self._process.wait(timeout=5)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()

    def _fork(self, entry: str, confinement: Confinement) -> tuple[int, str | None, Channel, Drain]:
        """Have a worker and its init forked.

        Returns:
            The init's number, the private folder where that is none of the worker's own file
            systems, the channel, the output.
        """
        ours, theirs = socket.socketpair()
        output_read, output_write = os.pipe()
        request = {"do": "launch", "entry": entry, "confinement": asdict(confinement)}
        try:
            with theirs:
                reply = self._ask(request, [theirs.fileno(), output_write])
        except ServerFailedError:
            ours.close()
            os.close(output_read)
            raise
        finally:
            os.close(output_write)
        drain = Drain(output_read)
        if reply["pid"] is None:
            ours.close()
            raise ConfinementError(drain.text())
        return int(reply["pid"]), reply["folder"], Channel(ours), drain

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
