"""Test that confinement holds here: a worker tries to escape, and reports what it reached.

`examine` plants a secret file, servers of every kind and itself as a victim, starts a worker under
the strongest tier of this system, and lets it try. Anything that it reaches is a reason not to run
candidates.
"""

import contextlib
import ctypes
import os
import shutil
import socket
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from sandbox import landlock
from sandbox.channel import ChannelError
from sandbox.confinement import Tier
from sandbox.inherited import settle
from sandbox.launcher import ConfinementError, ServerFailedError, Worker, WorkerServer

LEAST_LANDLOCK = 3
_WORKER, _OTHER_WORKER = "sandbox.attempts", "sandbox.whispers"
_TIMEOUT_S = 30.0
_CLING_TIMEOUT_S = 5.0
_LIMIT_MB = 256
"""The limit of a worker that tries to hold twice as much."""
_HELD_FOR_S, _UNLIMITED_FOR_S = 20.0, 1.0
"""How long it may hold that: it is killed at the first look, which a busy machine may delay."""


@dataclass(frozen=True)
class Attempt:
    """One attempt of the probe."""

    name: str
    reached: bool
    says: str
    """What stopped it, or what it reached."""


@dataclass(frozen=True)
class Examination:
    """The result of the probe on this system."""

    tier: Tier | None
    """The strongest tier that can be set up, None if there is none."""
    attempts: tuple[Attempt, ...]
    """The attempts under that tier."""
    refused: tuple[str, ...]
    """Stronger tiers that could not be set up, each with the kernel's error."""
    fault: str | None = None
    """What kept the probe itself from running: then nothing is known of this system."""

    @property
    def reached(self) -> tuple[str, ...]:
        """Names of the successful attempts; empty if confinement holds."""
        return tuple(attempt.name for attempt in self.attempts if attempt.reached)

    @property
    def problem(self) -> str | None:
        """Why candidates can't be confined here, None if they can."""
        if self.fault is not None:
            return f"confinement could not be tested: {self.fault}"
        if self.tier is None:
            return "candidates can't be confined on this system: " + "; ".join(self.refused)
        if self.reached:
            return f"confinement ({self.tier}) does not hold: the probe could " + ", ".join(
                self.reached
            )
        return None


def examine(tiers: tuple[Tier, ...] | None = None) -> Examination:
    """Find the strongest tier that can be set up here, and try to escape from it."""
    refused = []
    for tier in tiers or _tiers():
        if tier is Tier.REDUCED and (abi := landlock.abi()) < LEAST_LANDLOCK:
            refused.append(f"{tier}: the kernel's Landlock is {abi}, needed is {LEAST_LANDLOCK}")
            continue
        try:
            return Examination(tier, tuple(_probe(tier)), tuple(refused))
        except ConfinementError as error:
            refused.append(f"{tier}: {_last_line(error)}")
        except (ServerFailedError, OSError) as error:
            if tier is not Tier.SANDBOX_EXEC:  # whose program may be missing
                return Examination(None, (), tuple(refused), fault=_last_line(error))
            refused.append(f"{tier}: {_last_line(error)}")
    return Examination(None, (), tuple(refused))


def _last_line(error: Exception) -> str:
    words = str(error).strip().splitlines()
    return words[-1] if words else "the worker died"


def _tiers() -> tuple[Tier, ...]:
    if sys.platform == "darwin":
        return (Tier.SANDBOX_EXEC,)
    return (Tier.NAMESPACES, Tier.REDUCED)


def _probe(tier: Tier) -> list[Attempt]:
    planted = ctypes.create_string_buffer(b"planted in memory")
    with (
        _victim() as (targets, udp),
        WorkerServer(preload=[_WORKER], environment=os.environ, tier=tier) as server,
    ):
        worker = server.launch(f"{_WORKER}:attempt_all", memory_mb=1024)
        address = ctypes.addressof(planted)
        worker.channel.send({**targets, "address": address, "length": len(planted)})
        try:
            head, _ = worker.channel.receive(_TIMEOUT_S)
            attempts = [Attempt(*row) for row in head["attempts"]]
        except ChannelError as error:
            worker.end()
            raise ConfinementError(f"the probe died: {error}\n{worker.output()}") from error
        attempts += [_shared_file(server), _left_child(worker)]
        limit_mb = None if tier is Tier.OFF else _LIMIT_MB
        attempts += [_held_memory(server, kind, limit_mb) for kind in ("page_tables", "sockets")]
        udp.setblocking(False)
        with contextlib.suppress(BlockingIOError):
            udp.recv(16)
            attempts.append(Attempt("reach the UDP server", reached=True, says="a datagram came"))
        attempts.append(_outlived_server(server))
    return attempts


