"""The systemd unit: what is in it, that systemd takes it, and that its command resumes the run."""

import os
import shlex
import shutil
import signal
import subprocess
from pathlib import Path

import pytest

from orchestrator.workspace import Workspace
from tests.conftest import Cli
from tests.reliability.helpers import assert_whole, keeps, script, wait_until


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
        pytest.skip("no systemd-analyze here; the unit's lines are read by the tests around")
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
