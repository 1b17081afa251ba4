"""`sim train` with wrappers, the best policy, and a training that is continued."""

import json
import os
import re
import subprocess
import sys
import time

import pytest
import torch

from simverse.checkpoint import load, save
from simverse.replay import check_replay
from tests.conftest import REPOSITORY

SIZES = ("--num-envs", 8, "--max-steps", 10)


def test_wrappers_are_options_and_travel_with_the_policy(sim, tmp_path):
    """What was trained with them is played with them, by what they had learnt."""
    file, replay = tmp_path / "snake.pt", tmp_path / "snake.json"
    code, out, err = sim(
        "train", "snake", "--episodes", 2, *SIZES, "--checkpoint", file,
        "--normalize-observations", "--normalize-rewards", "--frame-stack", 3,
    )  # fmt: skip
    assert (code, err) == (0, "")
    stored = load(file)
    assert stored.wrappers == ("normalize_observations=10", "frame_stack=3")
    assert stored.observation_shape == (9, 6, 6)
    assert stored.statistics["0.count"] > 160
    code, out, err = sim("rollout", "--checkpoint", file, "--episodes", 9, "--replay", replay)
    assert (code, err) == (0, "")
    assert "over 9 fresh episodes" in out
    check_replay(json.loads(replay.read_text()))


def test_the_best_policy_is_kept_and_played_anew(sim, tmp_path):
    """In episodes that chose nothing; the file is played like any other."""
    best = tmp_path / "new" / "best.pt"
    code, out, err = sim(
        "train", "grid_goal", "--episodes", 5, *SIZES, "--save-best", best,
        "--evaluate-every", 2,
    )  # fmt: skip
    assert (code, err) == (0, "")
    stored = load(best)
    after = stored.training["episodes"]
    assert after in {2, 4, 5}
    lines = out.splitlines()
    assert lines[-1] == f"the best, after {after} episodes, is in {best}"
    assert lines[-2].startswith("best:      return ")
    code, again, _ = sim("rollout", "--checkpoint", best, "--seed", 1_000_003, "--episodes", 64)
    # The same episodes as the report's.
    assert (code, again.split(": ", 1)[1].strip()) == (0, lines[-2].removeprefix("best:      "))


def test_a_training_is_continued(sim, tmp_path):
    """With the same weights as one that was not interrupted; a candidate's too."""
    example = REPOSITORY / "examples" / "keydoor"
    for words in (["grid_goal", "--normalize-observations"], ["--candidate", example]):
        files = {name: tmp_path / f"{words[0]}-{name}.pt" for name in ("whole", "parts", "state")}
        sim("train", *words, *SIZES, "--episodes", 4, "--checkpoint", files["whole"])
        code, _, err = sim("train", *words, *SIZES, "--episodes", 2, "--resume", files["state"])
        assert (code, err) == (0, f"sim: note: no {files['state']} yet: a new training\n")
        more = ("--episodes", 4, "--resume", files["state"], "--checkpoint", files["parts"])
        code, out, err = sim("train", *words, *SIZES, *more)
        assert (code, err) == (0, "")
        assert ": episodes 3 to 4, 160 steps in " in out
        whole, parts = load(files["whole"]), load(files["parts"])
        for kind in ("weights", "statistics"):
            ours, theirs = getattr(whole, kind), getattr(parts, kind)
            assert all(torch.equal(ours[name], theirs[name]) for name in ours)
        code, out, _ = sim("train", *words, *SIZES, *more)
        assert (code, ": all 4 episodes were behind already" in out) == (0, True)


def test_a_training_that_was_killed_is_continued(sim, tmp_path):
    """At any moment, writing included: what is in the file is whole, and the end is the same."""
    common = ["train", "grid_goal", *map(str, SIZES), "--episodes", "150", "--normalize-rewards"]
    state, whole, parts = (tmp_path / f"{name}.pt" for name in ("state", "whole", "parts"))
    command = "import sys, simverse.cli as c; sys.exit(c.main(sys.argv[1:]))"
    for _ in range(2):
        process = subprocess.Popen(
            [sys.executable, "-c", command, *common, "--resume", str(state)],
            env=os.environ | {"PYTHONPATH": str(REPOSITORY)},
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        written = state.stat().st_mtime_ns if state.exists() else 0
        deadline = time.monotonic() + 60
        while not state.exists() or state.stat().st_mtime_ns == written:
            assert time.monotonic() < deadline
            assert process.poll() is None
            time.sleep(0.005)
        process.kill()
        process.wait()
        assert 0 < load(state).training["episodes"] < 150
    assert sim(*common, "--checkpoint", whole)[0] == 0
    assert sim(*common, "--checkpoint", parts, "--resume", state)[0] == 0
    ours, theirs = load(whole).weights, load(parts).weights
    assert all(torch.equal(ours[name], theirs[name]) for name in ours)


@pytest.mark.parametrize(
    ("words", "code", "says"),
    [
        (["--frame-stack", 0], 2, "must be at least 1, got 0"),
        (["--frame-stack", 257], 2, "must be at most 256, got 257"),
        (["--evaluate-every", 2], 2, "--evaluate-every is for --save-best FILE"),
        (["--resume", REPOSITORY / "README.md"], 1, "README.md is no checkpoint"),
        (["--save-best", REPOSITORY], 2, "is a folder"),
    ],
)
def test_what_makes_no_sense_is_told_in_one_line(sim, words, code, says):
    """Before anything is trained."""
    found, _, err = sim("train", "grid_goal", "--episodes", 1, *words)
    assert found == code
    assert says in err.splitlines()[-1]
    assert "Traceback" not in err


def test_a_file_with_odd_wrappers_is_refused(sim, tmp_path):
    """It may come from anywhere: no wrapper that is unknown, and no stack of a million."""
    file = tmp_path / "goal.pt"
    sim("train", "grid_goal", "--episodes", 1, *SIZES, "--checkpoint", file)
    good = load(file)
    for wrappers, says in (
        ("frame_stack=1000000", "1 to 256 frames"),
        ("frame_stac=2", "did you mean frame_stack?"),
        ("frame_stack=nan", "1 to 256 frames"),
        ("normalize_observations=x", "no number after its ="),
        ("normalize_observations=-1", "clip must be above 0"),
        ("normalize_observations=5", "statistics"),
        ("frame_stack=9 frame_stack=9", "comes twice"),
    ):
        fields = {name: getattr(good, name) for name in good.__dataclass_fields__}
        save(file, type(good)(**fields | {"wrappers": tuple(wrappers.split())}))
        code, _, err = sim("rollout", "--checkpoint", file)
        assert code in {1, 2}
        assert says in err
        assert len(err.splitlines()) == 1


def test_the_page_s_example_runs(tmp_path, monkeypatch):
    """`docs/training.md`: the training in Python, as a reader would copy it."""
    page = (REPOSITORY / "docs" / "training.md").read_text()
    code = re.search(r"```python\n(from pathlib.*?)```", page, re.DOTALL)[1]
    monkeypatch.chdir(tmp_path)
    found = {}
    exec(code.replace("episodes=25", "episodes=5"), found)
    assert sorted(entry.name for entry in tmp_path.iterdir()) == ["best.pt", "training.pt"]
    assert [found.trained_episodes for found in found["evaluate"].history] == [5]
