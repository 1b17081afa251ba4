"""One daemon a workspace: races of real processes for the lock, and of whole daemons."""

import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

from orchestrator.store.lock import holder
from orchestrator.store.workspace import Workspace
from tests.conftest import Cli, git
from tests.reliability.helpers import script, wait_until

LONG = bool(os.environ.get("TESTS_LONG"))
PAIRS, ROUNDS = 20, 5
DAEMON_RACES = 100 if LONG else 3

RACER = """
import sys
from pathlib import Path
from orchestrator.core.errors import CommandFailedError
from orchestrator.store.lock import WorkspaceLock
path = Path(sys.argv[1])
print("ready", flush=True)
for line in sys.stdin:
    try:
        with WorkspaceLock(path):
            print("won", flush=True)
            sys.stdin.readline()
    except CommandFailedError as error:
        print(error, flush=True)
        sys.stdin.readline()
"""


def racer(path: Path) -> "subprocess.Popen[str]":
    process = subprocess.Popen(
        [sys.executable, "-c", RACER, path],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert process.stdout is not None
    assert process.stdout.readline() == "ready\n"
    return process


def tell(process: "subprocess.Popen[str]") -> None:
    assert process.stdin is not None
    process.stdin.write("go\n")
    process.stdin.flush()


def hear(process: "subprocess.Popen[str]") -> str:
    assert process.stdout is not None
    return process.stdout.readline().strip()


def test_two_processes_race_for_the_lock(tmp_path: Path) -> None:
    """A hundred times one wins and the other names the winner; now and then the winner is killed."""
    # Many pairs side by side: a loser is patient for a second.
    paths = [tmp_path / str(n) / ".autorl" / "lock" for n in range(PAIRS)]
    for path in paths:
        path.parent.mkdir(parents=True)
    pairs = [[racer(path), racer(path)] for path in paths]
    for round_ in range(ROUNDS):
        for pair in pairs:
            for process in pair if round_ % 2 else reversed(pair):
                tell(process)
        for n, pair in enumerate(pairs):
            said = [hear(process) for process in pair]
            assert said.count("won") == 1, said
            winner = said.index("won")
            assert f"(pid {pair[winner].pid})" in said[1 - winner]
            assert holder(paths[n]) == pair[winner].pid
            tell(pair[1 - winner])
            if n == round_:
                pair[winner].kill()  # the lock it leaves is stale
                pair[winner].communicate()
                pair[winner] = racer(paths[n])
            else:
                tell(pair[winner])
    for n, pair in enumerate(pairs):
        for process in pair:
            process.communicate()
        assert holder(paths[n]) is None


def test_two_daemons_race(stubbed: Workspace, tmp_path: Path) -> None:
    """Of two starts at once one runs; the other exits 1 with its pid. A killed one blocks nobody."""
    script(stubbed, tmp_path / "script", sleep_s=30)
    command = [
        sys.executable,
        "-m",
        "orchestrator",
        "start",
        "--no-check",
        "--foreground",
        "--tag",
        "t",
    ]
    for _ in range(DAEMON_RACES):
        both = [
            subprocess.Popen(command, cwd=stubbed.root, stderr=subprocess.PIPE, text=True)
            for _ in range(2)
        ]
        deadline = time.monotonic() + 30
        while all(process.poll() is None for process in both):
            assert time.monotonic() < deadline
            time.sleep(0.02)
        (loser,) = [process for process in both if process.returncode is not None]
        (winner,) = [process for process in both if process is not loser]
        _, said = loser.communicate()
        assert (loser.returncode, f"(pid {winner.pid})" in said) == (1, True), said
        running = wait_until(stubbed, lambda s: s["phase"] == "evaluating")
        assert running["pid"] == winner.pid
        winner.send_signal(signal.SIGKILL)
        winner.communicate()
    assert git(stubbed.root, "fsck", "--strict") == ""


def test_a_lock_file_that_is_removed_by_hand_lets_no_second_daemon_in(
    stubbed: Workspace, tmp_path: Path, cli: Cli
) -> None:
    """It looks stale, and people remove such files; the daemon writes it again."""
    script(stubbed, tmp_path / "script", sleep_s=30)
    cli("start", "--tag", "t", cwd=stubbed.root)
    running = wait_until(stubbed, lambda s: s["phase"] == "evaluating")
    stubbed.lock.unlink()
    second = cli("start", "--tag", "t", cwd=stubbed.root)
    assert second.returncode == 1
    assert "already running here" in second.stderr
    assert wait_until(stubbed, lambda s: s["running"])["pid"] == running["pid"]
    cli("stop", "--now", cwd=stubbed.root)


def test_a_daemon_whose_state_is_removed_ends(stubbed: Workspace, tmp_path: Path, cli: Cli) -> None:
    """As by `git clean -fdx`: nothing more could be recorded, and no command would reach it."""
    script(stubbed, tmp_path / "script", sleep_s=30)
    cli("start", "--tag", "t", cwd=stubbed.root)
    pid = wait_until(stubbed, lambda s: s["phase"] == "evaluating")["pid"]
    shutil.rmtree(stubbed.state)
    deadline = time.monotonic() + 30
    while Path(f"/proc/{pid}").exists():
        assert time.monotonic() < deadline
        time.sleep(0.05)
    assert ".autorl was removed" in stubbed.daemon_log.read_text()
