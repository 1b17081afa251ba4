"""The learning curves: what is trained, measured, and said of it."""

import json
import subprocess
import sys
from dataclasses import replace

import numpy as np
import pytest

from benchmarks.curves import cleanrl, ours
from benchmarks.curves.course import Course, greedy_returns
from benchmarks.curves.picture import figure
from benchmarks.curves.tables import Summary, is_worse, table
from benchmarks.curves.tasks import POINTS, TASKS
from simverse.envs import make
from tests.conftest import REPOSITORY

INSTALLED = [task for task in TASKS.values() if task.needs is None]


def made_up(finals, contender, task="CartPole-v1"):
    """Return the saved trainings of a contender with these final returns."""
    return [
        {"task": task, "contender": contender, "seed": seed, "steps": 2_000, "final": final,
         "curve": [[1_000, final / 2], [2_000, final]], "cpu_s": 3.0 + seed, "wall_s": 4.0}
        for seed, final in enumerate(finals, start=1)
    ]  # fmt: skip


def test_ours_is_worse_only_by_more_than_their_spread():
    """The mean may be below SB3's by one standard deviation of its seeds."""
    theirs = Summary((80.0, 100.0, 120.0), (1.0,))
    assert theirs.spread == pytest.approx(20.0)
    assert is_worse(Summary((79.9,), (1.0,)), theirs)
    assert not is_worse(Summary((80.1,), (1.0,)), theirs)


def test_the_table_has_returns_seconds_and_a_verdict():
    """A row for each task; contenders that were not run have no column, or an empty cell."""
    runs = made_up([400.0, 500.0], "ours") + made_up([490.0, 500.0], "sb3")
    runs += made_up([-200.0, -200.0], "ours", task="Pendulum-v1")
    lines = table(runs).splitlines()
    assert lines[0] == (
        "| task | steps | seeds | simverse | Stable-Baselines3 "
        "| seconds: simverse / Stable-Baselines3 |  |"
    )
    assert lines[2] == (
        "| CartPole-v1 | 2,000 | 2 | 450 ± 71 | 495 ± 7.1 | 4 / 4 "
        "| WORSE than SB3 by more than its spread |"
    )
    assert lines[3] == "| Pendulum-v1 | 2,000 | 2 | -200 ± 0 |  | 4 /  |  |"


def test_the_picture_has_titles_units_and_a_legend():
    """A panel for each task, a line for each contender, in a band of all seeds."""
    runs = made_up([400.0, 500.0], "ours") + made_up([490.0, 500.0], "sb3")
    runs += made_up([-200.0, -100.0], "ours", task="Pendulum-v1")
    shown = figure(runs)
    panels = [axes for axes in shown.axes if axes.get_title()]
    assert [axes.get_title() for axes in panels] == ["CartPole-v1", "Pendulum-v1"]
    assert {(axes.get_xlabel(), axes.get_ylabel()) for axes in panels} == {
        ("environment steps", "greedy return")
    }
    assert [text.get_text() for text in shown.legends[0].get_texts()] == [
        "simverse", "Stable-Baselines3",
    ]  # fmt: skip
    assert panels[0].lines[0].get_ydata() == pytest.approx([225.0, 450.0])
    assert "2 seeds" in shown.get_suptitle()


@pytest.mark.parametrize("task", INSTALLED, ids=lambda task: task.name)
def test_all_contenders_see_the_same_environment(task):
    """The adapter of simverse shows what the plain environment shows, and starts as it does."""
    plain, adapted = task.make(), make(task.gym_name, num_envs=1, seed=5)
    obs, _ = plain.reset(seed=5)
    assert adapted.reset()["obs"].flatten().numpy() == pytest.approx(np.float32(obs))


def test_points_are_an_equal_number_of_updates_apart():
    """And there are always ten of them, with a fraction of the steps too."""
    task = TASKS["Acrobot-v1"]
    for fraction in (1.0, 0.3, 1e-6):
        course = Course(task, 1, fraction)
        assert course.steps == POINTS * course.steps_a_point
        assert course.steps_a_point == course.updates_a_point * 16 * 256
    assert Course(task, 1, 1.0).steps == pytest.approx(task.steps, rel=0.15)


def test_returns_are_of_first_episodes():
    """CartPole pushed one way always falls within eleven steps, and counts once."""
    returns = greedy_returns(
        TASKS["CartPole-v1"], lambda obs: np.zeros(len(obs), dtype=int), 6, seed=0, flat=True
    )
    assert returns.shape == (6,)
    assert ((returns >= 7) & (returns <= 11)).all()


@pytest.mark.parametrize("name", ["CartPole-v1", "Pendulum-v1", "MountainCar-v0"])
@pytest.mark.parametrize("contender", [ours, cleanrl], ids=["ours", "cleanrl"])
def test_a_short_training_has_a_curve(contender, name):
    """Discrete, continuous, normalised: ten points, a final return and seconds, as JSON."""
    task = replace(TASKS[name], num_steps=16)
    course = Course(task, 1, 1e-6, flat=contender is not ours, episodes=(2, 3))
    found = contender.run(course)
    steps = course.steps // POINTS
    assert [point[0] for point in found["curve"]] == [steps * n for n in range(1, POINTS + 1)]
    assert found["final"] == pytest.approx(found["curve"][-1][1], abs=1_000)
    assert 0 < found["cpu_s"] < 60
    json.dumps(found)


def test_trainings_are_kept_and_added_to(tmp_path):
    """`--add` trains only what the file lacks; a contender that isn't installed is left out."""
    file, picture = tmp_path / "curves.json", tmp_path / "curves.png"
    options = [
        "--tasks", "CartPole-v1", "--contenders", "ours", "sb3", "--fraction", "1e-6",
        "--save", str(file), "--plot", str(picture),
    ]  # fmt: skip

    def run(*more):
        command = [
            sys.executable,
            "-m",
            "benchmarks.curves",
            *options,
            "--sb3-python",
            "false",
            *more,
        ]
        done = subprocess.run(command, cwd=REPOSITORY, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr
        return done.stdout

    assert "CartPole-v1, sb3: left out: pip install" in run("--seeds", "1")
    first = json.loads(file.read_text())["runs"]
    assert [(run["contender"], run["seed"]) for run in first] == [("ours", 1)]
    assert "| CartPole-v1 | 2,560 | 2 |" in run("--seeds", "2", "--add")
    assert json.loads(file.read_text())["runs"][:1] == first
    assert picture.read_bytes().startswith(b"\x89PNG")
