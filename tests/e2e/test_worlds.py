"""A run in a world of the user's own: what happens to it while the daemon runs."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from orchestrator.store.workspace import Workspace
from tests.candidates import OBSERVING, TRAIN, WORLD
from tests.conftest import Cli
from tests.e2e.test_as_a_person import wait_for
from tests.e2e.test_steering import configure, rows
from tests.fakes import reply, write_script

ENVIRONMENT = OBSERVING + "\n\ndef create_env(config, **_):\n    return None\n"


@pytest.fixture
def worldly(stubbed: Workspace, tmp_path: Path) -> Workspace:
    """A stubbed workspace with a world, whose agent first tries to bring a task of its own."""
    stubbed.task.mkdir()
    (stubbed.task / "world.py").write_text(WORLD)
    (stubbed.root / "candidate" / "env.py").write_text(OBSERVING)
    (stubbed.root / "candidate" / "train.py").write_text("SCORE = 0.0\n" + TRAIN)
    replies = [reply(env=ENVIRONMENT)]
    replies += [reply(f"SCORE = -{n}\nSLEEP_S = 0.2\n{TRAIN}") for n in range(1, 200)]
    write_script(tmp_path / "script", replies)
    configure(stubbed, tmp_path)
    return stubbed


def ended(count: int) -> Callable[[dict[str, Any]], bool]:
    return lambda status: status["experiments"].get("discard", 0) >= count


def paused(status: dict[str, Any]) -> bool:
    return status["phase"] == "paused" and bool(status["reason"])


@pytest.mark.long
def test_a_world_that_changes_pauses_the_run(worldly: Workspace, cli: Cli, tmp_path: Path) -> None:
    """Changed, gone, or broken for the evaluator: `status` says it, and nothing is lost."""
    root, world = worldly.root, worldly.task / "world.py"
    started = cli("start", "--tag", "t", cwd=root)
    assert "task: the world in task/world.py" in started.stdout
    assert "task      the world in task/world.py" in cli("status", cwd=root).stdout
    wait_for(cli, root, ended(1))
    (tried,) = [row for row in rows(cli, root) if row["status"] == "invalid"]
    assert "candidate/env.py defines create_env(), but the task is the world" in tried["reason"]

    for spoil, says in (
        (lambda: world.write_text(WORLD + "# another\n"), "task/world.py has changed since"),
        (world.unlink, "task/world.py is missing"),
    ):
        spoil()
        found = wait_for(cli, root, paused)
        assert says in found["reason"]
        assert "autorl-daemon resume" in found["reason"]
        assert says in " ".join(cli("status", cwd=root).stdout.split())
        before = rows(cli, root)
        world.write_text(WORLD)
        assert cli("resume", cwd=root).returncode == 0
        counted = sum(row["status"] == "discard" for row in before)
        wait_for(cli, root, ended(counted + 2))
        assert rows(cli, root)[: len(before)] == before
    assert cli("stop", "--now", cwd=root).returncode == 0
    assert {row["status"] for row in rows(cli, root)} <= {
        "baseline",
        "invalid",
        "discard",
        "aborted",
    }

    world.write_text(WORLD + "# another\n")
    again = cli("start", "--tag", "t", cwd=root)
    assert (again.returncode, len(again.stderr.splitlines())) == (2, 1)
    assert "the evaluator has changed since run t began (task/world.py: " in again.stderr
    world.write_text(WORLD)
    resumed = cli("start", "--tag", "t", "--foreground", "--max-experiments", "1", cwd=root)
    assert resumed.returncode == 0


def test_a_world_at_fault_pauses_and_counts_against_nobody(worldly: Workspace, cli: Cli) -> None:
    """The evaluator says that it is the world; the baseline is not taken for a failure."""
    fault = "task/world.py line 9: KeyError: 'map'"
    (worldly.task / "world.py").write_text(f"FAULT = {json.dumps(fault)}\n{WORLD}")
    cli("start", "--tag", "t", cwd=worldly.root)
    found = wait_for(cli, worldly.root, paused)
    assert found["reason"].startswith(fault)
    assert "no candidate's fault" in found["reason"]
    assert "begin a new run with --tag" in found["reason"]
    assert cli("stop", "--now", cwd=worldly.root).returncode == 0
    assert {row["status"] for row in rows(cli, worldly.root)} <= {"aborted"}


@pytest.mark.long
def test_a_world_that_appears_in_an_open_run_pauses_it(
    stubbed: Workspace, cli: Cli, tmp_path: Path
) -> None:
    """Taken away again, the run goes on as the open one that it is."""
    train = stubbed.candidate().train.removeprefix("SCORE = 0.0\n")
    replies = [reply(f"SCORE = -{n}\nSLEEP_S = 0.2\n{train}") for n in range(1, 200)]
    write_script(tmp_path / "script", replies)
    configure(stubbed, tmp_path)
    cli("start", "--tag", "t", cwd=stubbed.root)
    wait_for(cli, stubbed.root, ended(1))
    stubbed.task.mkdir()
    (stubbed.task / "world.py").write_text(WORLD)
    found = wait_for(cli, stubbed.root, paused)
    assert "task/world.py was not there when this run began" in found["reason"]
    counted = sum(row["status"] == "discard" for row in rows(cli, stubbed.root))
    (stubbed.task / "world.py").unlink()
    assert cli("resume", cwd=stubbed.root).returncode == 0
    wait_for(cli, stubbed.root, ended(counted + 1))
    assert cli("stop", "--now", cwd=stubbed.root).returncode == 0
