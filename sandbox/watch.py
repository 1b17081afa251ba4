"""Supervision of workers: is one dead, and does it hold too much memory?

RLIMIT_DATA limits each process alone, and shared memory not at all. This thread adds up the memory
of all processes of a worker and kills the worker beyond the limit. It reads resident sizes first,
which cost microseconds and never understate, and only if those exceed the limit the proportional
set sizes, which count a page shared by several processes once.

A dead worker whose child holds its channel open would seem alive to its owner: this thread closes
the channel. Linux only.
"""

import contextlib
import os
import threading
from pathlib import Path
from typing import Protocol

_PERIOD_S = 0.1
_TICK_S = 1 / os.sysconf("SC_CLK_TCK")
_PAGE_MB = os.sysconf("SC_PAGE_SIZE") / 2**20


class Watched(Protocol):
    """A worker."""

    pid: int

    def kill(self, why: str) -> None:
        """Kill it now."""

    def hang_up(self) -> None:
        """Close its channel."""


class Watch:
    """Watches any number of workers, with one thread that runs while there are some."""

    def __init__(self) -> None:
        self._limits_mb: dict[Watched, int | None] = {}
        self._changed = threading.Condition()
        self._thread: threading.Thread | None = None
        self._closed = False

    def add(self, worker: Watched, limit_mb: int | None) -> None:
        """Watch a worker with a limit of `limit_mb` MiB, None for none."""
        with self._changed:
            self._limits_mb[worker] = limit_mb
            self._changed.notify()
            if self._thread is None:
                self._thread = threading.Thread(target=self._run, daemon=True, name="watch")
                self._thread.start()

    def discard(self, worker: Watched) -> None:
        """Stop watching a worker."""
        with self._changed:
            self._limits_mb.pop(worker, None)

    def close(self) -> None:
        """End the thread."""
        with self._changed:
            self._closed = True
            self._changed.notify()

    def _run(self) -> None:
        while True:
            with self._changed:
                while not self._limits_mb and not self._closed:
                    self._changed.wait()
                if self._closed:
                    return
                watched = list(self._limits_mb.items())
            for worker, limit_mb in watched:
                self._look(worker, limit_mb)
            with self._changed:
                self._changed.wait_for(lambda: self._closed, _PERIOD_S)

    def _look(self, worker: Watched, limit_mb: int | None) -> None:
        if is_dead(worker.pid):
            self.discard(worker)
            worker.hang_up()
            return
        pids = [] if limit_mb is None else tree(worker.pid)
        if limit_mb is None or resident_mb(pids) <= limit_mb:
            return
        if (held_mb := private_mb(pids)) > limit_mb:
            self.discard(worker)
            worker.kill(
                f"killed: it and what it started held {held_mb:.0f} MiB, "
                f"the limit is {limit_mb} (memory_mb)"
            )
            worker.hang_up()


def is_dead(pid: int) -> bool:
    """Has a child of ours or of our server's ended, reaped or not?"""
    try:
        # The name before the state may hold any characters, brackets too.
        state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except FileNotFoundError:
        return Path("/proc/self").exists()
    except OSError:
        return False
    return state in "ZX"


def tree(pid: int) -> list[int]:
    """Return a process and those of its descendants that no other process has adopted."""
    found, todo = [], [pid]
    while todo:
        found.append(pid := todo.pop())
        with contextlib.suppress(OSError):
            for task in Path(f"/proc/{pid}/task").iterdir():
                todo += map(int, (task / "children").read_text().split())
    return found


def processor_s(pid: int) -> tuple[float, float]:
    """Return the processor seconds of a process's main thread, and of all threads and processes.

    The second includes its other threads, ended ones too, and its descendants. Zeros if the kernel
    does not report them.
    """
    main, everything = _ticks(f"/proc/{pid}/task/{pid}/stat", own=True), 0
    for one in tree(pid):
        everything += _ticks(f"/proc/{one}/stat", own=False)
    return main * _TICK_S, everything * _TICK_S


def _ticks(path: str, *, own: bool) -> int:
    """Return user and system time, with that of children waited for unless `own`."""
    with contextlib.suppress(OSError):
        fields = Path(path).read_text().rpartition(")")[2].split()
        return sum(map(int, fields[11:13] if own else fields[11:15]))
    return 0


def peak_mb(pid: int) -> float:
    """Return the largest resident set in MiB of a living process so far, else 0."""
    with contextlib.suppress(OSError):
        for line in Path(f"/proc/{pid}/status").read_text(errors="replace").splitlines():
            if line.startswith("VmHWM:"):
                return int(line.split()[1]) / 1024
    return 0.0


def resident_mb(pids: list[int]) -> float:
    """Return the sum of resident sizes in MiB; pages shared by several count for each."""
    pages = 0
    for pid in pids:
        with contextlib.suppress(OSError):
            pages += int(Path(f"/proc/{pid}/statm").read_text().split()[1])
    return pages * _PAGE_MB


def private_mb(pids: list[int]) -> float:
    """Return the proportional memory of these processes in MiB: anonymous and shared, no files."""
    kib = 0
    for pid in pids:
        with contextlib.suppress(OSError):
            for line in Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines():
                name, _, value = line.partition(":")
                if name in {"Pss_Anon", "Pss_Shmem", "SwapPss"}:
                    kib += int(value.split()[0])
    return kib / 1024
