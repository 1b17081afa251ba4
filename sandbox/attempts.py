"""The worker's side of the probe: everything that a confined worker must not be able to do."""

import contextlib
import ctypes
import errno
import mmap
import os
import signal
import socket
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from sandbox import syscalls, whispers
from sandbox.channel import Channel

_MIB = 1024 * 1024
_HOLD_MB = 512
_STAYS_S = 20.0
_HELD: list[socket.socket] = []
"""What must not be closed."""


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
    whispers.mark_open_files()
    channel.send({"attempts": rows})
    time.sleep(60)  # the owner ends us


def _read_secret(targets: dict[str, Any]) -> str:
    return Path(targets["secret"]).read_text()


def _write_outside(targets: dict[str, Any]) -> str:
    Path(targets["folder"], "written").write_text("x")
    return "written"


def _change_times_outside(targets: dict[str, Any]) -> str:
    os.utime(targets["secret"], (0, 0))
    return "changed"


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


def _connect_by_path(targets: dict[str, Any]) -> str:
    here = Path.cwd()
    os.chdir(targets["folder"])  # its path may be too long for a socket's address
    try:
        return _connect(socket.AF_UNIX, socket.SOCK_STREAM, "socket")
    finally:
        os.chdir(here)


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


def _clear_the_death_signal(_: dict[str, Any]) -> str:
    syscalls.prctl(1, 0)  # PR_SET_PDEATHSIG
    return "cleared"


def _hide(_: dict[str, Any]) -> str:
    syscalls.prctl(4, 0)  # PR_SET_DUMPABLE
    syscalls.prctl(4, 1)
    return "its memory can't be measured"


def _other_pair(_: dict[str, Any]) -> str:
    try:
        socket.socketpair(socket.AF_INET, socket.SOCK_STREAM)
    except OSError as error:
        if error.errno == errno.EPERM:
            raise
    return "the network's code answered"


def _memory_file(_: dict[str, Any]) -> str:
    os.close(os.memfd_create("probe"))
    return "made one"


def _sibling(_: dict[str, Any]) -> str:
    if syscalls.call("clone", 0x8000 | 17, 0, 0, 0, 0) == 0:  # CLONE_PARENT
        os._exit(0)
    return "started one"


def _ignore_children(_: dict[str, Any]) -> str:
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    return "their processor time is nobody's"


_ATTEMPTS: dict[str, Callable[[dict[str, Any]], str]] = {
    "read a file outside": _read_secret,
    "write outside": _write_outside,
    "change a file's times outside": _change_times_outside,
    "write to a library": _write_to_a_library,
    "connect over TCP": lambda t: _connect(
        socket.AF_INET, socket.SOCK_STREAM, ("127.0.0.1", t["tcp"])
    ),
    "send over UDP": lambda t: _connect(socket.AF_INET, socket.SOCK_DGRAM, ("127.0.0.1", t["udp"])),
    "connect to a unix socket": _connect_by_path,
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
    "clear its death signal": _clear_the_death_signal,
    "hide its memory from the owner": _hide,
    **whispers.WHISPERS,
    "make a socket pair of another family": _other_pair,
    "make a memory file": _memory_file,
    "start a sibling": _sibling,
    "ignore the end of its children": _ignore_children,
}


def hold_page_tables(channel: Channel) -> None:
    """Fill page tables: the same page of zeros at every two MiB of a large reservation."""
    libc = ctypes.CDLL(None)
    libc.mmap.restype = ctypes.c_void_p
    flags, step = mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS | 0x4000, 2 * _MIB  # MAP_NORESERVE
    size = ctypes.c_size_t(_HOLD_MB * 256 * step)  # a page of 4 KiB for each step
    start = libc.mmap(None, size, mmap.PROT_READ, flags, -1, ctypes.c_long(0))
    libc.madvise(ctypes.c_void_p(start), size, 15)  # MADV_NOHUGEPAGE
    for at in range(start, start + size.value, step):
        _ = ctypes.c_ubyte.from_address(at).value
    _tell_for_ever(channel)


def hold_sockets(channel: Channel) -> None:
    """Have the kernel keep memory in the queues of socket pairs, in four processes."""
    ready, tell = os.pipe()
    for _ in range(4):
        if os.fork():
            continue
        _fill_sockets(_HOLD_MB // 4)
        os.write(tell, b"x")
        time.sleep(_STAYS_S)
        os._exit(0)
    for _ in range(4):
        os.read(ready, 1)
    _tell_for_ever(channel)


def _fill_sockets(size_mb: int) -> None:
    held: list[socket.socket] = []
    sent = 0
    with contextlib.suppress(OSError):
        while sent < size_mb * _MIB:
            held += socket.socketpair()
            for end in held[-2:]:
                end.setblocking(False)
                with contextlib.suppress(BlockingIOError):
                    while True:
                        sent += end.send(bytes(65536))
    _HELD.extend(held)


def _tell_for_ever(channel: Channel) -> None:
    for held in range(1, 1000):
        channel.send({"held": held})
        time.sleep(0.1)


def cling(channel: Channel) -> None:
    """Do everything to outlive the server: no death signal, no parent, another session."""
    libc = ctypes.CDLL(None)
    libc.prctl(1, 0, 0, 0, 0)
    with contextlib.suppress(OSError):
        os.kill(os.getppid(), signal.SIGKILL)
    if not os.fork():
        os.setsid()
        libc.prctl(1, 0, 0, 0, 0)
    else:
        channel.send({"ready": True})
    time.sleep(_STAYS_S)
    os._exit(0)
