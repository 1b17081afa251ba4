"""Memory and processes run out: for the evaluator and the agent of a run, and for the daemon."""

import os
import re
import resource
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from orchestrator.store.workspace import Workspace
from tests.conftest import REPOSITORY, Cli
from tests.fakes import ChatServer, completion, reply
from tests.reliability.helpers import (
    assert_whole,
    configure,
    keeps,
    lacking,
    script,
    wait_until,
)

MIB = 1024 * 1024


def limit(pid: int, kind: int, value: int) -> tuple[int, int]:
    """Set a limit of a running process; return what it was."""
    usual = resource.prlimit(pid, kind)
    resource.prlimit(pid, kind, (value, usual[1]))
    return usual


class MemoryGroup:
    """A control group whose memory the kernel limits, and kills for."""

    def __init__(self, limit_mb: int) -> None:
        first = Path("/sys/fs/cgroup/memory")
        self._is_first = first.is_dir()
        self._folder = (first if self._is_first else first.parent) / f"autorl-test-{os.getpid()}"
        try:
            self._folder.mkdir()
            self.limit(limit_mb)
        except OSError as error:
            self.close()
            pytest.skip(f"no control group for memory can be had here: {error}")

    def limit(self, limit_mb: int) -> None:
        """Set the limit."""
        name = "memory.limit_in_bytes" if self._is_first else "memory.max"
        (self._folder / name).write_text(str(limit_mb * MIB))

    def run(self, *command: str, cwd: Path) -> None:
        """Run a command in it; what that starts is in it too."""
        inside = ["sh", "-c", 'echo $$ > "$0" && exec "$@"', self._folder / "cgroup.procs"]
        subprocess.run([*inside, *command], cwd=cwd, check=True)

    def kills(self) -> int:
        """Return how many processes the kernel has killed in it."""
        name = "memory.oom_control" if self._is_first else "memory.events"
        lines = (self._folder / name).read_text().splitlines()
        return int(dict(line.split() for line in lines)["oom_kill"])

    def close(self) -> None:
        """Remove it, and whoever is left in it."""
        if not self._folder.exists():
            return
        for _ in range(100):
            pids = (self._folder / "cgroup.procs").read_text().split()
            for pid in map(int, pids):
                os.kill(pid, signal.SIGKILL)
            if not pids:
                break
            time.sleep(0.05)
        self._folder.rmdir()


def test_an_evaluator_that_the_kernel_kills_for_memory_is_tried_again_later(
    stubbed: Workspace, tmp_path: Path
) -> None:
    """Killed twice at once, it is waited for, in sight; with memory again the score is as ever."""
    script(stubbed, tmp_path / "script", count=2, sleep_s=0.5)
    first = tmp_path / "script" / "0001.md"
    first.write_text(first.read_text().replace("SCORE = 1\n", "SCORE = 1\nHOG_MB = 600\n"))
    group = MemoryGroup(limit_mb=300)
    try:
        group.run(
            sys.executable,
            "-m",
            "orchestrator",
            "start",
            "--no-check",
            "--tag",
            "t",
            cwd=stubbed.root,
        )
        waiting = wait_until(stubbed, lambda s: s["phase"] == "waiting")
        assert "exit code -9" in waiting["reason"]
        assert group.kills() >= 1
        group.limit(2000)
        ended = wait_until(stubbed, lambda s: s["stop_reason"] and not s["running"])
        assert ended["experiments"] == {"baseline": 1, "keep": 2}
    finally:
        group.close()
    assert_whole(stubbed)


def agents(pid: int) -> list[int]:
    """Return the agent's processes of a daemon."""
    children = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
    return [
        int(child)
        for child in children
        if b"orchestrator.agents.job" in Path(f"/proc/{child}/cmdline").read_bytes()
    ]


@pytest.mark.parametrize("how", ["no memory", "killed"])
def test_an_agent_out_of_memory_is_followed_by_a_fresh_one(
    stubbed: Workspace, cli: Cli, how: str
) -> None:
    """Its process dies with a question in hand: in sight, a fresh one asks it; nothing is used up."""
    train = stubbed.candidate().train.removeprefix("SCORE = 0.0\n")
    answer = completion(reply(f"SCORE = 1\n{train}"))
    # More than the process has to spare without asking the system.
    large = replace(answer, delay_s=2, body=answer.body | {"padding": "x" * (6 * MIB)})
    server = ChatServer(large, answer)
    configure(stubbed, f"agent: {{backend: openai, model: m, base_url: '{server.url}'}}")
    cli("start", "--tag", "t", "--max-experiments", "1", cwd=stubbed.root)
    running = wait_until(stubbed, lambda s: server.requests)
    (agent,) = agents(running["pid"])
    if how == "killed":
        os.kill(agent, signal.SIGKILL)
    else:
        limit(agent, resource.RLIMIT_DATA, MIB)
    waiting = wait_until(stubbed, lambda s: s["phase"] == "waiting")
    assert waiting["reason"].startswith("the agent's process died, and a fresh one follows")
    assert waiting["next_try_at"]
    ended = wait_until(stubbed, lambda s: s["stop_reason"] and not s["running"])
    server.close()
    assert ended["experiments"] == {"baseline": 1, "keep": 1}
    assert len(server.requests) == 2
    assert_whole(stubbed)


