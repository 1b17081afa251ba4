"""The workers of one seed: acquired from the pool, released in any case, their deaths explained."""

import contextlib
import re
import signal
import threading
from collections.abc import Iterator

from referee.records import CandidateError, EvaluationRequest
from referee.world_files import WorldError
from sandbox import (
    ChannelClosedError,
    ChannelError,
    ServerFailedError,
    Worker,
    WorkerExit,
    WorkerPool,
    gpu_devices,
)

PRELOAD = ("referee.worker:prepare",)
TRAINING = "referee.worker:train_and_serve"
ENVIRONMENT = "referee.worker:serve_environment"
WORLD = "referee.worker:serve_world"
_BEYOND = "out of memory (evaluator.memory_mb is "
_OUT_OF_MEMORY = re.compile(r"MemoryError|allocate memory|out of memory", re.IGNORECASE)


class AbortedError(Exception):
    """This seed was ended because its result is not needed."""


class SeedWorkers:
    """Acquires the workers of one seed, under the request's limits."""

    def __init__(self, pool: WorkerPool, request: EvaluationRequest) -> None:
        self._pool = pool
        self._request = request
        self._aborted = threading.Event()
        self._live: list[Worker] = []

    def abort(self) -> None:
        """End the live workers; their users get `AbortedError`."""
        self._aborted.set()
        for worker in tuple(self._live):
            worker.end()

    @contextlib.contextmanager
    def acquire(self, entry: str) -> Iterator[Worker]:
        """Use a worker for the block.

        Raises:
            CandidateError: its death, or a breach of protocol, counts as the candidate's fault.
            ServerFailedError: it died together with the worker server.
            AbortedError: after `abort`.
        """
        with self._launched(entry) as worker, self._candidates_fault(worker):
            yield worker

    @contextlib.contextmanager
    def acquire_world(self) -> Iterator[Worker]:
        """Use a worker for the user's world during the block.

        Raises:
            WorldError: its death counts as the world's fault.
            CandidateError: the kernel or a person has killed it, for whatever reason.
            ServerFailedError, AbortedError: as for `acquire`.
        """
        with self._launched(WORLD) as worker:
            try:
                yield worker
            except ChannelClosedError as error:
                if not self._aborted.is_set() and not worker.channel.was_lost:
                    raise  # it is not this worker that has died
                raise self._explain(worker, WORLD) from error

    @contextlib.contextmanager
    def _launched(self, entry: str) -> Iterator[Worker]:
        if self._aborted.is_set():
            raise AbortedError
        worker = self._pool.acquire(
            entry,
            memory_mb=self._request.memory_mb,
            cpu_s=self._request.cpu_s,
            devices=gpu_devices() if self._request.device == "cuda" else (),
        )
        self._live.append(worker)
        try:
            if self._aborted.is_set():  # while it was being launched
                raise AbortedError
            yield worker
        finally:
            self._live.remove(worker)
            self._pool.release(worker)

    @contextlib.contextmanager
    def _candidates_fault(self, worker: Worker) -> Iterator[None]:
        try:
            yield
        except CandidateError as error:
            worker.end()
            error.details = error.details or worker.output()
            lacks_memory = error.kind == "crash" and _OUT_OF_MEMORY.search(error.reason)
            if lacks_memory and not error.reason.startswith(_BEYOND):  # said in an inner block
                limit = self._request.memory_mb
                beyond = f"{_BEYOND}{limit})"
                error.reason, error.told = f"{beyond}: {error.reason}", beyond
            raise
        except ChannelClosedError as error:
            # Not by whether it is still there: a peer may close one direction alone.
            if not self._aborted.is_set() and not worker.channel.was_lost:
                raise  # another worker, whose block is around this one, has died
            raise self._explain(worker) from error
        except ChannelError as error:
            told = "the worker broke protocol"
            raise CandidateError("rejected", f"{told}: {error}", told=told) from error

    def _explain(self, worker: Worker, entry: str = "") -> Exception:
        """Return what the death of a worker means.

        That of the world's own is the world's fault, unless the kernel or a person has killed it.
        """
        if self._aborted.is_set():
            return AbortedError()
        ending = worker.end(grace_s=1.0)
        if self._pool.has_died():  # and the worker with it, through no fault of the candidate
            return ServerFailedError("the worker server died")
        if entry == WORLD and (ending.why or ending.signal != signal.SIGKILL):
            last = (worker.output().strip().splitlines() or [""])[-1][:300]
            said = f"; it said last: {last}" if last else ""
            return WorldError(f"task/world.py: the process that plays it died ({ending}){said}")
        whose = "the world's" if entry == WORLD else "the"
        return CandidateError(
            "crash",
            f"{whose} worker process died ({ending})",
            # What the user's world prints is not the candidate's to read.
            details=worker.output() if entry != WORLD else "",
            told=f"the worker process died ({_told(ending)})",
        )


def _told(ending: WorkerExit) -> str:
    """Return how a worker ended without the numbers that it may have chosen."""
    if ending.why:
        return "killed for too much memory: memory_mb"
    if ending.signal in {signal.SIGSEGV, signal.SIGKILL, signal.SIGXCPU, signal.SIGABRT}:
        return str(ending)
    return "by itself"
