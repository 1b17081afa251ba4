"""The trusted parent of a worker: process 1 of its PID namespace, where it has one of its own.

No candidate code runs in it, and a worker can neither stop nor trace it: process 1 ignores signals
from inside that it did not ask for, Landlock or seccomp keep the worker's signals away where there
is no namespace, and its memory is closed to all. When the worker ends, when the server lets go of
the *leash* (a socket that only the two of them hold), or when the server dies, it kills and reaps
whatever the worker started, reports how the worker ended, and ends. What the worker's processes
used is complete by then: every one of them was reaped by its parent or by this process.
"""

import contextlib
import fcntl
import os
import resource
import signal
import socket
import struct
import sys
from dataclasses import dataclass
from typing import NoReturn

from sandbox import namespaces
from sandbox.inherited import replace_standard_input
from sandbox.prctl import adopt_orphans, die_with_parent, end_children, hide_memory

_SIGNALS = (signal.SIGCHLD, signal.SIGTERM, signal.SIGIO)
_REPORT = struct.Struct("<idd")
_MAXRSS_UNIT = 1024 if sys.platform == "linux" else 1024 * 1024  # KiB there, bytes on macOS


@dataclass(frozen=True)
class Report:
    """How a worker ended, and what it and all it started used."""

    status: int
    """As `os.wait` returns it."""
    peak_memory_mb: float
    """Largest resident set of any one process in MiB."""
    cpu_s: float
    """User plus system time in seconds, of all processes."""


def fork_worker(leash: socket.socket, user: int | None) -> None:
    """Fork the worker, and return only there; this process becomes its init and never returns.

    `user` is who both become if root started them, in namespaces; None without those.
    """
    os.setsid()  # a signal to the server's group is no reason to leave a worker alone
    adopt_orphans()
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)  # ignored, children would be reaped unseen
    # Blocked, they wait for `sigwait`, also for process 1 and before its first call.
    signal.pthread_sigmask(signal.SIG_BLOCK, _SIGNALS)
    worker = os.fork()
    if worker:
        _supervise(worker, leash, user)
    signal.pthread_sigmask(signal.SIG_UNBLOCK, _SIGNALS)
    leash.close()


def read_report(leash: socket.socket, timeout_s: float) -> Report | None:
    """Return an init's report; None if it ended without one, or sent none in time."""
    leash.settimeout(timeout_s)
    try:
        return Report(*_REPORT.unpack(leash.recv(_REPORT.size)))
    except (OSError, struct.error):
        return None


def _supervise(worker: int, leash: socket.socket, user: int | None) -> NoReturn:
    try:
        replace_standard_input()
        for descriptor in (1, 2):
            os.dup2(0, descriptor)  # the worker's output ends with the worker
        os.chdir("/")
        low = leash.fileno()
        os.closerange(3, low)
        os.closerange(low + 1, resource.getrlimit(resource.RLIMIT_NOFILE)[0])
        if user is not None:
            namespaces.become(user)
            namespaces.drop_capabilities()
        hide_memory()
        die_with_parent(signal.SIGTERM)  # after the change of user, which undoes it
        _ask_for_signals(leash)
        status = _wait(worker, leash)
        _end_all(worker if status is None else None)
        used = resource.getrusage(resource.RUSAGE_CHILDREN)
        if status is None:
            status = signal.SIGKILL
        report = _REPORT.pack(status, used.ru_maxrss / _MAXRSS_UNIT, used.ru_utime + used.ru_stime)
        with contextlib.suppress(OSError):
            leash.send(report, socket.MSG_NOSIGNAL)
    finally:
        os._exit(0)


def _ask_for_signals(leash: socket.socket) -> None:
    """Have SIGIO sent when the server lets go."""
    leash.setblocking(False)
    fcntl.fcntl(leash, fcntl.F_SETOWN, os.getpid())
    fcntl.fcntl(leash, fcntl.F_SETFL, fcntl.fcntl(leash, fcntl.F_GETFL) | os.O_ASYNC)


def _wait(worker: int, leash: socket.socket) -> int | None:
    """Reap until the worker has ended; return its status, None if it must be killed."""
    while True:
        status = _reap(worker)
        if status is not None or not _is_held(leash):
            return status
        if signal.sigwait(_SIGNALS) == signal.SIGTERM:
            return _reap(worker)


def _reap(worker: int) -> int | None:
    """Reap every child that has ended; return the worker's status if it is among them."""
    found = None
    with contextlib.suppress(ChildProcessError):
        while (ended := os.waitpid(-1, os.WNOHANG))[0]:
            if ended[0] == worker:
                found = ended[1]
    return found


def _is_held(leash: socket.socket) -> bool:
    """Does the server still hold its end? It never sends anything."""
    try:
        return leash.recv(1) != b""
    except BlockingIOError:
        return True


def _end_all(worker: int | None) -> None:
    """Kill and reap everything below this process; `worker` if it was not reaped yet."""
    if os.getpid() == 1:
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.kill(-1, signal.SIGKILL)
        with contextlib.suppress(ChildProcessError):
            while True:
                os.waitpid(-1, 0)
    if worker is not None:
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(worker, signal.SIGKILL)  # all of its session at once
        with contextlib.suppress(ProcessLookupError, ChildProcessError):
            os.kill(worker, signal.SIGKILL)  # it may not have reached its setsid yet
            os.waitpid(worker, 0)
    end_children()
