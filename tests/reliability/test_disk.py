"""A full disk, a read-only one, one that is nearly full, and no descriptors: all of them real."""

import json
import resource
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from orchestrator.store.workspace import Workspace
from tests.conftest import Cli
from tests.reliability.helpers import assert_whole, keeps, lacking, script, wait_until

Status = dict[str, Any]


class Disk:
    """A tmpfs of its own, in a mount namespace that a process holds open."""

    def __init__(self, folder: Path, size_mb: int) -> None:
        folder.mkdir()
        self.folder = folder
        mount = f"mount -t tmpfs -o size={size_mb}m disk '{folder}' && echo up && exec sleep 600"
        for flags, self._enter in (
            ("-Urm", ["--user", "--preserve-credentials", "--mount"]),
            ("-m", ["--mount"]),
        ):
            self._holder = subprocess.Popen(
                ["unshare", flags, "sh", "-c", mount],
                stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
            )  # fmt: skip
            assert self._holder.stdout is not None
            if self._holder.stdout.readline() == "up\n":
                return
        assert self._holder.stderr is not None
        lacking(f"no file system can be mounted here: {self._holder.stderr.read().strip()}")

    def run(self, *command: str | Path) -> str:
        """Run a command where the disk is mounted; return its output."""
        done = subprocess.run(
            ["nsenter", f"--target={self._holder.pid}", *self._enter, "--",
             "sh", "-c", 'cd "$0" && exec "$@"', self.folder, *command],
            capture_output=True, text=True, timeout=60,
        )  # fmt: skip
        return done.stdout + done.stderr

    def daemon(self, *arguments: str) -> str:
        """Call `autorl-daemon` in the workspace on the disk."""
        return self.run(
            sys.executable, "-m", "orchestrator", *arguments, "--workspace", self.folder / "w"
        )

    def wait_until(self, condition: Callable[[Status], object], timeout_s: float = 30) -> Status:
        """Poll `status` until a condition holds."""
        deadline = time.monotonic() + timeout_s
        while True:
            said = self.daemon("status", "--json")
            document: Status = json.loads(said) if said.startswith("{") else {}
            if document and condition(document):
                return document
            assert time.monotonic() < deadline, f"not within {timeout_s} s: {said}"

    def fill(self) -> None:
        """Leave no byte."""
        self.run("dd", "if=/dev/zero", "of=filling", "bs=64k")
        self.run("sh", "-c", "cat /dev/zero >> filling2")

    def free(self) -> None:
        """Make room again."""
        self.run("rm", "-f", "filling", "filling2")

    def close(self) -> None:
        """End what runs there, and the disk."""
        self.daemon("stop", "--now")
        self._holder.kill()
        self._holder.communicate()


@pytest.fixture
def disk(stubbed: Workspace, tmp_path: Path) -> Iterator[Disk]:
    """A disk of 24 MB with a scripted workspace on it, and a daemon that runs there."""
    script(stubbed, tmp_path / "script", count=400, sleep_s=0.1)
    disk = Disk(tmp_path / "disk", 24)
    disk.run("cp", "-a", stubbed.root, "w")
    said = disk.daemon("start", "--no-check", "--tag", "t", "--set", "limits.min_free_mb=5")
    assert "started" in said, said
    disk.wait_until(lambda s: keeps(s) >= 1)
    yield disk
    disk.close()


def come_back(disk: Disk, tmp_path: Path) -> None:
    """The run goes on by itself, and what it recorded is whole."""
    before = keeps(disk.wait_until(lambda s: s["phase"]))
    disk.wait_until(lambda s: keeps(s) >= before + 2 and s["phase"] != "waiting", timeout_s=40)
    disk.daemon("stop", "--now")
    disk.run("cp", "-a", "w", tmp_path / "copy")
    assert_whole(Workspace(tmp_path / "copy"))


@pytest.mark.long
def test_low_space_is_waited_out_before_it_bites(disk: Disk, tmp_path: Path) -> None:
    """Under limits.min_free_mb nothing new begins; status says why; with room the run goes on."""
    disk.run("sh", "-c", "head -c 17000000 /dev/zero > filling")
    waiting = disk.wait_until(lambda s: s["phase"] == "waiting")
    assert "limits.min_free_mb" in waiting["reason"]
    assert waiting["next_try_at"]
    time.sleep(0.5)
    after = disk.wait_until(lambda s: s["phase"] == "waiting")
    assert after["experiments"] == waiting["experiments"]
    disk.free()
    come_back(disk, tmp_path)


