"""The victim world's eye for processes: what is left behind is told from what the referee keeps."""

import subprocess
import sys
from collections.abc import Callable, Iterator

import pytest

from tests.attacks.world import World

Start = Callable[[], int]


@pytest.fixture
def world() -> Iterator[World]:
    world = World(narrow=True)  # looks once and doesn't wait for strays to end
    yield world
    world.close()


@pytest.fixture
def start(world: World) -> Iterator[Start]:
    """Return a function that starts a process which lives in the world."""
    running = []

    def start() -> int:
        command = [sys.executable, "-c", "import sys; print(flush=True); sys.stdin.read()"]
        pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE}
        process = subprocess.Popen(command, env=world.environment(), cwd="/", **pipes)
        process.stdout.readline()
        running.append(process)
        return process.pid

    yield start
    for process in running:
        process.communicate()


def test_an_idle_worker_is_no_stray(world: World, start: Start) -> None:
    """A process the referee names is left out, one beside it is not."""
    world.begin()
    world.idle_workers = {start()}
    assert world.damage("") == {}
    start()
    assert world.damage("") == {"process": "1 processes are left"}


def test_a_worker_that_was_used_and_lives_on_is_a_stray(world: World, start: Start) -> None:
    """That it waited before the candidate came is no excuse for it afterwards."""
    world.idle_workers = {start(), start()}
    world.begin()
    assert world.damage("") == {}
    world.idle_workers = {max(world.idle_workers)}
    assert world.damage("") == {"process": "1 processes are left"}


def test_a_file_in_an_idle_workers_folder_is_damage(world: World) -> None:
    """Its empty folder is the referee's, a file in it is not."""
    world.begin()
    room = world.live / "temp" / "worker-1"
    room.mkdir()
    process = subprocess.Popen(
        [sys.executable, "-c", "import sys; sys.stdin.read()"], stdin=subprocess.PIPE, cwd=room
    )
    world.idle_workers = {process.pid}
    assert world.damage("") == {}
    (room / "file").write_text("x")
    assert list(world.damage("")) == ["files"]
    process.communicate()
    assert "2 files" in world.damage("")["files"]