@pytest.mark.parametrize("kind", ["RLIMIT_AS", "RLIMIT_DATA"])
def test_a_daemon_without_memory_waits(
    stubbed: Workspace, tmp_path: Path, cli: Cli, kind: str
) -> None:
    """Not a page more for the daemon or what it starts: it waits, in sight, and then goes on."""
    script(stubbed, tmp_path / "script")
    cli("start", "--tag", "t", cwd=stubbed.root)
    running = wait_until(stubbed, lambda s: keeps(s) >= 1)
    usual = limit(running["pid"], getattr(resource, kind), MIB)
    waiting = wait_until(stubbed, lambda s: s["phase"] == "waiting")
    assert "goes on by itself" in waiting["reason"]
    time.sleep(3)
    starved = wait_until(stubbed, lambda s: s["phase"] == "waiting")
    assert not starved["hung"]
    assert keeps(starved) <= keeps(waiting) + 1
    resource.prlimit(running["pid"], getattr(resource, kind), usual)
    back = wait_until(stubbed, lambda s: keeps(s) >= keeps(starved) + 2)
    assert back["pid"] == running["pid"]
    assert set(back["experiments"]) == {"baseline", "keep"}
    cli("stop", "--now", cwd=stubbed.root)
    assert_whole(stubbed)


NOBODY = 65_533


@pytest.fixture
def open_folder() -> Iterator[Path]:
    """A folder that other users can reach."""
    with tempfile.TemporaryDirectory() as name:
        os.chmod(name, 0o755)
        yield Path(name)


def as_ordinary_user(folder: Path) -> list[str]:
    """Return the words before a command that have it run as a user whom RLIMIT_NPROC binds."""
    if os.getuid():
        return []
    if shutil.which("setpriv") is None:
        lacking("no setpriv, and limits on processes don't bind root")
    subprocess.run(["chown", "-R", str(NOBODY), folder], check=True)
    # Python may lie in root's home: what may be read stays as it is.
    keep = ["--inh-caps=-all,+dac_read_search", "--ambient-caps=-all,+dac_read_search"]
    return ["setpriv", f"--reuid={NOBODY}", f"--regid={NOBODY}", "--clear-groups", *keep]


def test_a_daemon_that_can_start_no_process_waits(stubbed: Workspace, open_folder: Path) -> None:
    """Every fork is refused: no experiment is used up, and the run goes on when they are not."""
    script(stubbed, open_folder / "script")
    workspace = Workspace(open_folder / "workspace")
    shutil.move(stubbed.root, workspace.root)
    words = as_ordinary_user(open_folder)
    daemon = subprocess.Popen(
        [*words, sys.executable, "-m", "orchestrator", "start", "--no-check", "--foreground", "--tag", "t"],
        cwd=workspace.root, env=os.environ | {"PYTHONPATH": str(REPOSITORY)},
    )  # fmt: skip
    usual = re.sub("^-1$", "unlimited", str(resource.getrlimit(resource.RLIMIT_NPROC)[0]))

    def limit_processes(soft: str) -> None:
        command = ["prlimit", f"--pid={daemon.pid}", f"--nproc={soft}:"]
        subprocess.run([*words, *command], check=True)  # only the same user may

    try:
        running = wait_until(workspace, lambda s: keeps(s) >= 1)
        limit_processes("0")
        waiting = wait_until(workspace, lambda s: s["phase"] == "waiting")
        assert "Resource temporarily unavailable" in waiting["reason"]
        time.sleep(2)
        starved = wait_until(workspace, lambda s: s["phase"] == "waiting")
        assert keeps(starved) <= keeps(running) + 1
        limit_processes(usual)
        back = wait_until(workspace, lambda s: keeps(s) >= keeps(starved) + 2)
        assert set(back["experiments"]) == {"baseline", "keep"}
        daemon.terminate()
        daemon.wait(timeout=10)
    finally:
        daemon.kill()
        daemon.wait()
    if words:
        subprocess.run(["chown", "-R", str(os.getuid()), open_folder], check=True)
    assert_whole(workspace)