def test_a_full_disk_is_waited_out(disk: Disk, tmp_path: Path) -> None:
    """Not a byte left in the middle of an experiment: nothing is lost, and the run goes on."""
    disk.daemon("stop")
    disk.wait_until(lambda s: not s["running"])
    assert "started" in disk.daemon(
        "start", "--no-check", "--tag", "t", "--set", "limits.min_free_mb=null"
    )
    disk.wait_until(lambda s: s["phase"] == "evaluating")
    disk.fill()
    waiting = disk.wait_until(lambda s: s["phase"] == "waiting")
    assert "goes on by itself" in waiting["reason"]
    assert not waiting["hung"]
    disk.free()
    come_back(disk, tmp_path)
    lines = (tmp_path / "copy" / "logs" / "daemon.jsonl").read_text().splitlines()
    torn = [line for line in lines if not _is_json(line)]
    assert len(torn) <= 1
    assert _is_json(lines[-1])


def test_a_read_only_disk_is_waited_out(disk: Disk, tmp_path: Path) -> None:
    """The disk turns read-only: status says so and nothing ends; once it is writable it goes on."""
    folder = str(disk.folder / "w")
    said = disk.run(
        "sh", "-c", f"mount --bind '{folder}' '{folder}' && mount -o remount,bind,ro '{folder}'"
    )
    assert said == ""
    shown = disk.wait_until(lambda s: s["running"] and "read-only" in (s["reason"] or ""))
    assert not shown["hung"]
    said = "".join(disk.daemon("doctor").split())  # a long path is broken anywhere
    assert f"baddisknofilecanbemadein{folder}(Read-onlyfilesystem)" in said
    time.sleep(2)
    assert disk.wait_until(lambda s: True)["running"]
    assert disk.run("umount", folder) == ""
    come_back(disk, tmp_path)


def _is_json(line: str) -> bool:
    try:
        json.loads(line)
    except ValueError:
        return False
    return True


def test_no_descriptors_are_waited_out(stubbed: Workspace, tmp_path: Path, cli: Cli) -> None:
    """Not one file more can be opened: no experiment is used up, and the run goes on."""
    script(stubbed, tmp_path / "script")
    cli("start", "--tag", "t", cwd=stubbed.root)
    running = wait_until(stubbed, lambda s: keeps(s) >= 1)
    usual = resource.prlimit(running["pid"], resource.RLIMIT_NOFILE)
    resource.prlimit(running["pid"], resource.RLIMIT_NOFILE, (3, usual[1]))
    waiting = wait_until(stubbed, lambda s: s["phase"] == "waiting")
    assert "goes on by itself" in waiting["reason"]
    resource.prlimit(running["pid"], resource.RLIMIT_NOFILE, usual)
    wait_until(stubbed, lambda s: keeps(s) >= keeps(waiting) + 2)
    cli("stop", "--now", cwd=stubbed.root)
    assert_whole(stubbed)


# -- old folders -----------------------------------------------------------------------------------


def test_a_run_prunes_as_it_goes(stubbed: Workspace, tmp_path: Path, cli: Cli) -> None:
    """A real run keeps its log folder in bounds; the log names what went, the ledger has it all."""
    script(stubbed, tmp_path / "script", count=6, sleep_s=0)
    for file in list((tmp_path / "script").iterdir())[1:]:
        file.write_text(file.read_text().replace("SCORE = ", "SCORE = -"))
    cli("start", "--foreground", "--tag", "t", "--set", "logs.experiments_max_mb=0.05",
        cwd=stubbed.root)  # fmt: skip
    rows = json.loads(cli("results", "--json", cwd=stubbed.root).stdout)
    assert len(rows) == 7
    left = {int(folder.name) for folder in (stubbed.logs / "experiments").iterdir()}
    accepted = {row["experiment"] for row in rows if row["status"] in {"baseline", "keep"}}
    assert accepted <= left
    assert len(left) < len(rows)
    assert "old experiment folders removed" in stubbed.daemon_log.read_text()
    assert "+SCORE" in cli("show", "3", "--diff", cwd=stubbed.root).stdout
