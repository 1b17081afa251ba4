"""Workers launched before they are wanted and reaped after they are done, in the background.

A spare is an ordinary worker, confined and waiting for its first message: no code but its entry's
has run in it. It is taken once. A worker that is given back is killed at once and reaped behind its
owner's back, but before anybody is given another.
"""

import threading
from collections import Counter, defaultdict
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from sandbox.launcher import ConfinementError, ServerFailedError, Worker, WorkerServer

_MOST = 16


@dataclass(frozen=True)
class _Kind:
    """All that a launch depends on."""

    entry: str
    memory_mb: int | None
    cpu_s: int | None
    devices: tuple[str, ...]


class Spares:
    """Keeps as many workers of each kind as ever ran at once, launched while none runs.

    An entry's spares are dropped when it is wanted with other limits. Safe to use from several
    threads. A thread of its own reaps and launches, one thing at a time. What it can't launch is
    left to the next `take`, which raises.
    """

    def __init__(self, server: WorkerServer, *, most: int = _MOST) -> None:
        """Launch with `server`, and keep at most `most` spares in all."""
        self._server = server
        self._most = most
        self._changed = threading.Condition()
        self._wanted: Counter[_Kind] = Counter()
        self._waiting: defaultdict[_Kind, list[Worker]] = defaultdict(list)
        self._coming: _Kind | None = None
        """What the thread is launching."""
        self._takers = 0
        self._running: dict[Worker, _Kind] = {}
        self._leaving: list[Worker] = []
        self._closed = False
        self._bug: Exception | None = None
        """What ended the thread."""
        self._thread = threading.Thread(target=self._run, daemon=True, name="spares")
        self._thread.start()

    def take(
        self,
        entry: str,
        *,
        memory_mb: int | None = None,
        cpu_s: int | None = None,
        devices: Sequence[str] = (),
    ) -> Worker:
        """Return a worker as `WorkerServer.launch` does, a spare if there is one.

        Every worker that was given back, and all it started, is gone by then.

        Raises:
            ServerFailedError: the server is gone.
            ConfinementError: the worker could not be confined.
        """
        kind = _Kind(entry, memory_mb, cpu_s, tuple(devices))
        with self._changed:
            self._takers += 1
        try:
            worker = self._spare(kind) or self._launch(kind)
            with self._changed:
                self._running[worker] = kind
                at_once = Counter(self._running.values())[kind]
                self._wanted[kind] = max(self._wanted[kind], at_once)
        finally:
            with self._changed:
                self._takers -= 1
                self._changed.notify_all()
        return worker

    def give_back(self, worker: Worker) -> None:
        """End a worker that was taken, and all it started, without waiting for it."""
        worker.kill("given back")
        with self._changed:
            del self._running[worker]
            self._leaving.append(worker)
            self._changed.notify_all()

    def has_died(self) -> bool:
        """Has the server died, and every worker with it?"""
        return self._server.has_died()

    def settle(self) -> set[int]:
        """Wait until nothing is being launched or reaped; return the spares' process numbers.

        Raises:
            Exception: the thread's bug, if that is what ended it.
        """
        with self._changed:
            self._wait_until(lambda: not (self._coming or self._leaving or self._lacking()))
            return {spare.pid for spares in self._waiting.values() for spare in spares}

    def close(self) -> None:
        """End the thread and every spare."""
        with self._changed:
            self._closed = True
            self._changed.notify_all()
        self._thread.join()
        left = [*self._leaving, *(spare for spares in self._waiting.values() for spare in spares)]
        self._waiting.clear()
        for worker in left:  # all at once, before the first one is waited for
            worker.kill("closed")
        for worker in left:
            worker.end()

    # What takers do.

    def _spare(self, kind: _Kind) -> Worker | None:
        """Return a waiting worker of this kind that still lives, when all that left are gone."""
        with self._changed:
            for other in [k for k in self._wanted if k.entry == kind.entry and k != kind]:
                del self._wanted[other]
                self._dismiss(*self._waiting.pop(other, ()))
            self._wait_until(lambda: not self._leaving)
            # One that is on its way comes sooner than one that is asked for now.
            self._wait_until(lambda: bool(self._waiting[kind]) or self._coming != kind)
            while spares := self._waiting[kind]:
                spare = spares.pop(0)
                if spare.channel.is_quiet():
                    return spare
                self._dismiss(spare)
        return None

    def _dismiss(self, *spares: Worker) -> None:
        for spare in spares:
            spare.kill("a spare that is not wanted")
        self._leaving += spares
        self._changed.notify_all()

    def _wait_until(self, condition: Callable[[], bool]) -> None:
        self._changed.wait_for(lambda: self._closed or self._bug or condition())
        if self._bug is not None:
            raise self._bug

    def _launch(self, kind: _Kind) -> Worker:
        return self._server.launch(
            kind.entry, memory_mb=kind.memory_mb, cpu_s=kind.cpu_s, devices=kind.devices
        )

    # What the thread does.

    def _run(self) -> None:
        try:
            while self._turn():
                pass
        except Exception as error:  # noqa: BLE001 - raised by the next `take`
            with self._changed:
                self._bug = error
                self._changed.notify_all()

    def _turn(self) -> bool:
        """Reap all that leave or launch one spare; return False when closed."""
        with self._changed:
            self._changed.wait_for(lambda: self._closed or self._leaving or self._lacking())
            if self._closed:
                return False
            leaving = list(self._leaving)
            self._coming = kind = None if leaving else self._lacking()
        for worker in leaving:
            worker.end()
        if kind is not None:
            self._add(kind)
        with self._changed:
            del self._leaving[: len(leaving)]
            self._coming = None
            self._changed.notify_all()
        return True

    def _add(self, kind: _Kind) -> None:
        """Launch a spare; if that fails, whoever wants such a worker next will try and be told."""
        try:
            spare = self._launch(kind)
        except (ServerFailedError, ConfinementError, OSError):
            spare = None
        with self._changed:
            if spare is None:
                self._wanted.pop(kind, None)
            elif kind in self._wanted:
                self._waiting[kind].append(spare)
            else:
                self._dismiss(spare)  # the limits have changed meanwhile

    def _lacking(self) -> _Kind | None:
        """Return the kind to launch next, if any and if nobody needs the processors."""
        room = sum(map(len, self._waiting.values())) < self._most
        if self._takers or self._running or not room:
            return None
        lacking = [kind for kind, count in self._wanted.items() if self._count(kind) < count]
        return min(lacking, key=self._count, default=None)

    def _count(self, kind: _Kind) -> int:
        return len(self._waiting[kind])
