"""How many CPUs a process may use."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from sandbox import usable_cores


def quota(folder: Path, text: str) -> None:
    """Limit a control group of the second version."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "cpu.max").write_text(text + "\n")


def quota_v1(folder: Path, allowed_us: int) -> None:
    """Limit a control group of the first version."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "cpu.cfs_quota_us").write_text(f"{allowed_us}\n")
    (folder / "cpu.cfs_period_us").write_text("100000\n")


def process(tmp_path: Path, cgroup: str, *mounts: str) -> Path:
    """Write what /proc says of a process, and return that folder."""
    (tmp_path / "cgroup").write_text(cgroup)
    (tmp_path / "mountinfo").write_text("".join(f"{mount}\n" for mount in mounts))
    return tmp_path


def mount(folder: Path, *, root: str = "/", kind: str = "cgroup2", options: str = "rw") -> str:
    """Return a line of mountinfo."""
    escaped = str(folder).replace(" ", "\\040")
    return f"30 23 0:26 {root} {escaped} rw,nosuid shared:4 - {kind} cgroup {options}"


CPUS = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


@pytest.mark.parametrize(
    ("text", "cores"),
    [
        ("50000 100000", 1),
        ("100000 100000", 1),
        (f"{CPUS - 1}50000 100000" if CPUS > 1 else "100000 100000", CPUS),
        ("max 100000", CPUS),
        ("6400000 100000", CPUS),
        ("", CPUS),
        ("100000 0", CPUS),
        ("nonsense", CPUS),
    ],
)
def test_the_quota_of_a_control_group_counts(tmp_path: Path, text: str, cores: int) -> None:
    """A part of a CPU is one; more than the affinity, none, or nonsense is no limit."""
    quota(tmp_path / "fs" / "job", text)
    proc = process(tmp_path, "0::/job\n", mount(tmp_path / "fs"))
    assert usable_cores(proc) == cores


def test_the_quota_of_a_group_above_counts_too(tmp_path: Path) -> None:
    """A service without a limit lies in a slice that has one."""
    quota(tmp_path / "f s" / "slice", "100000 100000")
    quota(tmp_path / "f s" / "slice" / "job", "max 100000")
    proc = process(tmp_path, "0::/slice/job\n", mount(tmp_path / "f s"))
    assert usable_cores(proc) == 1


@pytest.mark.parametrize("root", ["/", "/docker/1", "/elsewhere"])
def test_a_container_sees_its_own_group_as_the_top(tmp_path: Path, root: str) -> None:
    """Whether the mount shows the whole tree or the container's part, its quota is found."""
    below = "docker/1" if root == "/" else ""
    quota_v1(tmp_path / "fs" / below, 100_000)
    line = mount(tmp_path / "fs", root=root, kind="cgroup", options="rw,cpu,cpuacct")
    other = mount(tmp_path / "other", kind="cgroup", options="rw,memory")
    proc = process(tmp_path, "5:memory:/x\n4:cpu,cpuacct:/docker/1\n0::/\n", other, line)
    assert usable_cores(proc) == 1


def test_no_quota_of_the_first_version_is_no_limit(tmp_path: Path) -> None:
    """-1 means that there is none."""
    quota_v1(tmp_path / "fs", -1)
    line = mount(tmp_path / "fs", kind="cgroup", options="rw,cpu")
    assert usable_cores(process(tmp_path, "1:cpu:/\n", line)) == CPUS


def test_without_control_groups_the_affinity_counts(tmp_path: Path) -> None:
    """Another system has no such files."""
    assert usable_cores(tmp_path / "none") == CPUS
    assert usable_cores(process(tmp_path, "x\n:\n", "y", "a b c d e - ")) == CPUS


@pytest.mark.skipif(sys.platform != "linux", reason="affinity is Linux's")
def test_one_allowed_cpu_is_one_core() -> None:
    """As `taskset -c 0` allows it."""
    code = (
        "import os\nos.sched_setaffinity(0, {min(os.sched_getaffinity(0))})\n"
        "from sandbox import usable_cores\nprint(usable_cores())"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "1\n"
