"""The pool of workers, with real processes."""

import os
import signal
import threading
import time
from collections.abc import Iterator

import pytest

from sandbox import ConfinementError, ServerFailedError, Tier, Worker, WorkerPool, WorkerServer
from tests.sandbox.test_server import (
    PATIENCE_S,
    REPOSITORY,
    WORKERS,
    comes_true,
    descendants,
    gone,
    wait_until_gone,
)
from tests.sandbox.tiers import skip_without

ECHO, HANG = f"{WORKERS}:echo", f"{WORKERS}:hang"


def started(tier: Tier) -> WorkerServer:
    environment = os.environ | {"PYTHONPATH": REPOSITORY}
    return WorkerServer(preload=[WORKERS], environment=environment, tier=tier)


@pytest.fixture(scope="module", params=[Tier.NAMESPACES, Tier.REDUCED, Tier.OFF])
def server(request: pytest.FixtureRequest) -> Iterator[WorkerServer]:
    skip_without(request.param)
    with started(request.param) as server:
        yield server


@pytest.fixture
def pool(server: WorkerServer) -> Iterator[WorkerPool]:
    pool = WorkerPool(server)
    yield pool
    pool.close()


def answers(worker: Worker) -> bool:
    worker.channel.send({"x": 1})
    return worker.channel.receive(PATIENCE_S)[0]["x"] == 1


def test_an_idle_worker_is_used_once_and_replaced(pool: WorkerPool) -> None:
    """The second worker was launched before it was requested, and no worker is used twice."""
    first = pool.acquire(ECHO)
    assert pool.wait_idle() == set()  # none is launched beside it
    pool.release(first)
    (idle_pid,) = pool.wait_idle()
    second = pool.acquire(ECHO)
    assert second.pid == idle_pid != first.pid
    assert answers(second)
    pool.release(second)
    assert pool.wait_idle().isdisjoint({first.pid, second.pid})


def test_the_pool_keeps_as_many_as_were_used_in_a_row(server: WorkerServer) -> None:
    """At once or one after the other; launched once none runs, and never more than `max_idle`."""
    for most, kept in ((9, 3), (2, 2)):
        pool = WorkerPool(server, max_idle=most)
        held = pool.acquire(ECHO)
        pool.release(pool.acquire(ECHO))
        pool.release(pool.acquire(ECHO))
        assert pool.wait_idle() == set()
        pool.release(held)
        assert len(pool.wait_idle()) == kept
        pool.release(pool.acquire(ECHO))  # a row of one asks for no more
        assert len(pool.wait_idle()) == kept
        pool.close()


def test_each_kind_is_kept_in_proportion_to_its_use(server: WorkerServer) -> None:
    """Where not all have room, one trainer stands beside many environments."""
    pool = WorkerPool(server, max_idle=6)
    held = pool.acquire(HANG)
    for _ in range(10):
        pool.release(pool.acquire(ECHO))
    pool.release(held)
    assert len(pool.wait_idle()) == 6
    assert sorted(len(workers) for workers in pool._idle.values()) == [1, 5]
    pool.close()


def test_an_idle_worker_that_died_is_never_acquired(pool: WorkerPool) -> None:
    """The closed channel shows it at the next `acquire`."""
    pool.release(pool.acquire(ECHO))
    (idle_pid,) = pool.wait_idle()
    os.kill(idle_pid, signal.SIGKILL)
    assert wait_until_gone(idle_pid)
    worker = pool.acquire(ECHO)
    assert worker.pid != idle_pid
    assert answers(worker)
    pool.release(worker)
    assert pool.wait_idle().isdisjoint({idle_pid})


def test_an_idle_worker_is_looked_at_less_often(server: WorkerServer, pool: WorkerPool) -> None:
    """Until it is acquired."""
    pool.release(pool.acquire(ECHO))
    (idle_pid,) = pool.wait_idle()
    assert [worker.pid for worker in server.watch._idle] == [idle_pid]
    worker = pool.acquire(ECHO)
    assert worker.pid == idle_pid
    assert not server.watch._idle
    pool.release(worker)


def test_an_idle_worker_that_sent_something_is_never_acquired(pool: WorkerPool) -> None:
    """An idle worker has nothing to send before its first message."""
    chatty = f"{WORKERS}:describe"
    pool.release(pool.acquire(chatty))
    (chatty_pid,) = pool.wait_idle()
    ((idle,),) = filter(None, pool._idle.values())
    assert comes_true(lambda: not idle.channel.is_quiet())
    worker = pool.acquire(chatty)
    assert worker.pid != chatty_pid
    pool.release(worker)


@pytest.mark.parametrize("limits", [{"memory_mb": 512}, {"cpu_s": 9}, {"devices": ("/dev/tty",)}])
def test_idle_workers_with_other_limits_are_discarded(pool: WorkerPool, limits: dict) -> None:
    """The idle worker with the old limits is gone before one with new limits is returned."""
    pool.release(pool.acquire(ECHO))
    (old,) = pool.wait_idle()
    worker = pool.acquire(ECHO, **limits)
    assert gone(old)
    assert worker.pid != old
    assert answers(worker)
    pool.release(worker)
    assert len(pool.wait_idle()) == 1


