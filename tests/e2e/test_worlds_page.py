"""`docs/worlds.md`: every block of code and every command on the page, as a reader would use them."""

import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest

from orchestrator.cli.main import main
from referee.records import EvaluationRequest
from referee.referee import Referee
from referee.world_files import read_world
from tests.conftest import REPOSITORY

PAGE = (REPOSITORY / "docs" / "worlds.md").read_text(encoding="utf-8")
GYMNASIUM, SCRATCH, MOVED = re.split("## From scratch|## From a workspace", PAGE)


def blocks(text: str) -> dict[str, str]:
    """Return the blocks of code by the file that each one names."""
    return dict(re.findall(r"```python (\S+)\n(.*?)```", text, re.DOTALL))


def commands(text: str) -> list[list[str]]:
    """Return the commands of the page, but for those that change the folder or start a daemon."""
    lines = "\n".join(re.findall(r"```console\n(.*?)```", text, re.DOTALL)).splitlines()
    split = map(shlex.split, lines)
    return [words for words in split if words[0] != "cd" and words[-1] != "start"]


def run(words: list[str], folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Run a command in a folder: ours in this process, `sim` in one of its own."""
    monkeypatch.chdir(folder)
    if words[0] == "autorl-daemon":
        assert main(words[1:]) == 0, words
        return
    command = [sys.executable, "-m", "simverse.cli", *words[1:]]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=120)
    assert done.returncode == 0, (words, done.stdout, done.stderr)


def score(folder: Path) -> float:
    """Return the score of a workspace's candidate at the first budget."""
    request = EvaluationRequest(
        candidate_dir=folder / "candidate", seeds=(101,), world=read_world(folder / "task")
    )
    with Referee() as referee:
        return referee.evaluate(request).score


@pytest.mark.system
def test_a_gymnasium_environment_is_a_world_in_a_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The commands of the first part, with the world as the page shows it."""
    first, *rest = commands(GYMNASIUM)
    assert first[:2] == ["autorl-daemon", "init"]
    run(first, tmp_path, monkeypatch)
    folder = tmp_path / first[2]
    for name, text in blocks(GYMNASIUM).items():
        (folder / name).write_text(text)
    for words in rest:
        run(words, folder, monkeypatch)


@pytest.mark.system
def test_a_world_from_scratch_is_checked_trained_and_scored(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The three files of the second part, and its commands."""
    folder = tmp_path / "walk"
    assert main(["init", str(folder), "--world"]) == 0
    files = blocks(SCRATCH)
    assert files.keys() == {"task/world.py", "candidate/env.py", "candidate/train.py"}
    for name, text in files.items():
        (folder / name).write_text(text)
    for words in commands(SCRATCH):
        run(words, folder, monkeypatch)
    assert score(folder) > 0.5  # at random it earns about 0


@pytest.mark.system
def test_an_open_workspace_moves_into_a_world(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The third part: the task that was open is played as a world."""
    folder = tmp_path / "keydoor"
    assert main(["init", str(folder), "--example", "keydoor"]) == 0
    for words in commands(MOVED):
        subprocess.run(words, cwd=folder, check=True)
    for name, text in blocks(MOVED).items():
        (folder / name).write_text(text)
    train = folder / "candidate" / "train.py"
    lines = train.read_text().splitlines(keepends=True)
    train.write_text("".join(line for line in lines if 'max_steps":' not in line))
    run(["sim", "check", "."], folder, monkeypatch)
    assert -1 < score(folder) < 1
