"""The worker server, with real processes."""

import contextlib
import os
import signal
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from sandbox import ChannelClosedError, ServerFailedError, Tier, WorkerServer
from tests.sandbox.tiers import skip_without

WORKERS = "tests.sandbox.workers"
REPOSITORY = str(Path(__file__).parent.parent.parent)
PATIENCE_S = 30.0
"""How long a test waits for what a free machine does in milliseconds."""


@pytest.fixture(scope="module", params=[Tier.NAMESPACES, Tier.REDUCED, Tier.OFF])
def server(request: pytest.FixtureRequest) -> Iterator[WorkerServer]:
    skip_without(request.param)
    environment = os.environ | {"OPENAI_API_KEY": "secret", "PYTHONPATH": REPOSITORY}
    with WorkerServer(preload=[WORKERS], environment=environment, tier=request.param) as server:
        yield server


def gone(pid: int) -> bool:
    """Is the process gone (or a zombie nobody has reaped yet)?"""
    try:
        stat = Path(f"/proc/{pid}/stat").read_text()
    except FileNotFoundError:
        return True
    return stat.rpartition(")")[2].split()[0] == "Z"


def descendants(pid: int) -> list[int]:
    """Return the numbers, as we see them, of all a process started; of a worker's init: all of it."""
    found: list[int] = []
    for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split():
        found += [int(child), *descendants(int(child))]
    return found


def comes_true(condition: Callable[[], bool]) -> bool:
    deadline = time.monotonic() + PATIENCE_S
    while not condition() and time.monotonic() < deadline:
        time.sleep(0.01)
    return condition()


def wait_until_gone(*pids: int) -> bool:
    return comes_true(lambda: all(gone(pid) for pid in pids))


def test_a_worker_answers_and_ends(server: WorkerServer) -> None:
    """A worker runs its entry in a session of its own and ends with exit code 0."""
    worker = server.launch(f"{WORKERS}:echo")
    worker.channel.send({"x": 1}, b"abc")
    head, payload = worker.channel.receive(PATIENCE_S)
    assert (head["x"], payload) == (1, b"abc")
    assert head["pid"] == head["sid"] != os.getpid()
    assert head["files"] == []
    ending = worker.end(grace_s=5)
    assert (ending.code, ending.signal) == (0, None)
    assert ending.peak_memory_mb > 1


def test_workers_see_no_secret_and_no_descriptor_of_others(server: WorkerServer) -> None:
    """The environment is scrubbed, and the only descriptors are its own channel and output."""
    other = server.launch(f"{WORKERS}:echo")
    worker = server.launch(f"{WORKERS}:describe")
    facts, _ = worker.channel.receive(PATIENCE_S)
    assert "OPENAI_API_KEY" not in facts["environment"]
    assert facts["environment"]["PYTHONHASHSEED"] == "0"
    assert facts["environment"]["OMP_NUM_THREADS"] == "1"
    kinds = [target.split(":")[0] for target in facts["descriptors"].values()]
    assert kinds.count("socket") == 1
    assert kinds.count("pipe") == 2
    worker.end()
    other.end()


def marked(pid: int) -> list[str]:
    """Return the descriptors of a process whose open files have the flag that `mark` sets."""
    found = []
    for file in Path(f"/proc/{pid}/fdinfo").iterdir():
        flags = next(line for line in file.read_text().splitlines() if line.startswith("flags:"))
        if int(flags.split()[1], 8) & os.O_APPEND:
            found.append(file.name)
    return found


@pytest.mark.parametrize("tier", [Tier.NAMESPACES, Tier.REDUCED])
def test_no_open_file_is_shared(tier: Tier) -> None:
    """What a worker does to its open files shows in no other worker and not in the server."""
    skip_without(tier)
    environment = os.environ | {"PYTHONPATH": REPOSITORY}
    with WorkerServer(preload=[WORKERS], environment=environment, tier=tier) as server:
        before = server.launch(f"{WORKERS}:echo")
        worker = server.launch(f"{WORKERS}:mark")
        worker.channel.receive(PATIENCE_S)
        after = server.launch(f"{WORKERS}:echo")
        assert worker.main_pid is not None
        assert marked(worker.main_pid)
        for other in (before, after):
            assert other.main_pid is not None
            assert marked(other.main_pid) == []
        assert marked(server._process.pid) == []