def test_idle_workers_of_another_entry_stay(pool: WorkerPool) -> None:
    """Trainers and environments are kept side by side."""
    pool.release(pool.acquire(ECHO))
    (echo,) = pool.wait_idle()
    pool.release(pool.acquire(HANG))
    assert echo in pool.wait_idle()
    assert len(pool.wait_idle()) == 2


def test_a_released_worker_is_gone_before_the_next_is_acquired(pool: WorkerPool) -> None:
    """So are all processes that it started, inside its session and outside."""
    worker = pool.acquire(HANG)
    worker.channel.receive(PATIENCE_S)
    everything = [worker.pid, *descendants(worker.pid)]
    pool.release(worker)
    following = pool.acquire(ECHO)
    assert len(everything) == 4
    assert all(gone(pid) for pid in everything)
    pool.release(following)


def test_limits_count_from_the_launch_and_waiting_costs_none(pool: WorkerPool) -> None:
    """A worker that was idle for a second has all of its one processor second left."""
    pool.release(pool.acquire(ECHO, cpu_s=1, memory_mb=512))
    (idle_pid,) = pool.wait_idle()
    time.sleep(1.2)
    worker = pool.acquire(ECHO, cpu_s=1, memory_mb=512)
    assert worker.pid == idle_pid
    assert worker.processor_s()[1] < 0.5
    assert answers(worker)
    assert worker.peak_memory_mb() > 1
    pool.release(worker)


def test_the_memory_of_an_idle_worker_is_limited(pool: WorkerPool) -> None:
    """An idle worker whose memory grows is killed and never acquired."""
    entry = f"{WORKERS}:share"
    worker = pool.acquire(entry, memory_mb=512)
    pool.release(worker)
    (idle_pid,) = pool.wait_idle()
    assert wait_until_gone(idle_pid)
    again = pool.acquire(entry, memory_mb=512)
    assert again.pid != idle_pid
    pool.release(again)


@pytest.mark.parametrize("tier", [Tier.NAMESPACES, Tier.REDUCED, Tier.OFF])
def test_none_is_left_after_close(tier: Tier) -> None:
    """Neither idle workers nor those released a moment before, though the server still runs."""
    skip_without(tier)
    with started(tier) as server:
        pool = WorkerPool(server)
        workers = [pool.acquire(HANG), pool.acquire(ECHO)]
        for worker in workers:
            pool.release(worker)
        everything = list(pool.wait_idle())
        worker = pool.acquire(HANG)
        worker.channel.receive(PATIENCE_S)
        everything += descendants(worker.pid)
        pool.release(worker)
        pool.close()
        assert len(everything) == 5
        assert all(gone(pid) for pid in everything)
        assert descendants(server._process.pid) == []
        assert not pool._thread.is_alive()


def test_a_close_in_the_middle_of_a_launch_leaves_none() -> None:
    """A worker that is launched while the pool closes is ended like the others."""
    with started(Tier.OFF) as server:
        for _ in range(20):
            pool = WorkerPool(server)
            pool.release(pool.acquire(ECHO))
            assert comes_true(lambda: not pool._reaping)  # noqa: B023
            pool.close()
            assert descendants(server._process.pid) == []


def test_a_failed_launch_is_raised_by_acquire() -> None:
    """The death of the server is raised in the thread that needs a worker."""
    with started(Tier.OFF) as server:
        pool = WorkerPool(server)
        worker = pool.acquire(ECHO)
        os.kill(server._process.pid, signal.SIGKILL)
        pool.release(worker)
        assert pool.wait_idle() == set()
        assert pool._thread.is_alive()
        for _ in range(2):
            with pytest.raises(ServerFailedError):
                pool.acquire(ECHO)
        pool.close()


def test_a_refused_launch_is_raised_by_acquire() -> None:
    """So is a worker that can't be confined, and the next call tries again."""
    with started(Tier.OFF) as server:
        pool = WorkerPool(server)
        for _ in range(2):
            with pytest.raises(ConfinementError, match="no_such_function"):
                pool.acquire(f"{WORKERS}:no_such_function")
        assert answers(pool.acquire(ECHO))
        pool.close()


def test_an_error_that_ended_the_thread_is_raised_by_the_next_call() -> None:
    """It is not lost, and no caller waits for the thread for ever."""
    with started(Tier.OFF) as server:
        pool = WorkerPool(server)
        worker = pool.acquire(ECHO)
        worker.end = lambda: 1 / 0  # type: ignore[method-assign]
        pool.release(worker)
        with pytest.raises(ZeroDivisionError):
            pool.acquire(ECHO)
        with pytest.raises(ZeroDivisionError):
            pool.wait_idle()
        del worker.end
        pool.close()


def test_threads_that_acquire_at_once_get_a_worker_each(server: WorkerServer) -> None:
    """Threads that acquire and release side by side never share a worker or wait for ever."""
    pool = WorkerPool(server)
    used: list[int] = []

    def use() -> None:
        for _ in range(5):
            worker = pool.acquire(ECHO)
            assert answers(worker)
            used.append(worker.pid)
            pool.release(worker)

    threads = [threading.Thread(target=use) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert len(used) == 20
    # A number may be given out again by the kernel, but not while its process lives.
    assert len(set(used)) > 15
    assert 1 <= len(pool.wait_idle()) <= 16
    pool.close()
