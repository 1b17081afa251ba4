"""The evaluator's command line, as scripts call it."""

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.candidates import OBSERVING, WORLD, write_candidate
from tests.conftest import REPOSITORY

FLAGS = ["--train-episodes", "2", "--eval-episodes", "4", "--num-envs", "4", "--seed-count", "1"]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A folder with evaluator, command line and a tiny candidate, in no repository."""
    for name in ("framework.py", "train.py"):
        shutil.copyfile(REPOSITORY / name, tmp_path / name)
    write_candidate(tmp_path / "candidate")
    return tmp_path


def train(folder: Path, *flags: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "train.py", *FLAGS, *flags],
        cwd=folder,
        capture_output=True,
        text=True,
        timeout=120,
    )


def test_metrics_are_printed_and_a_row_appended(folder: Path) -> None:
    """After `---` comes one `name: value` line a metric; the row has nine columns."""
    done = train(folder, "--status", "keep", "--description", "first\ttry")
    assert done.returncode == 0, done.stderr
    head, *lines = done.stdout.splitlines()
    assert head == "---"
    metrics = dict(line.split(": ", 1) for line in lines if ": " in line)
    for name in (
        "score", "mean_eval_return", "mean_solve_rate", "mean_train_return", "learning_gain",
        "headroom_bonus", "stability", "complexity_penalty", "mean_episode_length", "max_steps",
        "env_steps", "wall_s", "steps_per_s", "peak_memory_mb", "threads", "precision",
    ):  # fmt: skip
        assert name in metrics
    assert len(metrics["score"].split(".")[1]) == 6
    header, row = (folder / "results.tsv").read_text().splitlines()
    assert header == (
        "commit\ttrain_episodes\teval_episodes\tmax_steps\tscore\tsolve_rate\teval_return\tstatus"
        "\tdescription"
    )
    assert row.split("\t") == [
        "nogit", "2", "4", "20", metrics["score"], metrics["mean_solve_rate"],
        metrics["mean_eval_return"], "keep", "first try",
    ]  # fmt: skip


def test_a_crash_writes_a_crash_row_and_exits_1(folder: Path) -> None:
    """The traceback goes to stderr, the row has zeros, what stood in the file stays."""
    (folder / "results.tsv").write_text("theirs\n")
    write_candidate(folder / "candidate", env=("self.steps += 1", "raise RuntimeError('boom')"))
    done = train(folder)
    assert done.returncode == 1
    assert "RuntimeError: boom" in done.stderr
    assert "Traceback" in done.stderr
    kept, row = (folder / "results.tsv").read_text().splitlines()
    assert kept == "theirs"
    assert row.split("\t")[4:8] == ["0.000000", "0.000000", "0.000000", "crash"]


def test_a_world_of_the_users_own_is_played(folder: Path) -> None:
    """Its view is among the metrics. A fault of it is one line, and a row of a crash."""
    (folder / "candidate" / "env.py").write_text(OBSERVING)
    world = folder / "task" / "world.py"
    world.parent.mkdir()
    world.write_text(WORLD)
    done = train(folder)
    assert done.returncode == 0, done.stderr
    assert "view: noise float32 [2]" in done.stdout.splitlines()
    assert "max_steps: 5" in done.stdout.splitlines()
    kept = (folder / "results.tsv").read_text()
    for text in (WORLD.replace("self.steps += 1", "self.steps += 1 / 0"), "class", "# nothing"):
        world.write_text(text)
        failed = train(folder)
        assert (failed.returncode, len(failed.stderr.splitlines())) == (1, 1)
        assert failed.stderr.startswith("task/world.py")
    rows = (folder / "results.tsv").read_text().removeprefix(kept).splitlines()
    assert [row.split("\t")[7] for row in rows] == ["crash"] * 3


def test_a_budget_beyond_the_caps_exits_1(folder: Path) -> None:
    """A ValueError is a crash row too, and says which number is wrong."""
    done = train(folder, "--train-episodes", "1001")
    assert done.returncode == 1
    assert "train_episodes must be 2 to 1000" in done.stderr
