"""The systemd unit: what is in it, that systemd takes it, and that its command resumes the run."""

import contextlib
import os
import shlex
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from orchestrator.store.workspace import Workspace
from tests.conftest import REPOSITORY, Cli
from tests.reliability.helpers import assert_whole, keeps, lacking, script, status, wait_until


@pytest.fixture
def odd(stubbed: Workspace, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Workspace:
    """A workspace in a folder whose name systemd must have quoted."""
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "config"))
    root = tmp_path / 'a "50%" $HOME\\folder'
    stubbed.root.rename(root)
    workspace = Workspace(root)
    script(workspace, tmp_path / "script", sleep_s=0.1)
    return workspace


def without_systemd(tmp_path: Path) -> str:
    """Return a PATH with git and nothing else."""
    folder = tmp_path / "bin"
    folder.mkdir(exist_ok=True)
    (folder / "git").symlink_to(str(shutil.which("git")))
    return str(folder)


def install(workspace: Workspace, tmp_path: Path, cli: Cli, *more: str) -> Path:
    done = cli("service", "install", "--tag", "t", *more, cwd=workspace.root,
               PATH=without_systemd(tmp_path))  # fmt: skip
    assert done.returncode == 0, done.stderr
    (unit,) = (tmp_path / "config" / "systemd" / "user").iterdir()
    return unit


def directives(unit: Path) -> dict[str, str]:
    return dict(line.split("=", 1) for line in unit.read_text().splitlines() if "=" in line)


def test_without_systemd_the_unit_is_written_and_one_line_says_how_to_go_on(
    odd: Workspace, tmp_path: Path, cli: Cli
) -> None:
    """The unit restarts on failure, with limits, and its command names interpreter and run."""
    path = without_systemd(tmp_path)
    done = cli("service", "install", "--tag", "t", cwd=odd.root, PATH=path)
    assert done.returncode == 0, done.stderr
    (line,) = [line for line in done.stdout.splitlines() if "no systemctl" in line]
    assert "systemctl --user daemon-reload && systemctl --user enable autorl-a-50-" in line
    (unit,) = (tmp_path / "config" / "systemd" / "user").iterdir()
    assert unit.name.startswith("autorl-")
    assert unit.suffix == ".service"
    found = directives(unit)
    assert found["Restart"] == "on-failure"
    assert int(found["StartLimitBurst"]) > 1
    assert int(found["StartLimitIntervalSec"]) > int(found["RestartSec"])
    words = command(unit)
    assert Path(words[0]).is_absolute()
    assert words[words.index("--workspace") + 1] == str(odd.root)
    assert words[-2:] == ["--tag", "t"]
    removed = cli("service", "remove", cwd=odd.root, PATH=path)
    assert removed.returncode == 0, removed.stderr
    assert not unit.exists()
    again = cli("service", "remove", cwd=odd.root, PATH=path)
    assert again.returncode == 2
    assert "no service is installed" in again.stderr


def command(unit: Path) -> list[str]:
    """Return ExecStart's words as systemd reads them: its quoting here is a shell's, but for $."""
    line = directives(unit)["ExecStart"].replace("$$", "$").replace("%%", "%")
    return shlex.split(line)


def test_systemd_takes_the_unit(odd: Workspace, tmp_path: Path, cli: Cli) -> None:
    """`systemd-analyze verify` finds nothing to say about it."""
    unit = install(odd, tmp_path, cli)
    analyze = shutil.which("systemd-analyze")
    if analyze is None:
        lacking("no systemd-analyze; the unit's lines are read by the tests around")
    done = subprocess.run(
        [analyze, "--user", "verify", "--man=no", unit],
        capture_output=True, text=True, timeout=60,
        env=os.environ | {"XDG_RUNTIME_DIR": str(tmp_path)},
    )  # fmt: skip
    complaints = [line for line in done.stderr.splitlines() if unit.name in line]
    assert (done.returncode, complaints) == (0, [])


