"""Spare workers, with real processes."""

import os
import signal
import threading
import time
from collections.abc import Callable, Iterator

import pytest

from sandbox import ConfinementError, ServerFailedError, Spares, Tier, Worker, WorkerServer
from tests.sandbox.test_server import REPOSITORY, WORKERS, descendants, gone, wait_until_gone
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
def spares(server: WorkerServer) -> Iterator[Spares]:
    spares = Spares(server)
    yield spares
    spares.close()


def answers(worker: Worker) -> bool:
    worker.channel.send({"x": 1})
    return worker.channel.receive(5)[0]["x"] == 1


def within_5_s(condition: Callable[[], bool]) -> bool:
    deadline = time.monotonic() + 5
    while not condition() and time.monotonic() < deadline:
        time.sleep(0.01)
    return condition()


def test_a_spare_is_taken_once_and_another_takes_its_place(spares: Spares) -> None:
    """The second worker was launched before it was asked for, and no worker comes twice."""
    first = spares.take(ECHO)
    assert spares.settle() == set()  # none is launched beside it
    spares.give_back(first)
    (waiting,) = spares.settle()
    second = spares.take(ECHO)
    assert second.pid == waiting != first.pid
    assert answers(second)
    spares.give_back(second)
    assert spares.settle().isdisjoint({first.pid, second.pid})


def test_as_many_wait_as_ever_ran_at_once(server: WorkerServer) -> None:
    """They are launched when none runs any more, and not more of them than the bound allows."""
    for most, kept in ((9, 3), (2, 2)):
        spares = Spares(server, most=most)
        workers = [spares.take(ECHO) for _ in range(3)]
        while workers:
            assert spares.settle() == set()
            spares.give_back(workers.pop())
        assert len(spares.settle()) == kept
        spares.close()


def test_a_spare_that_died_is_replaced_and_never_handed_out(spares: Spares) -> None:
    """Its owner learns of it by the closed channel, when somebody wants one."""
    spares.give_back(spares.take(ECHO))
    (waiting,) = spares.settle()
    os.kill(waiting, signal.SIGKILL)
    assert wait_until_gone(waiting)
    worker = spares.take(ECHO)
    assert worker.pid != waiting
    assert answers(worker)
    spares.give_back(worker)
    assert spares.settle().isdisjoint({waiting})


def test_a_spare_that_said_something_is_not_handed_out(spares: Spares) -> None:
    """A spare has nothing to say before its first message."""
    chatty = f"{WORKERS}:describe"
    spares.give_back(spares.take(chatty))
    (spoiled,) = spares.settle()
    ((spare,),) = filter(None, spares._waiting.values())
    assert within_5_s(lambda: not spare.channel.is_quiet())
    worker = spares.take(chatty)
    assert worker.pid != spoiled
    spares.give_back(worker)


@pytest.mark.parametrize("limits", [{"memory_mb": 512}, {"cpu_s": 9}, {"devices": ("/dev/tty",)}])
def test_spares_with_other_limits_are_dropped(spares: Spares, limits: dict) -> None:
    """What waited under the old limits is gone when a worker with new ones is there."""
    spares.give_back(spares.take(ECHO))
    (old,) = spares.settle()
    worker = spares.take(ECHO, **limits)
    assert gone(old)
    assert worker.pid != old
    assert answers(worker)
    spares.give_back(worker)
    assert len(spares.settle()) == 1


def test_another_entrys_spares_stay(spares: Spares) -> None:
    """Trainers and environments wait side by side."""
    spares.give_back(spares.take(ECHO))
    (echo,) = spares.settle()
    spares.give_back(spares.take(HANG))
    assert echo in spares.settle()
    assert len(spares.settle()) == 2


def test_what_was_given_back_is_gone_before_the_next_is_there(spares: Spares) -> None:
    """That holds for what it started too, in its session or out of it."""
    worker = spares.take(HANG)
    worker.channel.receive(5)
    everything = [worker.pid, *descendants(worker.pid)]
    spares.give_back(worker)
    following = spares.take(ECHO)
    assert len(everything) == 3
    assert all(gone(pid) for pid in everything)
    spares.give_back(following)


