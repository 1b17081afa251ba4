"""Candidates found in a repository's history, and evaluated."""

import subprocess
from pathlib import Path

import pytest

from benchmarks.public_candidates import main, pairs
from tests import candidates


def commit(folder: Path, title: str, **texts: str) -> None:
    """Write files of `candidate/` and commit them."""
    for name, text in texts.items():
        path = folder / "candidate" / f"{name}.py"
        path.parent.mkdir(exist_ok=True)
        path.write_text(text)
    git = ["git", "-C", str(folder), "-c", "user.name=t", "-c", "user.email=t@localhost"]
    subprocess.run([*git, "add", "--all"], check=True)
    subprocess.run([*git, "commit", "--quiet", "--allow-empty", "--message", title], check=True)


@pytest.fixture
def history(tmp_path: Path) -> Path:
    """Return a repository: no candidate, half of one, a good one, the same again, a broken one."""
    subprocess.run(["git", "init", "--quiet", str(tmp_path)], check=True)
    commit(tmp_path, "nothing")
    commit(tmp_path, "half", env=candidates.ENV)
    commit(tmp_path, "good", train=candidates.TRAIN)
    commit(tmp_path, "other things")
    commit(tmp_path, "broken", env="raise RuntimeError('no')\n")
    commit(tmp_path, "back", env=candidates.ENV)
    return tmp_path


def test_distinct_pairs_are_found(history: Path) -> None:
    """Each pair once, by its first commit; a commit without both files has none."""
    assert [pair.title for pair in pairs(history)] == ["good", "broken"]


def test_each_is_evaluated(history: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """What runs and what does not is printed by commit; one that does not fails the command."""
    assert main([str(history)]) == 1
    good, broken, total = capsys.readouterr().out.splitlines()
    assert "ran" in good
    assert good.endswith("good")
    assert "DID NOT RUN" in broken
    assert total == "1 of 2 ran"


def test_a_repository_without_candidates(tmp_path: Path) -> None:
    """None found is a failure, not a success of nothing."""
    subprocess.run(["git", "init", "--quiet", str(tmp_path)], check=True)
    commit(tmp_path, "nothing")
    assert main([str(tmp_path)]) == 1
