"""The commands that start a daemon, reach it or watch it."""

import json
from pathlib import Path
from typing import Any

import pytest

from orchestrator.config.reloading import RunningConfig
from orchestrator.config.schema import Config
from orchestrator.store.ledger import Ledger
from orchestrator.store.lock import WorkspaceLock
from orchestrator.store.workspace import Workspace
from tests.cli.conftest import Call
from tests.conftest import Cli, git


def everything(root: Path) -> dict[str, bytes]:
    return {str(p): p.read_bytes() for p in root.rglob("*") if p.is_file() and p.name != "lock"}


def spoil_config(workspace: Workspace) -> None:
    workspace.config.write_text("budget: {patience: many}\n")


def spoil_git(workspace: Workspace) -> None:
    (workspace.root / ".git").rename(workspace.root / "no-git")


def spoil_commit(workspace: Workspace) -> None:
    (workspace.root / ".git").rename(workspace.root.parent / "away")
    git(workspace.root, "init", "--quiet")


def spoil_program(workspace: Workspace) -> None:
    workspace.program.unlink()


def spoil_candidate(workspace: Workspace) -> None:
    (workspace.root / "candidate" / "env.py").unlink()


def spoil_framework(workspace: Workspace) -> None:
    (workspace.root / "framework.py").write_text("# theirs\n")


def spoil_ledger(workspace: Workspace) -> None:
    import sqlite3

    workspace.state.mkdir(exist_ok=True)
    Ledger(workspace.ledger).close()
    with sqlite3.connect(workspace.ledger) as db:
        db.execute("PRAGMA user_version = 99")


@pytest.mark.parametrize(
    ("spoil", "arguments", "says"),
    [
        (spoil_config, [], "config.yaml:1: budget.patience"),
        (spoil_git, [], "not in a git repository"),
        (spoil_commit, [], "no commit yet"),
        (spoil_program, [], "program.md is missing"),
        (spoil_candidate, [], "candidate/env.py is missing"),
        (spoil_framework, [], "no EVALUATOR_PROTOCOL"),
        (spoil_ledger, [], "newer autorl-daemon"),
        (None, ["--set", "agent.backend=openai"], "agent.model is missing"),
        (None, ["--set", "agent.backend=openai", "--set", "agent.model=m"], "no API key"),
        (None, ["--set", "agent.backend=scripted"], "agent.scripted_dir is missing"),
        (
            None,
            ["--set", "agent.backend=scripted", "--set", "agent.scripted_dir=x"],
            "not a folder",
        ),
        (None, ["--set", "limits.experiments"], "must be KEY=VALUE"),
        (None, ["--set", "agent.backend=command"], "agent.command is missing"),
        (None, ["--set", "budget.screen_below=0.6"], "was removed in 0.2"),
        (None, ["--tag", "a b"], "can't be a branch name"),
    ],
)
def test_a_start_that_can_not_work_changes_nothing(
    stubbed: Workspace, call: Call, spoil: Any, arguments: list[str], says: str
) -> None:
    """Every user error is one line that names the thing and the cure, exit 2, nothing changed."""
    if spoil:
        spoil(stubbed)
    before = everything(stubbed.root)
    # Two settings at once would give two lines, so the message is looked for in one.
    call("start", *arguments, cwd=stubbed.root).refuses(says)
    assert everything(stubbed.root) == before


def test_a_checked_out_run_branch_is_refused(stubbed: Workspace, call: Call) -> None:
    """The daemon would move the branch under the user's feet."""
    git(stubbed.root, "switch", "--quiet", "--create", "autorl/mine")
    call("start", "--tag", "mine", cwd=stubbed.root).refuses("is checked out in")


def test_a_branch_of_somebody_else_is_refused(stubbed: Workspace, call: Call) -> None:
    """A branch of that name that is no run of ours is left alone."""
    git(stubbed.root, "branch", "autorl/theirs")
    call("start", "--tag", "theirs", cwd=stubbed.root).refuses("choose --tag")