def _shared_file(server: WorkerServer) -> Attempt:
    """Ask another worker whether one of its open files is the first one's too."""
    worker = server.launch(f"{_OTHER_WORKER}:tell_marks")
    try:
        marked = worker.channel.receive(_TIMEOUT_S)[0]["marked"]
    except ChannelError as error:
        raise ConfinementError(f"the probe died: {error}\n{worker.output()}") from error
    finally:
        worker.end()
    says = f"descriptors {', '.join(marked)} are the same" if marked else "each has its own"
    return Attempt("share an open file with another worker", bool(marked), says)


def _held_memory(server: WorkerServer, kind: str, limit_mb: int | None) -> Attempt:
    """Let a worker hold more than its limit where no resource limit counts it."""
    name = f"hold too much memory in {kind.replace('_', ' ')}"
    worker = server.launch(f"{_WORKER}:hold_{kind}", memory_mb=limit_mb)
    longest_s = _UNLIMITED_FOR_S if limit_mb is None else _HELD_FOR_S
    try:
        worker.channel.receive(_TIMEOUT_S)  # from now on it holds it
        deadline = time.monotonic() + longest_s
        while time.monotonic() < deadline:
            worker.channel.receive(_TIMEOUT_S)
        return Attempt(name, True, f"it held twice {_LIMIT_MB} MiB for {longest_s:g} s")
    except ChannelError:
        return Attempt(name, reached=False, says=str(worker.end())[:100])
    finally:
        worker.end()


def _outlived_server(server: WorkerServer) -> Attempt:
    """Let a worker do what it can to outlive the server, and kill that."""
    worker = server.launch(f"{_WORKER}:cling")
    with contextlib.suppress(ChannelError):
        worker.channel.receive(_TIMEOUT_S)
    server.kill()
    left = worker.outlived(timeout_s=_CLING_TIMEOUT_S)
    worker.end()
    says = "its output is still open" if left else "it ended with the server"
    return Attempt("outlive a killed server", left, says)


def _left_child(worker: Worker) -> Attempt:
    worker.end()
    # A process left behind would hold the pipe of its output open.
    left = worker.outlived(timeout_s=2.0)
    says = "its output is still open" if left else "it ended with the worker"
    return Attempt("leave a process behind", left, says)


@contextmanager
def _victim() -> Iterator[tuple[dict[str, Any], socket.socket]]:
    """Plant a secret and servers of every kind; yield their addresses."""
    folder = Path(tempfile.mkdtemp(prefix="probe-"))
    secret = folder / "secret"
    secret.write_text("planted in a file")
    abstract = f"\0autorl-probe-{os.getpid()}"
    with contextlib.ExitStack() as stack:
        stack.callback(shutil.rmtree, folder, ignore_errors=True)
        tcp = stack.enter_context(socket.create_server(("127.0.0.1", 0)))
        udp = stack.enter_context(socket.socket(socket.AF_INET, socket.SOCK_DGRAM))
        udp.bind(("127.0.0.1", 0))
        _listen(stack, folder, abstract)
        targets = {
            "secret": str(secret),
            "folder": str(folder),
            "tcp": tcp.getsockname()[1],
            "udp": udp.getsockname()[1],
            "abstract": abstract,
            "owner": os.getpid(),
        }
        yield targets, udp


def _listen(stack: contextlib.ExitStack, folder: Path, abstract: str) -> None:
    """Listen at `socket` in the folder and, on Linux, at the abstract address."""
    addresses = [str(folder / "socket")]
    if sys.platform == "linux":
        # A socket's address has at most 107 bytes, which the folder's path alone may exceed.
        short = os.open(folder, os.O_PATH | os.O_DIRECTORY)
        stack.callback(os.close, short)
        addresses = [f"/proc/self/fd/{short}/socket", abstract]
    for address in addresses:
        server = stack.enter_context(socket.socket(socket.AF_UNIX))
        server.bind(address)
        server.listen()


def main() -> int:
    """Print the table."""
    settle()
    examination = examine()
    for line in examination.refused:
        print(f"not available: {line}")
    print(f"tier: {examination.tier or 'none'}")
    for attempt in examination.attempts:
        print(f"  {'REACHED' if attempt.reached else 'stopped':<8} {attempt.name}: {attempt.says}")
    print(examination.problem or "confinement holds")
    return int(examination.problem is not None)


if __name__ == "__main__":
    sys.exit(main())