def test_systemd_is_told(odd: Workspace, tmp_path: Path, cli: Cli) -> None:
    """It is asked to reload, enable and start; then to stop and disable, and to reload."""
    path, told = without_systemd(tmp_path), tmp_path / "told"
    systemctl = Path(path) / "systemctl"
    systemctl.write_text(f'#!/bin/sh\necho "$@" >> {told}\n')
    systemctl.chmod(0o755)
    where = f"{path}:/usr/bin:/bin"
    assert "enabled" in cli("service", "install", "--now", cwd=odd.root, PATH=where).stdout
    (unit,) = (tmp_path / "config" / "systemd" / "user").iterdir()
    cli("service", "remove", "--now", cwd=odd.root, PATH=where)
    assert told.read_text().splitlines() == [
        "--user daemon-reload",
        f"--user enable --now {unit.name}",
        f"--user disable --now {unit.name}",
        "--user daemon-reload",
    ]


def test_its_command_resumes_the_run_after_a_crash(
    odd: Workspace, tmp_path: Path, cli: Cli
) -> None:
    """What systemd would start after a kill or a reboot goes on with the same run."""
    words = command(install(odd, tmp_path, cli))
    for count in (2, 4):
        process = subprocess.Popen(words, cwd=odd.root, stderr=subprocess.DEVNULL)
        document = wait_until(odd, lambda s, count=count: keeps(s) >= count)  # type: ignore[misc]
        assert (document["tag"], document["pid"]) == ("t", process.pid)
        process.send_signal(signal.SIGKILL if count == 2 else signal.SIGTERM)
        process.wait(timeout=10)
    assert process.returncode == 0
    assert_whole(odd)


def test_a_bad_workspace_is_refused(odd: Workspace, cli: Cli) -> None:
    """No unit is written for what could not start."""
    odd.program.unlink()
    done = cli("service", "install", cwd=odd.root)
    assert done.returncode == 2
    assert "program.md" in done.stderr


# -- a live systemd --------------------------------------------------------------------------------

SETUP = """
set -e
mount -t tmpfs run /run
mkdir -p /run/systemd/system -m 755
mkdir -p "$XDG_RUNTIME_DIR" -m 700
mount -t cgroup2 cgroup /sys/fs/cgroup
mkdir "/sys/fs/cgroup/$1"
echo $$ > "/sys/fs/cgroup/$1/cgroup.procs"
echo up
exec /usr/lib/systemd/systemd --user --log-target=console
"""
CLEAN_UP = """
mount -t cgroup2 cgroup /sys/fs/cgroup
find "/sys/fs/cgroup/$1" -name cgroup.procs -exec cat {} + | xargs -r kill -9
for _ in 1 2 3 4 5; do find "/sys/fs/cgroup/$1" -depth -type d -exec rmdir {} + && exit; sleep 0.2; done
"""


