"""Supervision of workers: is one dead, and does it hold too much memory or too many processes?

RLIMIT_DATA limits each process alone, and shared memory, page tables and what the kernel keeps for
sockets and pipes not at all. This thread adds up what all processes of a worker hold, and kills the
worker beyond the limit. It reads sizes first that cost microseconds and never understate, and only
if those exceed the limit the proportional ones, which count a page shared by several processes
once. Linux only.

Where a worker's private folder is no file system of its own, its names and sizes are added up too,
less often.

A dead worker whose child holds its channel open would seem alive to its owner: this thread closes
the channel.
"""

import contextlib
import itertools
import os
import threading
from pathlib import Path
from typing import Protocol

from sandbox.confinement import PROCESSES

_PERIOD_S = 0.1
_IDLE_PERIODS = 10
"""An idle worker, in which nothing of a candidate's has run, is looked at this much less often."""
_FOLDER_PERIODS = 10
"""A private folder is looked into this much less often."""
_NAMES = 100_000
"""The most names in a private folder, as where it is a file system of its own."""
_TICK_S = 1 / os.sysconf("SC_CLK_TCK")
_PAGE_MB = os.sysconf("SC_PAGE_SIZE") / 2**20


def _buffer_mb() -> float:
    """Return the most that a pipe or an end of a socket pair holds; a worker can't change that."""
    send_bytes = 212_992
    with contextlib.suppress(OSError, ValueError):
        send_bytes = int(Path("/proc/sys/net/core/wmem_default").read_text())
    return max(send_bytes / 2**20, 16 * _PAGE_MB)


_BUFFER_MB = _buffer_mb()


class Watched(Protocol):
    """A worker."""

    pid: int
    """Of its init."""

    def kill(self, why: str) -> None:
        """Kill it now."""

    def hang_up(self) -> None:
        """Close its channel."""


class Watch:
    """Watches any number of workers, with one thread that runs while there are some."""

    def __init__(self) -> None:
        self._limits_mb: dict[Watched, int | None] = {}
        self._folders: dict[Watched, tuple[str, int]] = {}
        self._idle: set[Watched] = set()
        self._changed = threading.Condition()
        self._thread: threading.Thread | None = None
        self._closed = False

    def add(
        self,
        worker: Watched,
        limit_mb: int | None,
        *,
        idle: bool = False,
        folder: tuple[str, int] | None = None,
    ) -> None:
        """Watch a worker.

        Args:
            worker: the worker.
            limit_mb: of its memory, in MiB; None for none.
            idle: look at it less often.
            folder: its private folder, and how much this may hold in MiB; None where that is a file
                system of its own.
        """
        with self._changed:
            if idle:
                self._idle.add(worker)
            if folder is not None:
                self._folders[worker] = folder
            self._limits_mb[worker] = limit_mb
            self._changed.notify()
            if self._thread is None:
                self._thread = threading.Thread(target=self._run, daemon=True, name="watch")
                self._thread.start()

    def begin(self, worker: Watched) -> None:
        """From now on look at a worker as often as at others."""
        with self._changed:
            self._idle.discard(worker)

    def discard(self, worker: Watched) -> None:
        """Stop watching a worker."""
        with self._changed:
            self._limits_mb.pop(worker, None)
            self._folders.pop(worker, None)
            self._idle.discard(worker)

    def close(self) -> None:
        """End the thread."""
        with self._changed:
            self._closed = True
            self._changed.notify()

    def _run(self) -> None:
        for turn in itertools.count():
            with self._changed:
                while not self._limits_mb and not self._closed:
                    self._changed.wait()
                if self._closed:
                    return
                passed_over = self._idle if turn % _IDLE_PERIODS else ()
                watched = [one for one in self._limits_mb.items() if one[0] not in passed_over]
            for worker, limit_mb in watched:
                self._look(worker, limit_mb)
                if turn % _FOLDER_PERIODS == 0:
                    self._look_into_folder(worker)
            with self._changed:
                self._changed.wait_for(lambda: self._closed, _PERIOD_S)

    def _look(self, worker: Watched, limit_mb: int | None) -> None:
        if is_dead(worker.pid):
            self.discard(worker)
            worker.hang_up()
            return
        pids = tree(worker.pid)[1:]  # without its init
        if (count := len(pids)) > PROCESSES:
            self._end(worker, f"it had started {count} processes, the limit is {PROCESSES}")
        elif limit_mb is None:
            return
        elif most_mb(pids) > limit_mb and (held_mb := private_mb(pids)) > limit_mb:
            words = f"held {held_mb:.0f} MiB, the limit is {limit_mb} (memory_mb)"
            self._end(worker, f"it and what it started {words}")

    def _look_into_folder(self, worker: Watched) -> None:
        folder, most = self._folders.get(worker, (None, 0))
        if folder is not None and (why := excess(folder, most)):
            self._end(worker, why)

    def _end(self, worker: Watched, why: str) -> None:
        self.discard(worker)
        worker.kill(f"killed: {why}")
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


