"""Lifetimes of processes, by Linux prctl; elsewhere these functions do nothing."""

import contextlib
import ctypes
import os
import signal
import sys
import time
from collections.abc import Set
from pathlib import Path

_PR_SET_PDEATHSIG = 1
_PR_SET_DUMPABLE = 4
_PR_SET_CHILD_SUBREAPER = 36
_END_TIMEOUT_S = 10.0
_libc = ctypes.CDLL(None, use_errno=True)


def die_with_parent(number: int = signal.SIGKILL) -> None:
    """Ask the kernel to signal this process, by default to kill it, when its parent thread ends."""
    _prctl(_PR_SET_PDEATHSIG, number)


def hide_memory() -> None:
    """Close this process's memory and descriptors to others of its user, to debuggers too."""
    _prctl(_PR_SET_DUMPABLE, 0)


def adopt_orphans() -> None:
    """Become the parent of every descendant whose own parent dies."""
    _prctl(_PR_SET_CHILD_SUBREAPER, 1)


def end_children(spared: Set[int] = frozenset()) -> None:
    """Kill and reap this process's children, except those spared.

    After `adopt_orphans` they include processes that escaped from a worker's session.
    """
    children = Path(f"/proc/self/task/{os.getpid()}/children")
    deadline = time.monotonic() + _END_TIMEOUT_S
    while time.monotonic() < deadline:  # killing one may make its children ours
        try:
            found = {int(word) for word in children.read_text().split()} - spared
        except OSError:
            return
        if not found:
            return
        for pid in found:  # all of them, before the first one is waited for
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        for pid in found:
            with contextlib.suppress(ChildProcessError):
                os.waitpid(pid, 0)


def _prctl(option: int, value: int) -> None:
    if sys.platform == "linux":
        _libc.prctl(option, value, 0, 0, 0)
