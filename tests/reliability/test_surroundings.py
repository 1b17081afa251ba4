"""A daemon started from odd surroundings runs as anywhere: signals, streams, folders, encodings."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from orchestrator.store.ledger import Ledger
from orchestrator.store.workspace import Workspace
from tests.conftest import Cli, git
from tests.fakes import reply, write_script
from tests.reliability.helpers import configure, script, status, wait_until

DAEMON = [sys.executable, "-m", "orchestrator"]


@pytest.mark.parametrize("closed", [">&- 2>&-", "<&-", "<&- >&- 2>&-", "2>&-"])
def test_closed_standard_streams(stubbed: Workspace, tmp_path: Path, cli: Cli, closed: str) -> None:
    """`start` says that it has started although there is nothing to say it to."""
    script(stubbed, tmp_path / "replies", count=2)
    line = f'"$0" -m orchestrator start --tag t {closed}'
    done = subprocess.run(["sh", "-c", line, sys.executable], cwd=stubbed.root, check=False)
    assert done.returncode == 0
    document = wait_until(stubbed, lambda document: document["stop_reason"])
    assert document["stop_reason"] == "script ended"
    cli("status", cwd=stubbed.root)  # names the folder to the fixture, which ends what is left


def test_ignored_and_blocked_signals(starter: Workspace, tmp_path: Path, cli: Cli) -> None:
    """SIGCHLD ignored and SIGTERM blocked by whoever starts it: it confines, and ends when told."""
    script(starter, tmp_path / "replies", count=1)
    starter.config.write_text(starter.config.read_text().replace("sandbox: off\n", ""))
    code = (
        "import os, signal, sys\nsignal.signal(signal.SIGCHLD, signal.SIG_IGN)\n"
        "signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGTERM, signal.SIGCHLD})\n"
        "os.execv(sys.executable, [sys.executable, *sys.argv[1:]])"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, "-m", "orchestrator", "start", "--tag", "t"],
        cwd=starter.root, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    wait_until(starter, lambda document: document["phase"] == "evaluating", timeout_s=60)
    assert cli("stop", "--now", cwd=starter.root).returncode == 0
    assert not status(starter)["running"]


def test_a_long_temporary_folder(stubbed: Workspace, tmp_path: Path, cli: Cli) -> None:
    """The probe and all else work where no socket's address could hold the folder's path."""
    folder = tmp_path / ("x" * 100) / ("y" * 200)
    folder.mkdir(parents=True)
    done = cli("doctor", cwd=stubbed.root, TMPDIR=str(folder))
    assert "path too long" not in done.stdout
    assert "could not connect to a unix socket" in done.stdout


@pytest.mark.parametrize("encoding", ["ascii", "latin-1"])
@pytest.mark.parametrize(
    ("command", "code"),
    [
        (["status"], 3),
        (["show", "1"], 0),
        (["show", "2"], 0),
        (["results"], 0),
        (["logs"], 0),
        (["logs", "--json"], 0),
        (["plot"], 0),
        (["doctor"], 0),
        (["show", "99"], 2),
    ],
)
def test_an_encoding_without_our_characters(
    encoded: Workspace, cli: Cli, encoding: str, command: list[str], code: int
) -> None:
    """What the encoding lacks is replaced; the command and its exit code stay."""
    done = subprocess.run(
        [*DAEMON, *command], cwd=encoded.root, capture_output=True, check=False,
        env=os.environ | {"PYTHONIOENCODING": encoding},
    )  # fmt: skip
    assert done.returncode == code, done.stderr.decode(encoding)
    assert b"Traceback" not in done.stderr
    (done.stdout + done.stderr).decode(encoding)


@pytest.fixture(scope="module")
def encoded(tmp_path_factory: pytest.TempPathFactory, _workspaces: Path) -> Workspace:
    """A workspace whose run has words of many scripts in it."""
    root = tmp_path_factory.mktemp("encoded") / "größe – 数"
    subprocess.run(["cp", "-a", str(_workspaces / "stubbed"), str(root)], check=True)
    git(root, "update-index", "--refresh")
    workspace = Workspace(root)
    train = workspace.candidate().train.removeprefix("SCORE = 0.0\n")
    replies = root.parent / "replies"
    write_script(
        replies, [reply(f"SCORE = 1\n# größe – 数 🙂\n{train}", description="größe – 数 🙂")]
    )
    configure(workspace, f"agent: {{backend: scripted, scripted_dir: {replies}}}")
    done = subprocess.run(
        [*DAEMON, "start", "--foreground", "--tag", "größe"],
        cwd=root, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    with Ledger(workspace.ledger) as ledger:
        assert len(list(ledger.experiments())) == 2
    return workspace