def test_a_branch_in_the_way_is_named(stubbed: Workspace, call: Call) -> None:
    """`autorl` as a branch leaves no room for `autorl/<tag>`: said before anything is begun."""
    git(stubbed.root, "branch", "autorl")
    call("start", "--tag", "t", cwd=stubbed.root).refuses("a branch named autorl is in the way")


@pytest.mark.parametrize(
    ("ref", "named"),
    [
        ("refs/heads/autorl/t/old", "autorl/t/old"),
        ("refs/autorl/experiments/3/x", "refs/autorl/experiments/3/x"),
        ("refs/autorl/experiments", "refs/autorl/experiments"),
    ],
)
def test_a_ref_in_the_way_of_the_runs_own_is_named(
    stubbed: Workspace, call: Call, ref: str, named: str
) -> None:
    """Refused before anything is trained, whether it is above or below the run's refs."""
    git(stubbed.root, "update-ref", ref, "HEAD")
    call("start", "--tag", "t", cwd=stubbed.root).refuses(f"named {named} is in the way")


@pytest.mark.parametrize(
    ("tag", "says"),
    [
        ("x" * 201, "at most 200 bytes"),
        ("数" * 67, "at most 200 bytes"),
        ("a b", "can't be a branch name"),
        ("a..b", "can't be a branch name"),
        ("a.lock", "can't be a branch name"),
        ("@{-1}", "can't be a branch name"),
        ("a\x1b[31m", "can't be a branch name"),
        ("a\u202eb", "can't be a branch name"),
        ("a\udcffb", "can't be a branch name"),
        ("  ", "can't be a branch name"),
        ("-x", "can't be a branch name"),
    ],
)
def test_a_tag_that_git_or_a_terminal_can_not_have_is_refused(
    stubbed: Workspace, call: Call, tag: str, says: str
) -> None:
    """One line names what is wrong with it; nothing waits for ever."""
    call("start", f"--tag={tag}", cwd=stubbed.root).refuses(says)


def test_start_names_the_agent_and_what_may_surprise(ended: Workspace, cli: Cli) -> None:
    """Which agent runs and why, that an older run could go on, that there is nothing to tune."""
    (ended.root / "candidate" / "train.py").write_text(
        "SCORE = None\n" + (ended.root / "candidate" / "train.py").read_text().split("\n", 1)[1]
    )
    text = cli("start", "--tag", "new", cwd=ended.root).stdout
    assert "agent: optuna (no agent.base_url and no $OPENAI_API_KEY" in text
    assert "`start --tag t` resumes t instead" in text
    assert "no numeric constant" in text


