"""What the kernel counts by user is not counted for two workers together."""

import os
from collections.abc import Iterator

import pytest

from sandbox import Tier, WorkerServer
from tests.sandbox.test_server import PATIENCE_S, REPOSITORY, WORKERS
from tests.sandbox.tiers import skip_without


@pytest.fixture(scope="module")
def server() -> Iterator[WorkerServer]:
    skip_without(Tier.NAMESPACES)
    environment = os.environ | {"PYTHONPATH": REPOSITORY}
    with WorkerServer(preload=[WORKERS], environment=environment, tier=Tier.NAMESPACES) as server:
        yield server


def test_no_worker_takes_the_processes_of_another(server: WorkerServer) -> None:
    """Each may have 256: one with 200 leaves the other room for as many."""
    workers = [server.launch(f"{WORKERS}:crowd") for _ in range(3)]
    try:
        for worker in workers:
            worker.channel.send({"threads": 200})
            assert worker.channel.receive(PATIENCE_S)[0] == {"threads": 200}
    finally:
        for worker in workers:
            worker.end()


@pytest.mark.skipif(os.getuid() != 0, reason="an ordinary user's workers are all that user's")
def test_no_worker_takes_the_pipes_of_another(server: WorkerServer) -> None:
    """Beyond a number of pages a user's new pipes are small: one worker could tell another so."""
    hoarder = server.launch(f"{WORKERS}:hoard_pipes")
    assert hoarder.channel.receive(PATIENCE_S)
    other = server.launch(f"{WORKERS}:size_a_pipe")
    assert other.channel.receive(PATIENCE_S)[0] == {"bytes": 65536}
    for worker in (hoarder, other):
        worker.end()
