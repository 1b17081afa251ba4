"""The daemon as a person uses it: real processes, real git, and once the real evaluator."""

import hashlib
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from orchestrator.config.loading import load_config
from orchestrator.daemon.new_workspace import initialise
from orchestrator.reporting.status import status_document
from orchestrator.store.workspace import Workspace
from simverse.replay import check_replay
from simverse.weights import loads
from tests.conftest import Cli, git
from tests.fakes import ChatServer, completion, reply, write_script


def status(cli: Cli, root: Path) -> dict[str, Any]:
    document: dict[str, Any] = json.loads(cli("status", "--json", cwd=root).stdout)
    return document


def wait_for(
    cli: Cli, root: Path, condition: Callable[[dict[str, Any]], bool], timeout_s: float = 60
) -> dict[str, Any]:
    """Poll what `status --json` prints until a condition holds."""
    deadline = time.monotonic() + timeout_s
    while time.monotonic() < deadline:
        # In this process: one for each poll would take longer than what is waited for.
        document = status_document(Workspace(root), load_config(root / "config.yaml"))
        if condition(document):
            return document
        time.sleep(0.1)
    raise AssertionError(f"not within {timeout_s} s; status is {document}")


def fingerprint(root: Path) -> dict[str, str]:
    """Hash what is the user's: every file of the work tree but ours, HEAD, index and branches."""
    ours = {"logs", ".autorl", "results.tsv"}
    files = [
        path
        for path in root.rglob("*")
        if path.is_file() and path.relative_to(root).parts[0] not in ours | {".git"}
    ]
    files += [root / ".git" / name for name in ("HEAD", "index", "config")]
    files += [p for p in (root / ".git" / "refs" / "heads").glob("*") if p.is_file()]
    files += [root / ".git" / "hooks" / "post-commit"]
    return {
        str(path): hashlib.sha256(path.read_bytes()).hexdigest() for path in files if path.exists()
    }


def alive(pid: int) -> bool:
    """Is a process there, and no zombie that init has not reaped yet?"""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False


@pytest.mark.long
def test_a_whole_day(tmp_path: Path, cli: Cli) -> None:
    """init, start, logs, status, stop, results, show, plot; the user's own work is untouched."""
    root = tmp_path / "work"
    assert cli("init", str(root), "--example", "keydoor", cwd=tmp_path).returncode == 0
    # The user is in the middle of something: another branch, a staged and an unstaged change.
    git(root, "switch", "--quiet", "--create", "mine")
    (root / "candidate" / "train.py").open("a").write("# dirty\n")
    (root / "staged.txt").write_text("staged")
    git(root, "add", "staged.txt")
    (root / "untracked.txt").write_text("untracked")
    before = fingerprint(root)

    started = cli("start", "--tag", "day", "--max-experiments", "50", cwd=root, check=True)
    assert started.returncode == 0, started.stderr
    second = cli("start", "--tag", "day", cwd=root)
    assert second.returncode == 1
    assert str(status(cli, root)["pid"]) in second.stderr
    running = wait_for(cli, root, lambda s: s["experiments"].get("baseline") == 1)
    assert running["running"]
    assert running["tag"] == "day"
    assert not running["hung"]
    wait_for(cli, root, lambda s: sum(s["experiments"].values()) >= 3)
    assert cli("stop", cwd=root).returncode == 0
    ended = wait_for(cli, root, lambda s: not s["running"])
    assert ended["stop_reason"] == "stopped by the user"

    log = [
        json.loads(line)
        for line in cli("logs", "--json", "-n", "999", cwd=root).stdout.splitlines()
    ]
    assert [list(entry)[:3] for entry in log] == [["timestamp", "level", "event"]] * len(log)
    assert log[0]["event"] == "run started"
    assert log[0]["backend"] == "optuna"
    assert "no agent.base_url and no $OPENAI_API_KEY" in log[0]["why"]
    assert log[-1]["event"] == "run stopped"

    rows = json.loads(cli("results", "--json", cwd=root).stdout)
    assert len(rows) == sum(ended["experiments"].values())
    assert rows[0]["status"] == "baseline"
    assert git(root, "show", f"{rows[0]['commit']}:candidate/train.py").endswith("# dirty")
    for row in rows:
        assert (
            git(root, "rev-parse", f"refs/autorl/experiments/{row['experiment']}") == row["commit"]
        )
        if row["score"] is not None:  # else it was discarded before its last seed
            assert set(row["scores_by_seed"]) == {"101", "138"}
    accepted = [row for row in rows if row["status"] in {"baseline", "keep"}]
    assert git(root, "rev-parse", "autorl/day") == accepted[-1]["commit"]
    assert ended["best_score"] == accepted[-1]["score"]
    for row in accepted:
        file = root / "logs" / "experiments" / str(row["experiment"]) / "replay.json"
        check_replay(json.loads(file.read_text()))
        (weights,) = file.parent.glob("policy-*.safetensors")
        assert loads(weights.read_bytes()).entries
    shown = cli("show", "2", cwd=root).stdout
    assert rows[1]["description"] in shown
    assert cli("plot", cwd=root).returncode == 0
    assert (root / "logs" / "plot.png").read_bytes().startswith(b"\x89PNG")
    assert git(root, "fsck", "--strict") == ""
    assert fingerprint(root) == before


