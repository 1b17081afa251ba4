"""Signals, terminals and processes that hang: every end is quick, every hang is found."""

import os
import pty
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from orchestrator.config.schema import Config
from orchestrator.core.clock import local_with_zone
from orchestrator.core.errors import StoreError
from orchestrator.reporting.status import status_document
from orchestrator.reporting.terminal import status_lines
from orchestrator.store.git import GitStore
from orchestrator.store.ledger import Ledger
from orchestrator.store.workspace import Workspace
from tests.conftest import Cli
from tests.fakes import Answer, ChatServer, refusal
from tests.reliability.helpers import (
    assert_whole,
    configure,
    keeps,
    script,
    status,
    wait_until,
)

LIMIT_S = 10.0


def descendants(pid: int) -> set[int]:
    """Return all processes below one, by /proc."""
    parents = {}
    for stat in Path("/proc").glob("[0-9]*/stat"):
        try:
            parents[int(stat.parent.name)] = int(stat.read_text().rpartition(")")[2].split()[1])
        except OSError:
            continue
    found, new = set[int](), {pid}
    while new:
        new = {child for child, parent in parents.items() if parent in new}
        found |= new
    return found


def alive(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


def comes_true(holds: Callable[[], object], timeout_s: float = 30) -> bool:
    deadline = time.monotonic() + timeout_s
    while not holds():
        if time.monotonic() > deadline:
            return False
        time.sleep(0.02)
    return True


def gone(pids: set[int], timeout_s: float) -> bool:
    return comes_true(lambda: not any(map(alive, pids)), timeout_s)


def evaluators(pid: int) -> set[int]:
    """Return the evaluator's process of a daemon, without git commands that come and go."""
    return {child for child in descendants(pid) if b"framework.py" in command_line(child)}


def command_line(pid: int) -> bytes:
    try:
        return Path(f"/proc/{pid}/cmdline").read_bytes()
    except OSError:
        return b""


class HangingGit:
    """A `git` before the real one on PATH: it hangs, with a child, while its flag is there."""

    def __init__(self, folder: Path) -> None:
        folder.mkdir()
        self.flag, self._pids = folder / "hang", folder / "pids"
        file = folder / "git"
        file.write_text(
            f"#!/bin/sh\nif [ -e {self.flag} ]; then\n"
            f"  sleep 600 & echo $! >> {self._pids}; echo $$ >> {self._pids}; wait\n"
            f'fi\nexec {shutil.which("git")} "$@"\n'
        )
        file.chmod(0o755)
        self.path = f"{folder}:{os.environ['PATH']}"

    def hanging(self) -> set[int]:
        """Wait until a command hangs with its child; return both."""
        assert comes_true(lambda: self._pids.exists() and len(self._pids.read_text().split()) >= 2)
        return {int(line) for line in self._pids.read_text().split()}


# -- stop, stop --now, SIGTERM ---------------------------------------------------------------------


Prepare = Callable[[], dict[str, str]]


@pytest.fixture
def phases(stubbed: Workspace, tmp_path: Path, cli: Cli) -> Iterator[dict[str, Prepare]]:
    """Ways to bring a run into each phase; each returns the environment to start it in."""
    server = ChatServer()

    def evaluating() -> dict[str, str]:
        script(stubbed, tmp_path / "script", sleep_s=600)
        return {}

    def proposing() -> dict[str, str]:
        server._answers[:] = [Answer(delay_s=600)]
        configure(stubbed, f"agent: {{backend: openai, model: m, base_url: '{server.url}'}}")
        return {}

    def waiting() -> dict[str, str]:
        server._answers[:] = [refusal(503)] * 50
        configure(stubbed, f"agent: {{backend: openai, model: m, base_url: '{server.url}'}}")
        return {}

    def paused() -> dict[str, str]:
        server._answers[:] = [refusal(401)]
        configure(stubbed, f"agent: {{backend: openai, model: m, base_url: '{server.url}'}}")
        return {}

    yield {f.__name__: f for f in (evaluating, proposing, waiting, paused)}
    server.close()


@pytest.mark.parametrize("phase", ["evaluating", "proposing", "waiting", "paused"])
def test_sigterm_ends_everything_in_each_phase(
    phases: dict[str, Prepare], stubbed: Workspace, cli: Cli, phase: str
) -> None:
    """Within 10 s nothing of the daemon's is left, the lock is free and the reason recorded."""
    environment = phases[phase]()
    assert cli("start", "--tag", "t", cwd=stubbed.root, **environment).returncode == 0
    running = wait_until(
        stubbed,
        lambda s: (
            s["phase"] == phase
            and s["experiments"].get("baseline") == 1
            and s["experiment"] == (2 if phase == "evaluating" else None)
        ),
    )
    processes = {running["pid"]} | descendants(running["pid"])
    assert len(processes) > 1
    started = time.monotonic()
    assert cli("stop", "--now", cwd=stubbed.root).returncode == 0
    assert gone(processes, LIMIT_S - (time.monotonic() - started))
    ended = status(stubbed)
    assert not ended["running"]
    assert "SIGTERM" in ended["stop_reason"]
    with Ledger(stubbed.ledger) as ledger:
        assert ledger.open_experiments("t") == []
    assert ended["experiments"].get("aborted", 0) == int(phase == "evaluating")


def test_sigterm_ends_all_that_is_in_flight(stubbed: Workspace, tmp_path: Path, cli: Cli) -> None:
    """Two are evaluated and one waits for an evaluator: each is recorded, and all is gone in time."""
    script(stubbed, tmp_path / "script", sleep_s=600)
    cli("start", "--tag", "t", "--set", "engine.lanes=3", "--set", "evaluator.slots=2",
        cwd=stubbed.root)  # fmt: skip
    running = wait_until(
        stubbed,
        lambda s: (
            sorted(lane["phase"] for lane in s["lanes"]) == ["evaluating", "evaluating", "waiting"]
        ),
    )
    processes = {running["pid"]} | descendants(running["pid"])
    assert len(processes) > 2
    started = time.monotonic()
    assert cli("stop", "--now", cwd=stubbed.root).returncode == 0
    assert gone(processes, LIMIT_S - (time.monotonic() - started))
    assert status(stubbed)["experiments"] == {"baseline": 1, "aborted": 3}
    with Ledger(stubbed.ledger) as ledger:
        assert ledger.open_experiments("t") == []


@pytest.mark.parametrize("delay_s", [0.02, 0.1, 0.2, 0.4, 0.8])
def test_sigterm_ends_a_start(stubbed: Workspace, tmp_path: Path, delay_s: float) -> None:
    """Also while it comes up, the probe of the sandbox included; the next start works."""
    script(stubbed, tmp_path / "script", sleep_s=600)
    stubbed.config.write_text(stubbed.config.read_text().replace("sandbox: off", "sandbox: auto"))
    process = subprocess.Popen(
        [sys.executable, "-m", "orchestrator", "start", "--no-check", "--foreground", "--tag", "t"],
        cwd=stubbed.root, stderr=subprocess.DEVNULL, start_new_session=True,
    )  # fmt: skip
    time.sleep(delay_s)
    below = descendants(process.pid)
    process.terminate()
    process.wait(timeout=LIMIT_S)
    assert gone(below, LIMIT_S)
    assert not status(stubbed)["running"]


@pytest.mark.long
def test_sigterm_ends_a_run_whose_git_hangs(stubbed: Workspace, tmp_path: Path, cli: Cli) -> None:
    """Git hangs while an experiment is recorded: the end is in time, and the next start goes on."""
    git_ = HangingGit(tmp_path / "bin")
    script(stubbed, tmp_path / "script", sleep_s=0.5)
    cli("start", "--tag", "t", cwd=stubbed.root, PATH=git_.path)
    wait_until(stubbed, lambda s: s["phase"] == "evaluating" and keeps(s) >= 1)
    git_.flag.touch()
    running = wait_until(stubbed, lambda s: s["phase"] == "recording")
    hanging = git_.hanging()
    processes = {running["pid"]} | descendants(running["pid"])
    started = time.monotonic()
    cli("stop", "--now", cwd=stubbed.root)
    assert gone(processes | hanging, LIMIT_S - (time.monotonic() - started))
    git_.flag.unlink()
    cli("start", "--tag", "t", cwd=stubbed.root, PATH=git_.path)
    wait_until(stubbed, lambda s: keeps(s) >= 3)
    cli("stop", "--now", cwd=stubbed.root)
    assert_whole(stubbed)


def test_git_that_hangs_is_killed_with_its_children(
    stubbed: Workspace, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """After its time it is gone and the fault may pass; the next call goes through."""
    git_ = HangingGit(tmp_path / "bin")
    monkeypatch.setenv("PATH", git_.path)
    store = GitStore(stubbed.root)
    store.hurry()  # seconds instead of tens of them
    git_.flag.touch()
    with pytest.raises(StoreError, match="hung and was killed"):
        store.head()
    assert gone(git_.hanging(), 2)
    git_.flag.unlink()
    assert store.head()


def test_stop_and_pause_are_shown_until_they_are_obeyed(
    stubbed: Workspace, tmp_path: Path, cli: Cli
) -> None:
    """A request waits for the experiment in hand, in sight; the experiment ends as it would."""
    script(stubbed, tmp_path / "script", sleep_s=10)
    cli("start", "--tag", "t", cwd=stubbed.root)
    wait_until(stubbed, lambda s: s["phase"] == "evaluating" and s["experiment"] == 2)
    cli("pause", cwd=stubbed.root)
    cli("stop", cwd=stubbed.root)
    asked = status(stubbed)
    assert asked["requests"] == ["pause", "stop"]
    assert "asked for pause, stop, after what is in flight" in status_lines(asked)
    ended = wait_until(stubbed, lambda s: not s["running"])
    assert (keeps(ended), ended["stop_reason"]) == (1, "stopped by the user")


# -- SIGHUP and terminals --------------------------------------------------------------------------


def test_sighup_does_nothing(stubbed: Workspace, tmp_path: Path, cli: Cli) -> None:
    """A hang-up is not for a daemon."""
    script(stubbed, tmp_path / "script")
    cli("start", "--tag", "t", cwd=stubbed.root)
    running = wait_until(stubbed, lambda s: keeps(s) >= 1)
    os.kill(running["pid"], signal.SIGHUP)
    later = wait_until(stubbed, lambda s: keeps(s) >= keeps(running) + 2)
    assert later["pid"] == running["pid"]


@pytest.mark.parametrize("form", ["", "--foreground"])
def test_a_closed_terminal_does_nothing(stubbed: Workspace, tmp_path: Path, form: str) -> None:
    """The terminal in which it was started goes away: the run ends where it would have."""
    script(stubbed, tmp_path / "script", count=4, sleep_s=0.3)
    command = [
        sys.executable,
        "-m",
        "orchestrator",
        "start",
        "--no-check",
        "--tag",
        "t",
        *filter(None, [form]),
    ]
    pid, terminal = pty.fork()
    if pid == 0:
        try:
            os.chdir(stubbed.root)
            os.execv(sys.executable, command)
        finally:
            os._exit(127)
    wait_until(stubbed, lambda s: keeps(s) >= 1)
    os.close(terminal)
    ended = wait_until(stubbed, lambda s: s["stop_reason"] and not s["running"])
    assert (keeps(ended), ended["stop_reason"]) == (4, "script ended")
    assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 0
    assert_whole(stubbed)


# -- hung, or busy ---------------------------------------------------------------------------------


def test_a_hung_daemon_is_told_from_a_busy_one(
    stubbed: Workspace, tmp_path: Path, cli: Cli
) -> None:
    """A long evaluation has a heartbeat; a stopped process has none, and status says what to do."""
    script(stubbed, tmp_path / "script", sleep_s=600)
    cli("start", "--tag", "t", cwd=stubbed.root)
    running = wait_until(stubbed, lambda s: s["phase"] == "evaluating" and s["experiment"] == 2)
    time.sleep(2.2)
    assert not status_document(stubbed, Config(), lost_after_s=2)["hung"]
    os.kill(running["pid"], signal.SIGSTOP)
    assert comes_true(lambda: status_document(stubbed, Config(), lost_after_s=2)["hung"])
    hung = status_document(stubbed, Config(), lost_after_s=2)
    assert (
        f"HUNG: no heartbeat since {local_with_zone(hung['heartbeat_at'])}" in status_lines(hung)[0]
    )
    assert f"kill -9 {running['pid']}" in status_lines(hung)[0]
    os.kill(running["pid"], signal.SIGCONT)
    assert comes_true(lambda: not status_document(stubbed, Config(), lost_after_s=2)["hung"])


def test_an_evaluator_that_is_killed_costs_nothing(
    stubbed: Workspace, tmp_path: Path, cli: Cli
) -> None:
    """Killed from outside, as for want of memory: the same candidate is scored by a fresh one."""
    script(stubbed, tmp_path / "script", sleep_s=1)
    cli("start", "--tag", "t", cwd=stubbed.root)
    running = wait_until(stubbed, lambda s: s["phase"] == "evaluating" and s["experiment"] == 2)
    (referee,) = evaluators(running["pid"])
    os.kill(referee, signal.SIGKILL)
    wait_until(stubbed, lambda s: keeps(s) >= 2)
    cli("stop", "--now", cwd=stubbed.root)
    assert_whole(stubbed)


def test_an_evaluator_that_hangs_is_killed_with_its_children(
    stubbed: Workspace, tmp_path: Path, cli: Cli
) -> None:
    """After evaluator.timeout_s nothing of it is left; it is recorded, and the next one runs."""
    framework = stubbed.root / "framework.py"
    framework.write_text(
        framework.read_text().replace(
            'if do == "hang":\n',
            'if do == "hang":\n'
            "        import subprocess\n"
            '        child = subprocess.Popen(["sleep", "601"])\n'
            f"        open({str(tmp_path / 'pid')!r}, 'w').write(str(child.pid))\n"
            f"        os.rename({str(tmp_path / 'pid')!r}, {str(tmp_path / 'hung')!r})\n",
        )
    )
    script(stubbed, tmp_path / "script", count=2, sleep_s=0)
    first = tmp_path / "script" / "0001.md"
    first.write_text(first.read_text().replace("SCORE = 1\n", 'DO = "hang"\n'))
    cli("start", "--tag", "t", "--set", "evaluator.timeout_s=1.5", cwd=stubbed.root)
    running = wait_until(stubbed, lambda s: s["phase"] == "evaluating" and s["experiment"] == 2)
    hung = tmp_path / "hung"
    assert comes_true(hung.exists)
    processes = {int(hung.read_text()), *evaluators(running["pid"])}
    assert len(processes) == 2
    ended = wait_until(stubbed, lambda s: s["stop_reason"] and not s["running"])
    assert gone(processes, 5)
    assert ended["experiments"] == {"baseline": 1, "timeout": 1, "keep": 1}
