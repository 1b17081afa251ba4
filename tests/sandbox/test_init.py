"""The trusted init of a worker: what it ends, what it adds up, and that a worker can't stop it."""

import os
import signal
from collections.abc import Iterator

import pytest

from sandbox import ChannelClosedError, Tier, WorkerServer
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

CONFINED = (Tier.NAMESPACES, Tier.REDUCED)


@pytest.fixture(params=CONFINED)
def server(request: pytest.FixtureRequest) -> Iterator[WorkerServer]:
    skip_without(request.param)
    environment = os.environ | {"PYTHONPATH": REPOSITORY}
    with WorkerServer(preload=[WORKERS], environment=environment, tier=request.param) as server:
        yield server


def test_who_clears_its_death_signal_ends_with_a_killed_server(server: WorkerServer) -> None:
    """A worker that tries to outlive, with children in sessions of their own, is gone."""
    worker = server.launch(f"{WORKERS}:cling")
    assert worker.channel.receive(PATIENCE_S)[0] == {"cleared": False}
    everything = [worker.pid, *descendants(worker.pid)]
    assert len(everything) == 5
    os.kill(server._process.pid, signal.SIGKILL)
    assert wait_until_gone(*everything)


def test_a_worker_that_attacks_its_init_is_ended_all_the_same(server: WorkerServer) -> None:
    """Signals to it, to everyone and to its group end nothing but the worker itself."""
    worker = server.launch(f"{WORKERS}:attack_its_parent")
    reached = worker.channel.receive(PATIENCE_S)[0]["reached"]
    assert reached == []
    assert not gone(worker.pid)
    assert worker.end().signal == signal.SIGKILL
    assert gone(worker.pid)


@pytest.mark.parametrize("how", ["ignored", "exit-signal", "orphaned", "waited", "left"])
def test_the_time_of_every_child_counts(server: WorkerServer, how: str) -> None:
    """Half a second of a child is in the sum, whoever reaps it, if anybody does."""
    worker = server.launch(f"{WORKERS}:burn_in_a_child")
    worker.channel.send({"how": how})
    worker.channel.receive(PATIENCE_S)
    assert comes_true(lambda: worker.processor_s()[1] >= 0.5)  # once it is reaped, where it is
    assert worker.processor_s()[0] < 0.4
    assert worker.end().cpu_s >= 0.5


def test_what_a_dead_worker_left_is_ended_at_once(server: WorkerServer) -> None:
    """Its init doesn't wait to be told."""
    worker = server.launch(f"{WORKERS}:die_with_a_child_left")
    with pytest.raises(ChannelClosedError):
        worker.channel.receive(PATIENCE_S)
    assert wait_until_gone(worker.pid)
    assert worker.end().code == 7


def test_an_init_that_was_killed_takes_its_worker_along(server: WorkerServer) -> None:
    """Nothing is left, and the ending is told as a kill."""
    worker = server.launch(f"{WORKERS}:hang")
    worker.channel.receive(PATIENCE_S)
    everything = descendants(worker.pid)
    os.kill(worker.pid, signal.SIGKILL)
    assert worker.end().signal == signal.SIGKILL
    assert wait_until_gone(*everything)


def test_a_kill_reaches_everything_without_the_server(server: WorkerServer) -> None:
    """The init kills and reaps all of it by itself; the server only hears of it."""
    worker = server.launch(f"{WORKERS}:hang")
    worker.channel.receive(PATIENCE_S)
    everything = [worker.pid, *descendants(worker.pid)]
    worker.kill("a test")
    assert wait_until_gone(*everything)
    assert str(worker.end()) == "a test"