def excess(folder: str, limit_mb: int) -> str | None:
    """Return what a folder holds too much of, names or MiB; None if it does not."""
    names, size, todo = 0, 0, [folder]
    while todo:
        with contextlib.suppress(OSError), os.scandir(todo.pop()) as entries:
            for entry in entries:
                names += 1
                with contextlib.suppress(OSError):  # it is gone already
                    size += entry.stat(follow_symlinks=False).st_blocks * 512
                    if entry.is_dir(follow_symlinks=False):
                        todo.append(entry.path)
                if names > _NAMES:
                    return f"it had made more than {_NAMES} files in its temporary folder"
    if size > limit_mb * 2**20:
        return f"its temporary files took {size / 2**20:.0f} MiB, the limit is {limit_mb}"
    return None


def children(pid: int) -> list[int]:
    """Return the children of a process, those of all its threads."""
    found: list[int] = []
    with contextlib.suppress(OSError):
        for task in Path(f"/proc/{pid}/task").iterdir():
            found += map(int, (task / "children").read_text().split())
    return found


def tree(pid: int) -> list[int]:
    """Return a process and its descendants, those of dead ones too if it adopts orphans."""
    found, todo = [], [pid]
    while todo:
        found.append(pid := todo.pop())
        todo += children(pid)
    return found


def processor_s(init: int, main: int | None) -> tuple[float, float]:
    """Return the processor seconds of a worker's main thread, and of all it ever started.

    The second is complete: a process that has ended is counted by whoever reaped it, its parent or
    the init, and nobody can ignore a child's end (see `sandbox.seccomp`). Zeros if the kernel does
    not report them.
    """
    own = 0 if main is None else sum(_ticks(f"/proc/{main}/task/{main}/stat")[:2])
    # A process that is reaped while we look may be missed once, hardly twice.
    return own * _TICK_S, max(_total_ticks(init), _total_ticks(init)) * _TICK_S


def _total_ticks(init: int) -> int:
    everything = sum(_ticks(f"/proc/{init}/stat")[2:])  # the init's own work is not the worker's
    for one in tree(init)[1:]:
        everything += sum(_ticks(f"/proc/{one}/stat"))
    return everything


def _ticks(path: str) -> list[int]:
    """Return user and system time, then those of the children that were waited for."""
    with contextlib.suppress(OSError):
        fields = Path(path).read_text().rpartition(")")[2].split()
        return [int(field) for field in fields[11:15]]
    return []


def peak_mb(pid: int) -> float:
    """Return the largest resident set in MiB of a living process so far, else 0."""
    with contextlib.suppress(OSError):
        for line in Path(f"/proc/{pid}/status").read_text(errors="replace").splitlines():
            if line.startswith("VmHWM:"):
                return int(line.split()[1]) / 1024
    return 0.0


def most_mb(pids: list[int]) -> float:
    """Return at least what these processes hold in MiB; what several share counts for each."""
    pages = open_files = 0
    for pid in pids:
        with contextlib.suppress(OSError):
            pages += int(Path(f"/proc/{pid}/statm").read_text().split()[1])
            open_files += len(list(Path(f"/proc/{pid}/fd").iterdir()))
    return pages * _PAGE_MB + open_files * _BUFFER_MB + _page_tables_mb(pids)


def private_mb(pids: list[int]) -> float:
    """Return what these processes hold in MiB, files left out, proportional where it is shared.

    With what the kernel holds for them: page tables, and what open pipes and sockets can hold.
    """
    kib = 0
    for pid in pids:
        with contextlib.suppress(OSError):
            for line in Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines():
                name, _, value = line.partition(":")
                if name in {"Pss_Anon", "Pss_Shmem", "SwapPss"}:
                    kib += int(value.split()[0])
    return kib / 1024 + _page_tables_mb(pids) + _buffers_mb(pids)


def _page_tables_mb(pids: list[int]) -> float:
    kib = 0
    for pid in pids:
        with contextlib.suppress(OSError):
            _, _, rest = Path(f"/proc/{pid}/status").read_text(errors="replace").partition("VmPTE:")
            kib += int(rest.split(maxsplit=1)[0]) if rest else 0
    return kib / 1024


def _buffers_mb(pids: list[int]) -> float:
    """Return the most that the kernel may keep for these processes' pipes and sockets, each once.

    None is anywhere else: a worker can't send a descriptor, so all of them are open somewhere.
    """
    found = set()
    for pid in pids:
        with contextlib.suppress(OSError):
            for descriptor in Path(f"/proc/{pid}/fd").iterdir():
                with contextlib.suppress(OSError):
                    found.add(str(descriptor.readlink()))
    return sum(one.startswith(("socket:", "pipe:")) for one in found) * _BUFFER_MB
