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
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from sandbox import landlock, syscalls
from sandbox.channel import Channel, ChannelError
from sandbox.confinement import Tier
from sandbox.launcher import ConfinementError, ServerFailedError, Worker, WorkerServer

LEAST_LANDLOCK = 3
_ENTRY = "sandbox.probe:attempt_all"
_TIMEOUT_S = 30.0


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

    @property
    def reached(self) -> tuple[str, ...]:
        """Names of the successful attempts; empty if confinement holds."""
        return tuple(attempt.name for attempt in self.attempts if attempt.reached)

    @property
    def problem(self) -> str | None:
        """Why candidates can't be confined here, None if they can."""
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
        except (ConfinementError, ServerFailedError, OSError) as error:
            words = str(error).strip().splitlines()
            refused.append(f"{tier}: {words[-1] if words else 'the worker died'}")
    return Examination(None, (), tuple(refused))


def _tiers() -> tuple[Tier, ...]:
    if sys.platform == "darwin":
        return (Tier.SANDBOX_EXEC,)
    return (Tier.NAMESPACES, Tier.REDUCED)


# -- the owner's side ------------------------------------------------------------------------------


def _probe(tier: Tier) -> list[Attempt]:
    planted = ctypes.create_string_buffer(b"planted in memory")
    with (
        _victim() as (targets, udp),
        WorkerServer(preload=["sandbox.probe"], environment=os.environ, tier=tier) as server,
    ):
        worker = server.launch(_ENTRY, memory_mb=1024)
        address = ctypes.addressof(planted)
        worker.channel.send({**targets, "address": address, "length": len(planted)})
        try:
            head, _ = worker.channel.receive(_TIMEOUT_S)
            attempts = [Attempt(*row) for row in head["attempts"]]
        except ChannelError as error:
            worker.end()
            raise ConfinementError(f"the probe died: {error}\n{worker.output()}") from error
        attempts.append(_left_child(worker))
        udp.setblocking(False)
        with contextlib.suppress(BlockingIOError):
            udp.recv(16)
            attempts.append(Attempt("reach the UDP server", reached=True, says="a datagram came"))
    return attempts


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
        addresses = [str(folder / "socket")]
        if sys.platform == "linux":
            addresses.append(abstract)
        for address in addresses:
            server = stack.enter_context(socket.socket(socket.AF_UNIX))
            server.bind(address)
            server.listen()
        targets = {
            "secret": str(secret),
            "folder": str(folder),
            "tcp": tcp.getsockname()[1],
            "udp": udp.getsockname()[1],
            "unix": addresses[0],
            "abstract": abstract,
            "owner": os.getpid(),
        }
        yield targets, udp


# -- the worker's side -----------------------------------------------------------------------------


class _UnreachableError(Exception):
    """The attempt found nothing to reach."""


def attempt_all(channel: Channel) -> None:
    """Try everything, then report `[name, reached, words]` for each."""
    targets, _ = channel.receive()
    rows = []
    for name, attempt in _ATTEMPTS.items():
        try:
            rows.append([name, True, str(attempt(targets))[:100]])
        except (OSError, _UnreachableError) as error:
            says = getattr(error, "strerror", None) or str(error)
            rows.append([name, False, says[:100]])
    if not os.fork():  # a child to leave behind, outside of our session
        os.setsid()
        time.sleep(60)
        os._exit(0)
    channel.send({"attempts": rows})
    time.sleep(60)  # the owner ends us


def _read_secret(targets: dict[str, Any]) -> str:
    return Path(targets["secret"]).read_text()


def _write_outside(targets: dict[str, Any]) -> str:
    Path(targets["folder"], "written").write_text("x")
    return "written"


def _write_to_a_library(_: dict[str, Any]) -> str:
    path = Path(__file__).with_name("written-by-the-probe")
    path.write_text("x")
    path.unlink()
    return "written"


def _connect(family: int, kind: int, address: Any) -> str:
    with socket.socket(family, kind) as sock:
        sock.settimeout(2)
        sock.connect(address)
        sock.send(b"x")
    return "connected"


def _datagram_pair(_: dict[str, Any]) -> str:
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_DGRAM)
    with ours, theirs:
        return "made one, which can send to any named socket"


def _others_environment(_: dict[str, Any]) -> str:
    for entry in Path("/proc").glob("[0-9]*"):
        pid = int(entry.name)
        if pid == os.getpid():
            continue
        with contextlib.suppress(OSError):
            (entry / "environ").read_bytes()
            return f"read process {pid}'s"
    raise _UnreachableError("no other process can be read")


def _owners_memory(targets: dict[str, Any]) -> str:
    buffer = ctypes.create_string_buffer(targets["length"])
    local = (ctypes.c_size_t * 2)(ctypes.addressof(buffer), targets["length"])
    remote = (ctypes.c_size_t * 2)(targets["address"], targets["length"])
    syscalls.call(
        "process_vm_readv", targets["owner"], ctypes.string_at(local, 16), 1,
        ctypes.string_at(remote, 16), 1, 0,
    )  # fmt: skip
    return buffer.value.decode(errors="replace")


def _owners_memory_file(targets: dict[str, Any]) -> str:
    with Path(f"/proc/{targets['owner']}/mem").open("rb") as memory:
        memory.seek(targets["address"])
        return memory.read(targets["length"]).decode(errors="replace")


def _signal_owner(targets: dict[str, Any]) -> str:
    if targets["owner"] == os.getpid():
        raise _UnreachableError("the number is our own here")
    os.kill(targets["owner"], 0)
    return "could"


def _trace_owner(targets: dict[str, Any]) -> str:
    syscalls.call("ptrace", 0x4206, targets["owner"], 0, 0)  # PTRACE_SEIZE stops nothing
    return "attached"


def _new_namespace(_: dict[str, Any]) -> str:
    syscalls.call("unshare", 0x10000000)
    return "made one"


def _run_a_program(_: dict[str, Any]) -> str:
    pid = os.fork()
    if not pid:
        try:
            os.execv(sys.executable, [sys.executable, "-c", ""])  # noqa: S606 - the attempt
        finally:
            os._exit(99)
    if os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 99:
        raise _UnreachableError("the kernel refused")
    return "ran"


_ATTEMPTS: dict[str, Callable[[dict[str, Any]], str]] = {
    "read a file outside": _read_secret,
    "write outside": _write_outside,
    "write to a library": _write_to_a_library,
    "connect over TCP": lambda t: _connect(
        socket.AF_INET, socket.SOCK_STREAM, ("127.0.0.1", t["tcp"])
    ),
    "send over UDP": lambda t: _connect(socket.AF_INET, socket.SOCK_DGRAM, ("127.0.0.1", t["udp"])),
    "connect to a unix socket": lambda t: _connect(socket.AF_UNIX, socket.SOCK_STREAM, t["unix"]),
    "connect to an abstract socket": lambda t: _connect(
        socket.AF_UNIX, socket.SOCK_STREAM, t["abstract"]
    ),
    "make a datagram pair": _datagram_pair,
    "read another process's environment": _others_environment,
    "read the owner's memory": _owners_memory,
    "read the owner's memory file": _owners_memory_file,
    "signal the owner": _signal_owner,
    "trace the owner": _trace_owner,
    "make a user namespace": _new_namespace,
    "run a program": _run_a_program,
}


def main() -> int:
    """Print the table."""
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