def test_output_is_drained_and_bounded(server: WorkerServer) -> None:
    """A worker that prints 2 MB is not blocked; head and tail of it are kept."""
    worker = server.launch(f"{WORKERS}:shout")
    assert worker.channel.receive(20)[0] == {"done": True}
    worker.end(grace_s=5)
    text = worker.output()
    assert text.startswith("first line")
    assert text.rstrip().endswith("last line")
    assert "bytes left out" in text
    assert len(text) < 100_000


def test_a_crash_is_told_apart(server: WorkerServer) -> None:
    """An exception ends the channel, gives exit code 1 and leaves its traceback in the output."""
    worker = server.launch(f"{WORKERS}:crash")
    with pytest.raises(ChannelClosedError):
        worker.channel.receive(PATIENCE_S)
    ending = worker.end(grace_s=5)
    assert (ending.code, str(ending)) == (1, "exit code 1")
    assert "ValueError: told to crash" in worker.output()


def test_everything_a_worker_started_ends_with_it(server: WorkerServer) -> None:
    """A child in the worker's session and one that left it are both gone afterwards."""
    worker = server.launch(f"{WORKERS}:hang")
    head, _ = worker.channel.receive(PATIENCE_S)
    everything = descendants(worker.pid)
    assert len(everything) == 1 + len(head["children"]) == 3
    ending = worker.end()
    assert str(ending) == "killed by SIGKILL"
    assert wait_until_gone(*everything)
    assert not worker.outlived(timeout_s=5)


def test_a_death_is_noticed_though_a_child_holds_the_channel(server: WorkerServer) -> None:
    """A child that keeps the socket open doesn't turn a death into a wait."""
    worker = server.launch(f"{WORKERS}:die_with_a_child_left")
    with pytest.raises(ChannelClosedError):
        worker.channel.receive(PATIENCE_S)
    assert worker.end().code == 7
    assert not worker.outlived(timeout_s=5)


def test_memory_is_limited(server: WorkerServer) -> None:
    """A worker can't take more private memory than it was given."""
    worker = server.launch(f"{WORKERS}:grow", memory_mb=512)
    assert worker.channel.receive(10)[0] == {"memory": "refused"}
    worker.end()


@pytest.mark.parametrize("entry", ["share", "spread", "map_pages", "fill_sockets"])
def test_memory_is_added_up_over_all_processes(server: WorkerServer, entry: str) -> None:
    """Shared memory, children, page tables and sockets, which no resource limit adds up, count."""
    worker = server.launch(f"{WORKERS}:{entry}", memory_mb=512)
    with pytest.raises(ChannelClosedError):
        worker.channel.receive(20)
    ending = worker.end()
    assert "the limit is 512" in str(ending)
    assert "killed: it and what it started held" in str(ending)


def test_processes_are_limited(server: WorkerServer) -> None:
    """No worker has 600 children: the kernel refuses them, or the worker is ended."""
    worker = server.launch(f"{WORKERS}:fork_on", memory_mb=4096)
    try:
        worker.channel.receive(20)
    except ChannelClosedError:
        assert "the limit is 256" in str(worker.end())
    else:
        deadline = time.monotonic() + 20  # until the first look, on a busy machine
        with contextlib.suppress(FileNotFoundError):  # it is being ended
            while len(descendants(worker.pid)) > 257:
                assert time.monotonic() < deadline
                time.sleep(0.05)
        worker.end()


def test_processes_are_limited_without_a_limit_of_memory(server: WorkerServer) -> None:
    """The one has nothing to do with the other."""
    worker = server.launch(f"{WORKERS}:fork_on")
    with contextlib.suppress(ChannelClosedError):
        worker.channel.receive(20)
    deadline = time.monotonic() + 20
    with contextlib.suppress(FileNotFoundError):  # it is being ended
        while len(descendants(worker.pid)) > 257:
            assert time.monotonic() < deadline
            time.sleep(0.05)
    worker.end()