def test_another_repository_in_the_environment_is_not_ours(
    stubbed: Workspace, cli: Cli, tmp_path: Path
) -> None:
    """What a hook says about which repository this is does not lead a run astray."""
    other = tmp_path / "other"
    other.mkdir()
    git(other, "init", "--quiet")
    git(other, "commit", "--quiet", "--allow-empty", "--message", "theirs")
    done = cli(
        "start", "--foreground", "--tag", "t", "--set", "judge.min_effect=0.05",
        "--max-experiments", "1", cwd=stubbed.root, GIT_DIR=str(other / ".git"),
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert git(stubbed.root, "rev-parse", "--verify", "autorl/t")
    assert git(other, "for-each-ref", "refs/heads/autorl") == ""


@pytest.mark.parametrize("command", ["stop", "pause", "resume", "status"])
def test_commands_for_a_running_daemon_exit_3_without_one(
    stubbed: Workspace, call: Call, command: str
) -> None:
    """Not running is told apart from failed."""
    assert call(command, cwd=stubbed.root).code == 3


def test_status_json_has_the_contracts_fields(ended: Workspace, call: Call) -> None:
    """Of a stopped run: the last state, exit code 3."""
    done = call("status", "--json", cwd=ended.root)
    assert done.code == 3
    document = json.loads(done.stdout)
    assert set(document) >= set(
        "running pid tag phase experiment agent rung best_score validated_score baseline_score "
        "experiments tokens cost_usd started_at heartbeat_at stop_reason".split()
    )
    assert document["running"] is False
    assert document["phase"] == "stopped"
    assert document["rung"] == {"train_episodes": 12, "eval_episodes": 8}
    assert (document["best_score"], document["baseline_score"]) == (0.4, 0.1)
    assert document["experiments"] == {"baseline": 1, "keep": 1, "discard": 1, "crash": 1}
    assert document["stop_reason"] == "limits.experiments reached (3 of 3)"


def test_status_works_with_a_broken_config(ended: Workspace, call: Call) -> None:
    """What the daemon did is still true; the fault is named on stderr."""
    ended.config.write_text("nonsense: 1\n")
    done = call("status", "--json", cwd=ended.root)
    assert json.loads(done.stdout)["best_score"] == 0.4
    assert "unknown key" in done.stderr
    assert done.code == 3


@pytest.fixture
def away(ended: Workspace) -> Workspace:
    """The run's workspace while a branch is checked out that has none of its files."""
    with Ledger(ended.ledger) as ledger:
        recorded = RunningConfig(Config(sandbox="off"))
        ledger.set_config("t", recorded.as_json())
    git(ended.root, "switch", "--quiet", "--orphan", "docs")
    assert not ended.config.exists()
    return ended


def test_a_run_is_watched_and_stopped_from_another_branch(away: Workspace, call: Call) -> None:
    """The ledger makes it a workspace; `status` shows what the run was configured with."""
    done = call("status", "--json", cwd=away.root)
    document = json.loads(done.stdout)
    assert (done.code, document["best_score"]) == (3, 0.4)
    assert document["sandbox"].startswith("OFF (by config)")
    assert "config.yaml is missing (is another branch checked out?)" in done.stderr
    assert call("results", cwd=away.root).code == 0
    with WorkspaceLock(away.lock):
        for command in ("pause", "stop"):
            assert call(command, cwd=away.root).code == 0
            assert call("--workspace", str(away.root), command, cwd=away.root.parent).code == 0
        assert call("status", cwd=away.root).code == 0


def test_logs_prints_what_is_there(ended: Workspace, call: Call) -> None:
    """JSON lines come out as they are with --json and as plain text without, across rotation."""
    ended.logs.mkdir(exist_ok=True)
    entry = {"timestamp": "2026-11-22T01:02:03Z", "level": "warning", "event": "waiting", "n": 1}
    Path(f"{ended.daemon_log}.1").write_text(json.dumps(entry | {"event": "older"}) + "\n")
    ended.daemon_log.write_text(json.dumps(entry) + '\n{"torn')
    assert call("logs", "--json", "-n", "2", cwd=ended.root).stdout.splitlines()[-1] == '{"torn'
    plain = call("logs", cwd=ended.root).stdout.splitlines()
    assert plain[:2] == ["01:02:03 WARNING older  n=1", "01:02:03 WARNING waiting  n=1"]


def test_logs_of_nothing_says_so(stubbed: Workspace, call: Call) -> None:
    """As every command does where nothing has run."""
    call("logs", cwd=stubbed.root).refuses("nothing is logged in")


@pytest.mark.parametrize("count", ["-3", "x", "1.5", "9" * 5000])
def test_logs_takes_a_whole_number_of_lines(ended: Workspace, call: Call, count: str) -> None:
    """None is a number too; anything else is a usage error."""
    ended.logs.mkdir(exist_ok=True)
    ended.daemon_log.write_text("one\n")
    done = call("logs", "-n", count, cwd=ended.root)
    assert done.code == 2
    assert "must be a whole number from 0" in done.stderr
    assert call("logs", "-n", "0", cwd=ended.root).stdout == ""