def test_limits_count_from_the_launch_and_waiting_costs_none(spares: Spares) -> None:
    """A spare that waited a second has all of its one processor second left."""
    spares.give_back(spares.take(ECHO, cpu_s=1, memory_mb=512))
    (waiting,) = spares.settle()
    time.sleep(1.2)
    worker = spares.take(ECHO, cpu_s=1, memory_mb=512)
    assert worker.pid == waiting
    assert worker.processor_s()[1] < 0.5
    assert answers(worker)
    assert worker.peak_memory_mb() > 1
    spares.give_back(worker)


def test_an_idle_spares_memory_is_watched(spares: Spares) -> None:
    """A spare that grows while it waits is killed and not handed out."""
    entry = f"{WORKERS}:share"
    worker = spares.take(entry, memory_mb=512)
    spares.give_back(worker)
    (waiting,) = spares.settle()
    assert wait_until_gone(waiting)
    again = spares.take(entry, memory_mb=512)
    assert again.pid != waiting
    spares.give_back(again)


@pytest.mark.parametrize("tier", [Tier.NAMESPACES, Tier.REDUCED, Tier.OFF])
def test_none_is_left_after_close(tier: Tier) -> None:
    """Neither a spare nor what was given back a moment before, though the server lives on."""
    skip_without(tier)
    with started(tier) as server:
        spares = Spares(server)
        workers = [spares.take(HANG), spares.take(ECHO)]
        for worker in workers:
            spares.give_back(worker)
        everything = list(spares.settle())
        worker = spares.take(HANG)
        worker.channel.receive(5)
        everything += descendants(worker.pid)
        spares.give_back(worker)
        spares.close()
        assert len(everything) == 4
        assert all(gone(pid) for pid in everything)
        assert descendants(server._process.pid) == []
        assert not spares._thread.is_alive()


def test_a_close_in_the_middle_of_a_launch_leaves_none() -> None:
    """A spare that comes while everything closes is ended like the others."""
    with started(Tier.OFF) as server:
        for _ in range(20):
            spares = Spares(server)
            spares.give_back(spares.take(ECHO))
            assert within_5_s(lambda: not spares._leaving)  # noqa: B023
            spares.close()
            assert descendants(server._process.pid) == []


def test_a_failed_launch_surfaces_at_the_take() -> None:
    """A server that died is reported to who wants a worker, not in the background."""
    with started(Tier.OFF) as server:
        spares = Spares(server)
        worker = spares.take(ECHO)
        os.kill(server._process.pid, signal.SIGKILL)
        spares.give_back(worker)
        assert spares.settle() == set()
        assert spares._thread.is_alive()
        for _ in range(2):
            with pytest.raises(ServerFailedError):
                spares.take(ECHO)
        spares.close()


def test_a_refused_launch_surfaces_at_the_take() -> None:
    """So does a worker that can't be confined, and the next one is tried anew."""
    with started(Tier.OFF) as server:
        spares = Spares(server)
        for _ in range(2):
            with pytest.raises(ConfinementError, match="no_such_function"):
                spares.take(f"{WORKERS}:no_such_function")
        assert answers(spares.take(ECHO))
        spares.close()


def test_a_bug_in_the_thread_is_raised_by_who_comes_next() -> None:
    """Whatever ends the thread is not lost, and nobody waits for it."""
    with started(Tier.OFF) as server:
        spares = Spares(server)
        worker = spares.take(ECHO)
        worker.end = lambda: 1 / 0  # type: ignore[method-assign]
        spares.give_back(worker)
        with pytest.raises(ZeroDivisionError):
            spares.take(ECHO)
        with pytest.raises(ZeroDivisionError):
            spares.settle()
        del worker.end
        spares.close()


def test_many_takers_at_once_get_a_worker_each(server: WorkerServer) -> None:
    """Threads that take and give back side by side never share a worker or wait for ever."""
    spares = Spares(server)
    used: list[int] = []

    def use() -> None:
        for _ in range(5):
            worker = spares.take(ECHO)
            assert answers(worker)
            used.append(worker.pid)
            spares.give_back(worker)

    threads = [threading.Thread(target=use) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert len(used) == 20
    # A number may be given out again by the kernel, but not while its process waits.
    assert len(set(used)) > 15
    assert 1 <= len(spares.settle()) <= 4
    spares.close()
