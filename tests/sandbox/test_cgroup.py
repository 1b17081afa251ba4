"""Control groups: where they may be made, and, where the kernel lets us, that they hold."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from sandbox import ChannelClosedError, Tier, WorkerServer, cgroup
from tests.sandbox.test_server import REPOSITORY, WORKERS

MOUNTS = """\
24 1 0:22 / /proc rw - proc proc rw
31 24 0:27 / /sys/fs/cgroup rw,nosuid - cgroup2 cgroup2 rw,nsdelegate
"""
HYBRID = """\
31 24 0:27 / /sys/fs/cgroup rw - tmpfs tmpfs rw
32 31 0:28 / /sys/fs/cgroup/memory rw - cgroup cgroup rw,memory
33 31 0:29 / /sys/fs/cgroup/unified rw - cgroup2 cgroup2 rw
"""


@pytest.mark.parametrize(
    ("membership", "mounts", "folders"),
    [
        ("0::/a/b\n", MOUNTS, ["/sys/fs/cgroup/a/b", "/sys/fs/cgroup/a", "/sys/fs/cgroup"]),
        ("0::/\n", MOUNTS, ["/sys/fs/cgroup"]),
        ("4:memory:/x\n0::/\n", HYBRID, ["/sys/fs/cgroup/unified"]),
        ("4:memory:/x\n", HYBRID, []),
        ("0::/a\n", "", []),
        # A container sees its own group as the root, or is outside of what is mounted.
        ("0::/c/d\n", MOUNTS.replace("0:27 /", "0:27 /c"), ["/sys/fs/cgroup/d", "/sys/fs/cgroup"]),
        ("0::/../x\n", MOUNTS, []),
    ],
)
def test_the_groups_above_ours_are_found(membership: str, mounts: str, folders: list[str]) -> None:
    """The nearest first, up to the mount; none where the kernel or the container shows none."""
    assert cgroup.above(membership, mounts) == [Path(folder) for folder in folders]


@pytest.mark.parametrize(
    ("given", "usable"),
    [("cpu memory pids\n", True), ("pids\n", False), ("", False), (None, False)],
)
def test_a_group_must_give_memory_and_processes(
    tmp_path: Path, given: str | None, usable: bool
) -> None:
    """One that doesn't pass both on to its children has no limits to give."""
    (tmp_path / "cgroup.procs").touch()
    if given is not None:
        (tmp_path / "cgroup.subtree_control").write_text(given)
    assert cgroup.is_usable(tmp_path) is usable


def hierarchy() -> Path:
    """Return a folder in which we may make groups, though perhaps without limits."""
    texts = [Path("/proc/self", name).read_text() for name in ("cgroup", "mountinfo")]
    for folder in cgroup.above(*texts):
        if os.access(folder, os.W_OK) and os.access(folder / "cgroup.procs", os.W_OK):
            return folder
    pytest.skip("no control group (version 2) may be made here")
    raise AssertionError


def test_a_group_ends_what_is_in_it_when_it_is_removed() -> None:
    """A member and its child, which left the session, are killed; the folder is gone."""
    group = cgroup.Group(hierarchy() / f"autorl-worker-test-{os.getpid()}")
    group.folder.mkdir()
    code = (
        "import os, pathlib, sys, time\n"
        "from sandbox import cgroup\n"
        "cgroup.Group(pathlib.Path(sys.argv[1])).join()\n"
        "os.fork() or os.setsid()\n"
        "os.write(1, f'{os.getpid()}\\n'.encode())\n"
        "time.sleep(60)\n"
    )
    command = [sys.executable, "-c", code, str(group.folder)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, cwd=REPOSITORY) as process:
        assert process.stdout is not None
        both = {int(process.stdout.readline()) for _ in range(2)}
        members = set(map(int, (group.folder / "cgroup.procs").read_text().split()))
        assert members == both
        assert group.why_killed() == ""
        group.remove()
        assert not group.folder.exists()
        assert process.stdout.read() == b""  # both are gone
        assert process.wait() == -signal.SIGKILL


def test_a_worker_is_held_by_its_group_and_told_why() -> None:
    """With limits it can't go over; its group ends with it."""
    parent = cgroup.parent_of_workers()
    if parent is None:
        # No package brings one: the kernel and whoever started us decide.
        pytest.skip("no control group here passes memory and pids on to groups that we may make")
    before = set(parent.glob("autorl-worker-*"))
    environment = os.environ | {"PYTHONPATH": REPOSITORY}
    with WorkerServer(preload=[WORKERS], environment=environment, tier=Tier.OFF) as server:
        worker = server.launch(f"{WORKERS}:map_pages", memory_mb=64)
        (made,) = set(parent.glob("autorl-worker-*")) - before
        assert str(worker.pid) in (made / "cgroup.procs").read_text().split()
        with pytest.raises(ChannelClosedError):
            worker.channel.receive(30)
        assert "killed: it and what it started held" in str(worker.end())
        assert not made.exists()
