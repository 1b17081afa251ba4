"""What a start says of a world of the user's own that can't be used: a line, and nothing is done."""

import os
from pathlib import Path

import pytest

from orchestrator.core.errors import UserError
from orchestrator.daemon.candidate_check import check_candidate
from orchestrator.daemon.start_checks import (
    StartRequest,
    check_start,
    evaluator_settings,
    start_notes,
    why_not_resumed,
)
from orchestrator.store.runs import Run
from orchestrator.store.workspace import Workspace
from referee.check import check
from sandbox import Tier
from tests.candidates import OBSERVING, TRAIN, WORLD
from tests.conftest import DATA
from tests.daemon.test_candidate_check import FIELDS


@pytest.fixture
def workspace(starter: Workspace) -> Workspace:
    """A workspace with the tiny world, and a candidate for it."""
    starter.task.mkdir()
    (starter.task / "world.py").write_text(WORLD)
    (starter.root / "candidate" / "env.py").write_text(OBSERVING)
    (starter.root / "candidate" / "train.py").write_text(TRAIN)
    return starter


def start(workspace: Workspace, *settings: str) -> StartRequest:
    return check_start(workspace, "t", ["sandbox=off", *settings])


def refusal(workspace: Workspace) -> str:
    with pytest.raises(UserError) as caught:
        start(workspace)
    text = str(caught.value)
    assert len(text.splitlines()) == 1
    return text


def test_a_world_is_said_at_a_start(workspace: Workspace) -> None:
    """And its candidate can be trained in it."""
    request = start(workspace)
    assert request.world == {"world.py": WORLD}
    assert any("the world in task/world.py" in note for note in start_notes(request))
    assert check_candidate(request) is None


def test_what_can_not_be_read_is_not_taken_for_none(workspace: Workspace) -> None:
    """A link, also to nowhere, a folder, a pipe, what is no text, and what is too large."""
    file = workspace.task / "world.py"
    file.unlink()
    for make, says in (
        (lambda: file.symlink_to("nowhere.py"), "reached by a link"),
        (lambda: file.symlink_to(workspace.root / "framework.py"), "reached by a link"),
        (lambda: os.mkfifo(file), "not a regular file"),
        (lambda: file.write_bytes(b"\xff"), r"not UTF-8 (byte 0)"),
        (lambda: file.write_text("#" * 262_145), "larger than 256 KiB"),
    ):
        make()
        assert says in refusal(workspace)
        file.unlink()
    file.mkdir()
    assert "not a regular file" in refusal(workspace)
    file.rmdir()
    assert start(workspace).world is None


def test_a_folder_that_is_a_link_is_refused(workspace: Workspace) -> None:
    """Somebody else could change what lies behind it."""
    workspace.task.rename(workspace.root / "elsewhere")
    workspace.task.symlink_to("elsewhere")
    assert "task/world.py is reached by a link: put the file itself there" in refusal(workspace)


def test_modules_beside_it_count(workspace: Workspace) -> None:
    """All of them together are bounded, as the evaluator bounds them."""
    for number in range(4):
        (workspace.task / f"map_{number}.py").write_text("#" * 250_000)
    found = refusal(workspace)
    assert "at most 1,000,000 are allowed: make them smaller" in found


def test_an_evaluator_that_knows_no_worlds_is_named(workspace: Workspace) -> None:
    """It would play the candidate without the world."""
    (workspace.root / "framework.py").write_bytes((DATA / "framework-0.1.py").read_bytes())
    found = refusal(workspace)
    assert "there is a task/world.py" in found
    assert "`autorl-daemon init` writes" in found


def test_a_run_with_a_world_is_not_resumed_with_another(workspace: Workspace) -> None:
    """Nor without it: the line names it."""
    settings = evaluator_settings(start(workspace))
    run = Run("t", "0" * 40, settings, "2026-01-01T00:00:00Z")
    assert why_not_resumed(run, start(workspace)) is None
    (workspace.task / "world.py").write_text(WORLD + "# a change\n")
    assert "task/world.py: " in str(why_not_resumed(run, start(workspace)))
    (workspace.task / "world.py").unlink()
    assert "task/world.py: " in str(why_not_resumed(run, start(workspace)))


def test_the_check_blames_the_world(workspace: Workspace) -> None:
    """And tells nothing of the candidate, which could not be played."""
    (workspace.task / "world.py").write_text(WORLD.replace("def create_world", "def make"))
    (workspace.root / "candidate" / "env.py").write_text("1 / 0")
    with pytest.raises(UserError) as caught:
        check_candidate(start(workspace))
    assert str(caught.value).splitlines() == [
        "the world in task/ can't be played, a mistake:",
        "  task/world.py lacks create_world()",
    ]


@pytest.mark.parametrize(
    ("old", "new", "max_steps", "says"),
    [
        ("PAY = 0.5", "PAY = (", None,
         "task/world.py: its import raised SyntaxError: '(' was never closed"),
        ("import torch\n", "import torch\nimport candidate.env\n", None,
         "task/world.py imports the candidate"),
        ("PAY = 0.5", "PAY = 0.5", 9,
         "task/world.py has a horizon of 5 steps, and task.max_steps says 9: leave task.max_steps"),
        ("self.steps += 1", "import os; os._exit(3)", None,
         "task/world.py: its play: the worker process died (exit code 3)"),
        ("self.steps += 1", "while True: pass", None,
         "task/world.py: its play was not over after 3 s: it hangs"),
        ("reward = PAY *", "reward = float('nan') *", None, "finite"),
        ("self.max_steps = END", "self.max_steps = END + int(config.seed)", None, "max_steps"),
    ],
)  # fmt: skip
def test_each_fault_of_a_world_is_named(
    old: str, new: str, max_steps: int | None, says: str
) -> None:
    """Whatever the candidate is like: it is not even imported."""
    assert old in WORLD
    fields = {**FIELDS, "world": {"world.py": WORLD.replace(old, new)}, "max_steps": max_steps}
    found = check({"env.py": "1 / 0", "train.py": TRAIN}, fields, Tier.OFF, 3.0)
    assert any(says in line for line in found), found
    assert all(line.startswith("task/world.py") for line in found)


@pytest.mark.parametrize(
    ("env", "world", "says"),
    [
        (OBSERVING, None, "there is no task/world.py here: put it back, or define create_env()"),
        (OBSERVING + "\n\ndef create_env(): ...\n", WORLD, "defines create_env(), but this task"),
        (OBSERVING.replace("def observe", "def see"), WORLD, "neither observe(view) nor"),
        (OBSERVING.replace('["noise"]', '["map"]'), WORLD, "KeyError: 'map'"),
    ],
)
def test_a_candidate_of_the_wrong_kind_is_told_so(env: str, world: str | None, says: str) -> None:
    """In the words of the mode that the workspace is in."""
    fields = FIELDS if world is None else {**FIELDS, "world": {"world.py": world}}
    found = check({"env.py": env, "train.py": TRAIN}, fields, Tier.OFF, 60.0)
    assert any(says in line for line in found), found


def test_a_path_that_is_no_folder_is_no_world(starter: Workspace) -> None:
    """A file of the user's that happens to be called `task`."""
    Path(starter.task).write_text("buy milk")
    assert start(starter).world is None