@pytest.mark.long
@pytest.mark.long_form
def test_the_demo_ends_with_a_summary(tmp_path: Path) -> None:
    """`demo` makes a workspace, runs, and says baseline, published, branch, chart and log."""
    done = subprocess.run(
        [sys.executable, "-m", "orchestrator", "demo", "--max-experiments", "2",
         "--workspace", str(tmp_path / "demo")],
        cwd=tmp_path, capture_output=True, text=True, timeout=120,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    for words in ("#1", "baseline", "published", "validated", "kept", "branch:", "chart:", "log:"):
        assert words in done.stdout
    assert (tmp_path / "demo" / "logs" / "plot.png").is_file()


# -- with an evaluator that only obeys -------------------------------------------------------------


@pytest.fixture
def scripted(stubbed: Workspace, tmp_path: Path) -> Workspace:
    """A stubbed workspace whose agent reads replies; each evaluation takes 0.3 s."""
    train = stubbed.candidate().train.removeprefix("SCORE = 0.0\n")
    replies = [reply(f"SCORE = {n / 10}\nSLEEP_S = 0.3\n{train}") for n in range(1, 30)]
    write_script(tmp_path / "script", replies)
    stubbed.config.write_text(
        f"agent: {{backend: scripted, scripted_dir: {tmp_path / 'script'}}}\n"
        "sandbox: off\nbudget: {ladder: [[12, 8]]}\njudge: {rule: naive}\n"  # the stub runs no candidate
    )
    return stubbed


def test_stop_now_aborts_and_records(scripted: Workspace, cli: Cli) -> None:
    """The experiment in hand is recorded as aborted, and everything has ended within 10 s."""
    root = scripted.root
    folder = Path(scripted.config.read_text().split("scripted_dir: ")[1].split("}")[0])
    first = folder / "0001.md"
    first.write_text(first.read_text().replace("SLEEP_S = 0.3", "SLEEP_S = 60"))
    cli("start", "--tag", "t", cwd=root)
    running = wait_for(cli, root, lambda s: s["phase"] == "evaluating" and s["experiment"] == 2)
    started = time.monotonic()
    assert cli("stop", "--now", cwd=root).returncode == 0
    assert time.monotonic() - started < 10
    ended = status(cli, root)
    assert not ended["running"]
    assert ended["experiments"]["aborted"] == 1
    assert "SIGTERM" in ended["stop_reason"]
    deadline = time.monotonic() + 5
    while alive(running["pid"]) and time.monotonic() < deadline:
        time.sleep(0.02)  # the lock is free a moment before the process is gone
    assert not alive(running["pid"])


def test_pause_and_resume(scripted: Workspace, cli: Cli) -> None:
    """A pause begins no new experiment, and resume goes on where it was."""
    root = scripted.root
    cli("start", "--tag", "t", cwd=root)
    wait_for(cli, root, lambda s: s["experiments"].get("keep", 0) >= 1)
    cli("pause", cwd=root)
    paused = wait_for(cli, root, lambda s: s["phase"] == "paused")
    assert paused["reason"] == "paused by the user"
    time.sleep(1)
    assert status(cli, root)["experiments"] == paused["experiments"]
    cli("resume", cwd=root)
    more = sum(paused["experiments"].values())
    wait_for(cli, root, lambda s: sum(s["experiments"].values()) > more)


def test_kill_9_loses_nothing(scripted: Workspace, cli: Cli) -> None:
    """After kill -9 the next start goes on: each reply is used once and the branch is its best."""
    root = scripted.root
    cli("start", "--tag", "t", "--max-experiments", "6", cwd=root)
    running = wait_for(cli, root, lambda s: s["experiments"].get("keep", 0) >= 2)
    os.kill(running["pid"], signal.SIGKILL)
    wait_for(cli, root, lambda s: not s["running"])
    again = cli("start", "--tag", "t", "--max-experiments", "6", cwd=root)
    assert again.returncode == 0, again.stderr
    ended = wait_for(cli, root, lambda s: not s["running"] and s["stop_reason"])
    assert ended["stop_reason"] == "limits.experiments reached (6 of 6)"
    rows = json.loads(cli("results", "--json", cwd=root).stdout)
    scores = [row["score"] for row in rows if row["status"] == "keep"]
    assert scores == [0.1, 0.2, 0.3, 0.4, 0.5, 0.6]
    assert git(root, "rev-parse", "autorl/t") == rows[-1]["commit"]
    assert git(root, "fsck", "--strict") == ""


def test_accept_and_note_without_a_daemon(scripted: Workspace, cli: Cli) -> None:
    """A human's override and notes work when nothing runs; the next run builds on them."""
    root = scripted.root
    cli("start", "--foreground", "--tag", "t", "--max-experiments", "2", cwd=root)
    done = cli("accept", "2", cwd=root)
    assert done.returncode == 0, done.stderr
    assert git(root, "show", "autorl/t:candidate/train.py").startswith("SCORE = 0.1\n")
    assert status(cli, root)["incumbent"] == 2
    assert cli("note", "be", "bold", cwd=root).returncode == 0
    train = scripted.candidate().train.removeprefix("SCORE = 0.0\n")
    model = ChatServer(completion(reply(f"SCORE = 0.9\n{train}")))
    cli("start", "--foreground", "--tag", "t", "--max-experiments", "3",
        "--set", "agent.backend=openai", "--set", "agent.model=m",
        "--set", f"agent.base_url={model.url}", cwd=root)  # fmt: skip
    model.close()
    rows = json.loads(cli("results", "--json", cwd=root).stdout)
    assert rows[3]["parent"] == git(root, "rev-parse", "autorl/t~1")
    (asked,) = model.requests
    assert "- be bold" in asked["messages"][-1]["content"]
    assert "- be bold" in (scripted.logs / "experiments" / "4" / "prompt.md").read_text()


def test_a_foreground_run_ends_with_the_script(scripted: Workspace, cli: Cli) -> None:
    """`start --foreground` exits 0 when the script's end stops it, and logs to the terminal."""
    folder = Path(scripted.config.read_text().split("scripted_dir: ")[1].split("}")[0])
    for file in sorted(folder.iterdir())[2:]:
        file.unlink()
    done = cli("start", "--foreground", cwd=scripted.root)
    assert done.returncode == 0, done.stderr
    assert "stopped: script ended" in done.stderr
    assert "experiment finished #3" in done.stderr


def test_an_interrupt_of_a_foreground_run_exits_130(scripted: Workspace) -> None:
    """Ctrl-C ends the run at once, with the experiment recorded."""
    process = subprocess.Popen(
        [sys.executable, "-m", "orchestrator", "start", "--no-check", "--foreground"],
        cwd=scripted.root, stderr=subprocess.PIPE, text=True,
    )  # fmt: skip
    assert process.stderr is not None
    while "evaluating #2" not in (line := process.stderr.readline()):
        assert line, "it ended before"
    process.send_signal(signal.SIGINT)
    rest = process.stderr.read()
    assert process.wait(timeout=15) == 130
    assert "interrupted" in rest


def test_the_starter_canvas_has_nothing_to_tune(starter: Workspace, cli: Cli) -> None:
    """The embedded search says so plainly, after a real baseline."""
    done = cli("start", "--foreground", cwd=starter.root)
    assert done.returncode == 0, done.stderr
    assert "stopped: nothing to tune" in done.stderr


@pytest.mark.long
def test_a_public_checkout_runs_as_it_is(tmp_path: Path, cli: Cli) -> None:
    """A checkout with a framework.py of its own becomes a workspace that starts, untouched."""
    initialise(tmp_path / "w", "keydoor")
    root = tmp_path / "w"
    for name in ("config.yaml", ".gitignore"):
        (root / name).unlink()
    for name in ("framework.py", "train.py"):
        (root / name).write_text(f"# theirs: {name}\n")
    git(root, "add", "--all")
    git(root, "commit", "--quiet", "--message", "a public checkout")
    before = fingerprint(root)
    assert cli("init", ".", cwd=root).returncode == 0
    naive = (
        "--set=judge.rule=naive"  # no reference: another's rule and time are not the matter here
    )
    done = cli("start", "--foreground", "--max-experiments", "1", naive, cwd=root)
    assert done.returncode == 0, done.stderr
    after = fingerprint(root)
    assert {path: after[path] for path in before} == before