class Manager:
    """A `systemd --user` of its own, with its own /run and a control group of its own."""

    def __init__(self, tmp_path: Path) -> None:
        self._group = f"autorl-test-{os.getpid()}"
        self.log = tmp_path / "systemd.log"
        self._environment = {
            "PATH": f"{Path(sys.executable).parent}:/usr/bin:/bin:/usr/sbin:/sbin",
            "HOME": str(tmp_path),
            "XDG_RUNTIME_DIR": "/run/user/autorl",
            "XDG_CONFIG_HOME": str(tmp_path / "config"),
        }
        with self.log.open("w") as log:
            self._process = subprocess.Popen(
                ["unshare", "--mount", "sh", "-c", SETUP, "sh", self._group],
                env=self._environment, stdout=subprocess.PIPE, stderr=log,
            )  # fmt: skip
        assert self._process.stdout is not None
        if self._process.stdout.readline() != b"up\n":
            self._lack()
        for _ in range(50):
            if self.systemctl("is-system-running", "--wait") in {"running", "degraded"}:
                return
            if self._process.poll() is not None:
                break
        self._lack()

    def run(self, *command: str | Path, cwd: Path = Path("/")) -> subprocess.CompletedProcess[str]:
        """Run a command where this systemd is the user's."""
        return subprocess.run(
            ["nsenter", f"--target={self._process.pid}", "--mount", "--",
             "sh", "-c", 'cd "$0" && exec "$@"', cwd, *command],
            env=self._environment | {"PYTHONPATH": str(REPOSITORY)},
            capture_output=True, text=True, timeout=60,
        )  # fmt: skip

    def systemctl(self, *arguments: str) -> str:
        """Return what `systemctl --user` prints."""
        return self.run("systemctl", "--user", *arguments).stdout.strip()

    def end_of(self, unit: str) -> str:
        """Return a unit's state once its process has ended: `activating` if it is to come back."""
        deadline = time.monotonic() + 20
        while (state := self.systemctl("is-active", unit)) in {"active", "deactivating"}:
            assert time.monotonic() < deadline
            time.sleep(0.1)
        return state

    def daemon(self, workspace: Workspace, *arguments: str) -> str:
        """Call `autorl-daemon` in a workspace; return what it prints."""
        done = self.run(sys.executable, "-P", "-m", "orchestrator", *arguments, cwd=workspace.root)
        assert done.returncode == 0, done.stderr
        return done.stdout

    def close(self) -> None:
        """End it, all its units, and its control group."""
        self._process.terminate()
        with contextlib.suppress(subprocess.TimeoutExpired):
            self._process.wait(timeout=20)
        subprocess.run(["unshare", "--mount", "sh", "-c", CLEAN_UP, "sh", self._group],
                       capture_output=True, timeout=30)  # fmt: skip
        self._process.kill()
        self._process.communicate()

    def _lack(self) -> None:
        self.close()
        said = self.log.read_text().strip().splitlines() or ["it said nothing"]
        pytest.skip(f"no systemd of one's own can be run here: {said[-1]}")


@pytest.fixture
def manager(odd: Workspace, tmp_path: Path) -> Iterator[Manager]:
    if not (shutil.which("unshare") and Path("/usr/lib/systemd/systemd").exists()):
        pytest.skip("no systemd here")
    keys = tmp_path / "config" / "autorl-daemon.env"
    keys.parent.mkdir(parents=True, exist_ok=True)
    keys.write_text(f"PYTHONPATH={REPOSITORY}\n")
    manager = Manager(tmp_path)
    yield manager
    manager.close()


def test_a_live_systemd_brings_a_killed_run_back(
    odd: Workspace, tmp_path: Path, manager: Manager
) -> None:
    """Installed, started, killed, back with the same run; stopped it stays so; removed it is gone."""
    assert "enabled: " in manager.daemon(odd, "service", "install", "--now", "--tag", "t")
    (unit,) = (tmp_path / "config" / "systemd" / "user").glob("*.service")
    first = wait_until(odd, lambda s: keeps(s) >= 2)
    assert manager.systemctl("is-enabled", unit.name) == "enabled"
    os.kill(first["pid"], signal.SIGKILL)
    second = wait_until(
        odd, lambda s: s["running"] and s["pid"] != first["pid"] and keeps(s) >= keeps(first) + 2
    )
    assert second["tag"] == "t"
    assert manager.systemctl("show", "--value", "-p", "MainPID", unit.name) == str(second["pid"])
    assert manager.systemctl("show", "--value", "-p", "NRestarts", unit.name) == "1"

    manager.daemon(odd, "stop")
    wait_until(odd, lambda s: not s["running"])
    assert manager.end_of(unit.name) == "inactive"  # nor about to be restarted
    assert_whole(odd)

    good = odd.config.read_text()
    odd.config.write_text("limits: {experiments: many}\n")
    manager.systemctl("start", unit.name)
    assert manager.end_of(unit.name) == "failed"  # likewise
    odd.config.write_text(good)

    manager.systemctl("start", unit.name)
    third = wait_until(odd, lambda s: s["running"] and keeps(s) > keeps(second))
    manager.daemon(odd, "service", "remove", "--now")
    assert not status(odd)["running"]
    assert not Path(f"/proc/{third['pid']}").exists()
    assert not unit.exists()
    assert manager.systemctl("is-enabled", unit.name) != "enabled"
    assert_whole(odd)
