"""A pool of workers: launched before they are needed and reaped after use, in the background.

An idle worker is an ordinary worker, confined and waiting for its first message: only the code of
its entry has run in it, so that it is looked at less often. Each worker is used once. A released
worker is killed at once and reaped in the background, but always before another worker is acquired.
"""

import threading
from collections import Counter, defaultdict
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from sandbox.launcher import ConfinementError, ServerFailedError, Worker, WorkerServer

_MAX_IDLE = 16


@dataclass(frozen=True)
class _Kind:
    """All parameters of a launch."""

    entry: str
    memory_mb: int | None
    cpu_s: int | None
    devices: tuple[str, ...]


class WorkerPool:
    """Keeps as many idle workers of each kind as were ever used in a row, launched while none runs.

    A row begins and ends with no worker in use: it is what the next one will need.

    Idle workers of an entry are discarded when it is requested with other limits. Safe to use from
    several threads. One thread of the pool reaps and launches, one worker at a time. If a launch
    fails there, the next `acquire` launches the worker itself, and raises.
    """

    def __init__(self, server: WorkerServer, *, max_idle: int = _MAX_IDLE) -> None:
        """Launch with `server`, and keep at most `max_idle` idle workers in all."""
        self._server = server
        self._max_idle = max_idle
        self._changed = threading.Condition()
        self._target: Counter[_Kind] = Counter()
        """How many idle workers of each kind to keep."""
        self._idle: defaultdict[_Kind, list[Worker]] = defaultdict(list)
        self._launching: _Kind | None = None
        """The worker that the thread is launching."""
        self._acquiring = 0
        """Calls of `acquire` in progress."""
        self._in_use: dict[Worker, _Kind] = {}
        self._row: Counter[_Kind] = Counter()
        """Workers acquired since none was in use."""
        self._reaping: list[Worker] = []
        self._closed = False
        self._thread_error: Exception | None = None
        """The exception that ended the thread."""
        self._thread = threading.Thread(target=self._run, daemon=True, name="worker pool")
        self._thread.start()

    def acquire(
        self,
        entry: str,
        *,
        memory_mb: int | None = None,
        cpu_s: int | None = None,
        devices: Sequence[str] = (),
    ) -> Worker:
        """Return a worker as `WorkerServer.launch` does, an idle one if there is one.

        Every released worker, with its descendants, is gone by then.

        Raises:
            ServerFailedError: the server is gone.
            ConfinementError: the worker could not be confined.
        """
        kind = _Kind(entry, memory_mb, cpu_s, tuple(devices))
        with self._changed:
            self._acquiring += 1
        try:
            worker = self._take_idle(kind) or self._launch(kind)
            worker.begin()
            with self._changed:
                self._in_use[worker] = kind
                self._row[kind] += 1
                self._target[kind] = max(self._target[kind], self._row[kind])
        finally:
            with self._changed:
                self._acquiring -= 1
                self._changed.notify_all()
        return worker

    def release(self, worker: Worker) -> None:
        """End an acquired worker and its descendants, without waiting for them."""
        worker.kill("released")
        with self._changed:
            del self._in_use[worker]
            if not self._in_use:
                self._row.clear()
            self._reaping.append(worker)
            self._changed.notify_all()

    def has_died(self) -> bool:
        """Has the server died, and every worker with it?"""
        return self._server.has_died()

    def wait_idle(self) -> set[int]:
        """Wait until nothing is being launched or reaped; return the idle workers' process numbers.

        Raises:
            Exception: the exception that ended the pool's thread.
        """
        with self._changed:
            self._wait_until(
                lambda: not (self._launching or self._reaping or self._next_to_launch())
            )
            return {worker.pid for workers in self._idle.values() for worker in workers}

    def close(self) -> None:
        """End the thread and every idle worker."""
        with self._changed:
            self._closed = True
            self._changed.notify_all()
        self._thread.join()
        left = [*self._reaping, *(worker for workers in self._idle.values() for worker in workers)]
        self._idle.clear()
        for worker in left:  # all at once, before the first one is waited for
            worker.kill("closed")
        for worker in left:
            worker.end()

    # In the threads that acquire.

    def _take_idle(self, kind: _Kind) -> Worker | None:
        """Return a living idle worker of this kind, once every released worker is gone."""
        with self._changed:
            for other in [k for k in self._target if k.entry == kind.entry and k != kind]:
                del self._target[other]
                self._discard(*self._idle.pop(other, ()))
            self._wait_until(lambda: not self._reaping)
            # A worker being launched is ready sooner than one launched from now on.
            self._wait_until(lambda: bool(self._idle[kind]) or self._launching != kind)
            while workers := self._idle[kind]:
                worker = workers.pop(0)
                if worker.is_idle():
                    return worker
                self._discard(worker)
        return None

    def _discard(self, *workers: Worker) -> None:
        for worker in workers:
            worker.kill("an idle worker that is not needed")
        self._reaping += workers
        self._changed.notify_all()

    def _wait_until(self, condition: Callable[[], bool]) -> None:
        self._changed.wait_for(lambda: self._closed or self._thread_error or condition())
        if self._thread_error is not None:
            raise self._thread_error

    def _launch(self, kind: _Kind) -> Worker:
        return self._server.launch(
            kind.entry,
            memory_mb=kind.memory_mb,
            cpu_s=kind.cpu_s,
            devices=kind.devices,
            idle=True,
        )

    # In the pool's thread.

    def _run(self) -> None:
        try:
            while self._turn():
                pass
        except Exception as error:  # noqa: BLE001 - raised by the next `acquire`
            with self._changed:
                self._thread_error = error
                self._changed.notify_all()

    def _turn(self) -> bool:
        """Reap every released worker or launch one idle worker; return False when closed."""
        with self._changed:
            self._changed.wait_for(lambda: self._closed or self._reaping or self._next_to_launch())
            if self._closed:
                return False
            reaping = list(self._reaping)
            self._launching = kind = None if reaping else self._next_to_launch()
        for worker in reaping:
            worker.end()
        if kind is not None:
            self._add(kind)
        with self._changed:
            del self._reaping[: len(reaping)]
            self._launching = None
            self._changed.notify_all()
        return True

    def _add(self, kind: _Kind) -> None:
        """Launch an idle worker; after a failure, the next `acquire` of its kind tries and raises.

        The failure may be transient, so it ends neither the thread nor the pool.
        """
        try:
            worker = self._launch(kind)
        except (ServerFailedError, ConfinementError, OSError):
            worker = None
        with self._changed:
            if worker is None:
                self._target.pop(kind, None)
            elif kind in self._target:
                self._idle[kind].append(worker)
            else:
                self._discard(worker)  # the limits have changed since

    def _next_to_launch(self) -> _Kind | None:
        """Return the kind to launch next, if one is missing and the processors are free."""
        has_room = sum(map(len, self._idle.values())) < self._max_idle
        if self._acquiring or self._in_use or not has_room:
            return None
        missing = [kind for kind, count in self._target.items() if self._idle_count(kind) < count]
        return min(
            missing, key=lambda kind: self._idle_count(kind) / self._target[kind], default=None
        )

    def _idle_count(self, kind: _Kind) -> int:
        return len(self._idle[kind])
