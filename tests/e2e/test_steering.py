"""A person steers a run: a candidate of their own, another configuration, before and while it runs."""

import json
import os
import signal
from pathlib import Path
from typing import Any

import pytest

from orchestrator.store.workspace import Workspace
from tests.conftest import Cli
from tests.e2e.test_as_a_person import wait_for
from tests.fakes import reply, write_script


@pytest.fixture
def scripted(stubbed: Workspace, tmp_path: Path) -> Workspace:
    """A stubbed workspace whose agent reads replies, each a bit worse than the baseline."""
    train = stubbed.candidate().train.removeprefix("SCORE = 0.0\n")
    replies = [reply(f"SCORE = -{n}\nSLEEP_S = 0.2\n{train}") for n in range(1, 200)]
    write_script(tmp_path / "script", replies)
    configure(stubbed, tmp_path)
    return stubbed


def configure(workspace: Workspace, tmp_path: Path, more: str = "") -> None:
    workspace.config.write_text(
        f"agent: {{backend: scripted, scripted_dir: {tmp_path / 'script'}}}\n"
        f"sandbox: off\nbudget: {{ladder: [[12, 8]]}}\njudge: {{rule: naive}}\n{more}"
    )


def edit(workspace: Workspace, score: float) -> None:
    train = workspace.root / "candidate" / "train.py"
    train.write_text(f"SCORE = {score}\n" + train.read_text().split("\n", 1)[1])


def rows(cli: Cli, root: Path) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = json.loads(cli("results", "--json", cwd=root).stdout)
    return found


@pytest.mark.long
def test_a_hand_edited_candidate_is_said_and_judged(scripted: Workspace, cli: Cli) -> None:
    """`start` names the cures; `--from-worktree` and `propose` have it judged like any other."""
    root, foreground = scripted.root, ("start", "--foreground", "--tag", "t", "--max-experiments")
    assert cli("start", "--from-worktree", "--tag", "t", cwd=root).returncode == 2
    assert cli(*foreground, "1", cwd=root).returncode == 0
    unchanged = cli("propose", cwd=root)
    assert (unchanged.returncode, len(unchanged.stderr.splitlines())) == (2, 1)
    assert "candidate/ is unchanged" in unchanged.stderr
    edit(scripted, 1.0)
    assert "candidate/ was edited by hand" in cli("status", cwd=root).stdout
    assert "autorl-daemon propose" in " ".join(cli("doctor", cwd=root).stdout.split())
    started = cli("start", "--tag", "t", cwd=root)
    assert "note: candidate/ was edited by hand" in started.stdout
    proposed = cli("propose", "--description", "my own idea", cwd=root)
    assert proposed.returncode == 0, proposed.stderr
    wait_for(cli, root, lambda s: s["experiments"].get("keep") == 1)
    assert cli("stop", "--now", cwd=root).returncode == 0
    (mine,) = [row for row in rows(cli, root) if row["status"] == "keep"]
    assert (mine["agent"], mine["description"], mine["score"]) == ("human", "my own idea", 1.0)
    assert "edited by hand" not in cli("status", cwd=root).stdout

    edit(scripted, 2.0)
    counted = [row for row in rows(cli, root) if row["status"] not in {"baseline", "aborted"}]
    done = cli(*foreground, str(len(counted) + 1), "--from-worktree", cwd=root)
    assert done.returncode == 0, done.stderr
    kept = [row for row in rows(cli, root) if row["status"] == "keep"]
    assert [(row["agent"], row["score"]) for row in kept] == [("human", 1.0), ("human", 2.0)]


@pytest.mark.long
def test_a_changed_configuration_is_taken_up(scripted: Workspace, cli: Cli, tmp_path: Path) -> None:
    """`status` tells of it, `reload` says what takes effect and what does not, the run obeys."""
    root = scripted.root
    cli("start", "--tag", "t", cwd=root)
    wait_for(cli, root, lambda s: s["experiments"].get("discard", 0) >= 1)
    assert "nothing has changed" in cli("reload", cwd=root).stdout
    configure(scripted, tmp_path, "limits: {experiments: many}\n")
    wrong = cli("reload", cwd=root)
    assert wrong.returncode == 2
    assert "limits.experiments" in wrong.stderr
    assert "goes on with what it read before" in wrong.stderr
    configure(scripted, tmp_path, "limits: {experiments: 100000}\ntask: {max_steps: 9}\n")
    changed = wait_for(cli, root, lambda s: True)
    assert changed["config_changed"] == ["task.max_steps", "limits.experiments"]
    assert "`autorl-daemon reload`" in cli("status", cwd=root).stdout
    said = cli("reload", cwd=root).stdout.splitlines()
    assert said[0].startswith("task.max_steps: null -> 9: stays as it was")
    assert "this run keeps null: put it back, or the run can't be resumed" in said[0]
    assert "--tag NEW" in said[0]
    assert said[1] == "limits.experiments: null -> 100000: takes effect now"
    assert wait_for(cli, root, lambda s: True)["config_changed"] == ["task.max_steps"]
    assert "`autorl-daemon reload`" not in cli("status", cwd=root).stdout

    configure(scripted, tmp_path, "limits: {experiments: 1}\n")
    os.kill(changed["pid"], signal.SIGHUP)
    ended = wait_for(cli, root, lambda s: not s["running"] and s["stop_reason"])
    assert ended["stop_reason"].startswith("limits.experiments reached")
    assert cli("reload", cwd=root).returncode == 3