def test_names_in_its_folder_are_limited(server: WorkerServer) -> None:
    """By its file system, or by who watches it."""
    worker = server.launch(f"{WORKERS}:fill_with_names")
    try:
        told = worker.channel.receive(60)[0]["error"]
    except ChannelClosedError:
        assert "more than 100000 files in its temporary folder" in str(worker.end())
    else:
        assert "No space left" in told
        worker.end()


def test_sizes_in_its_folder_are_limited(server: WorkerServer) -> None:
    """Also of several files, none of which is too large."""
    worker = server.launch(f"{WORKERS}:fill_with_files")
    try:
        told = worker.channel.receive(60)[0]["error"]
    except ChannelClosedError:
        assert "the limit is 512" in str(worker.end())
    else:
        assert "No space left" in told
        worker.end()


def test_processor_time_is_limited(server: WorkerServer) -> None:
    """A worker that spins is ended by the kernel."""
    worker = server.launch(f"{WORKERS}:spin", cpu_s=1)
    with pytest.raises(ChannelClosedError):
        worker.channel.receive(20)
    assert worker.end().signal in {signal.SIGKILL, signal.SIGXCPU}


def test_what_it_leaves_in_its_folder_is_gone(server: WorkerServer) -> None:
    """Its private folder ends with it."""
    worker = server.launch(f"{WORKERS}:litter")
    folder = Path(worker.channel.receive(PATIENCE_S)[0]["folder"])
    worker.end()
    assert not folder.exists()


@pytest.mark.parametrize("tier", [Tier.NAMESPACES, Tier.REDUCED, Tier.OFF])
def test_all_workers_end_with_the_server(tier: Tier) -> None:
    """Closing the server ends hanging workers and their strays."""
    skip_without(tier)
    environment = os.environ | {"PYTHONPATH": REPOSITORY}
    server = WorkerServer(preload=[WORKERS], environment=environment, tier=tier)
    worker = server.launch(f"{WORKERS}:hang")
    worker.channel.receive(PATIENCE_S)
    everything = [worker.pid, *descendants(worker.pid)]
    server.close()
    assert len(everything) == 4
    assert wait_until_gone(*everything)


@pytest.mark.parametrize("tier", [Tier.NAMESPACES, Tier.REDUCED, Tier.OFF])
def test_strays_end_with_a_killed_server(tier: Tier) -> None:
    """Nothing outlives even a server that is killed with no chance to clean up."""
    skip_without(tier)
    environment = os.environ | {"PYTHONPATH": REPOSITORY}
    with WorkerServer(preload=[WORKERS], environment=environment, tier=tier) as server:
        worker = server.launch(f"{WORKERS}:hang")
        worker.channel.receive(PATIENCE_S)
        everything = [worker.pid, *descendants(worker.pid)]
        os.kill(server._process.pid, signal.SIGKILL)
        assert wait_until_gone(*everything)


def test_a_killed_server_is_reported() -> None:
    """A server that was killed says so at the next launch; its workers are dead."""
    environment = os.environ | {"PYTHONPATH": REPOSITORY}
    with WorkerServer(preload=[WORKERS], environment=environment) as server:
        worker = server.launch(f"{WORKERS}:echo")
        worker.channel.send({})
        pid = worker.channel.receive(PATIENCE_S)[0]["pid"]
        os.kill(server._process.pid, signal.SIGKILL)
        with pytest.raises(ServerFailedError):
            server.launch(f"{WORKERS}:echo")
        assert wait_until_gone(pid)


def test_what_can_not_be_preloaded_is_named() -> None:
    """A server that can't import what it should says which module is missing."""
    with (
        WorkerServer(preload=["no_such_module"], environment=os.environ) as server,
        pytest.raises(ServerFailedError, match="no_such_module"),
    ):
        server.wait_ready()
