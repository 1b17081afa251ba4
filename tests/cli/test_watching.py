"""`play` and `policy`: episodes as recorded, from what is kept or from a training made again."""

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path
from typing import Any

import pytest
import torch
from PIL import Image

from framework import EvaluationRequest, EvaluationResult, Referee
from orchestrator.config.reloading import RunningConfig
from orchestrator.config.schema import Config
from orchestrator.core.evaluations import Report
from orchestrator.core.experiments import Experiment
from orchestrator.core.records import Rung, Status
from orchestrator.store.ledger import Ledger
from orchestrator.store.runs import Run
from orchestrator.store.watched import KEPT, Watched
from orchestrator.store.workspace import Workspace
from tests.candidates import write_candidate
from tests.cli.conftest import Call
from tests.conftest import REPOSITORY

pytestmark = pytest.mark.system
SETTINGS = {"num_envs": 4, "reward_bound": 1.0}
RUNG = Rung(3, 4)


@pytest.fixture(scope="module")
def referee() -> Iterator[Referee]:
    with Referee() as referee:
        yield referee


def record(workspace: Workspace, result: EvaluationResult, **changes: Any) -> None:
    """Record the working tree's candidate as experiment 1 of a run."""
    files = workspace.candidate()
    facts = json.loads(json.dumps(asdict(result)))
    for seed in facts["seed_results"]:
        del seed["replay"]
    scores = {seed["seed"]: seed["eval_return"] for seed in facts["seed_results"]}
    with Ledger(workspace.ledger) as ledger:
        ledger.create_run(Run("t", "p" * 40, {}, "2026-11-22T00:00:00Z"))
        config = Config.model_validate({"evaluator": SETTINGS})
        ledger.set_config("t", RunningConfig(config).as_json())
        n = ledger.begin(
            "t", is_baseline=True, rung=RUNG, agent="a", parent="p" * 40, when="now"
        )  # fmt: skip
        fields = {
            "n": n, "tag": "t", "is_baseline": True, "status": Status.BASELINE, "rung": RUNG,
            "agent": "a", "parent": "p" * 40, "commit": "1" * 40, "score": result.score,
            "scores_by_seed": scores, "max_steps": result.max_steps, "report": Report(facts),
            "created_at": "2026-11-22T00:00:00Z",
        }  # fmt: skip
        ledger.finish(Experiment(**fields | changes), files, None, ())


@pytest.fixture
def scored(starter: Workspace, referee: Referee) -> Workspace:
    """A workspace in which a tiny candidate was scored by the real evaluator."""
    write_candidate(starter.root / "candidate")
    starter.make_folders()
    with Ledger(starter.ledger) as ledger:
        key = ledger.key()
    request = EvaluationRequest(
        candidate_dir=starter.root / "candidate", train_episodes=3, eval_episodes=4,
        seeds=(101, 138), key=key, **SETTINGS,
    )  # fmt: skip
    record(starter, referee.evaluate(request))
    return starter


def recorded(workspace: Workspace, seed: int) -> list[float]:
    with Ledger(workspace.ledger) as ledger:
        experiment = ledger.experiment(1)
    assert experiment is not None
    (one,) = [s for s in experiment.report.facts["seed_results"] if s["seed"] == seed]
    returns: list[float] = one["episode_returns"]
    return returns


def play(workspace: Workspace, *words: str) -> "subprocess.CompletedProcess[str]":
    """Call `play 1` in a process: what draws is one of its own, and writes past pytest."""
    return subprocess.run(
        [sys.executable, "-m", "orchestrator", "play", "1", *words],
        cwd=workspace.root, capture_output=True, text=True,
        env=os.environ | {"PYTHONPATH": str(REPOSITORY)},
    )  # fmt: skip


def test_play_trains_again_and_returns_what_is_recorded(scored: Workspace) -> None:
    """It says that it trains; the next episode of the seed is there at once; a GIF has all steps."""
    returns = recorded(scored, 138)
    first = play(scored, "--seed", "138", "--episode", "2")
    assert first.returncode == 0, first.stderr
    assert first.stderr.startswith("training #1 again on seed 138 (3 episodes, ")
    assert first.stdout.splitlines()[-1].startswith(
        f"#1, seed 138, episode 2 of 4: return {returns[1]:.6f} (recorded: {returns[1]:.6f}), 5 steps"
    )
    assert "\x1b" not in first.stdout
    gif = scored.root / "x.gif"
    second = play(scored, "--seed", "138", "--episode", "worst", "--gif", str(gif))
    assert (second.returncode, second.stderr) == (0, "")
    assert f"recorded: {min(returns):.6f}" in second.stdout
    with Image.open(gif) as image:
        assert image.n_frames == 5


def test_a_return_that_is_another_one_is_told_and_not_kept(scored: Workspace, call: Call) -> None:
    """Whatever the reason: what is shown is what was judged, or nothing."""
    with Ledger(scored.ledger) as ledger:
        ledger._db.execute('UPDATE experiments SET scores_by_seed = \'{"101": 0.125, "138": 0.0}\'')
        ledger._db.commit()
    done = call("play", "1", cwd=scored.root)
    assert done.code == 1
    assert "0.125000 is recorded: this is not what was judged" in done.stderr
    assert not (scored.logs / "experiments" / "1").exists()


def test_policy_writes_what_torch_loads_and_sim_plays(scored: Workspace, call: Call) -> None:
    """Plain tensors and texts alone; in two fresh processes it plays alike, with its own code."""
    file = scored.root / "p.pt"
    done = call("policy", "1", str(file), cwd=scored.root)
    assert done.code == 0, done.stderr
    stored = torch.load(file, weights_only=True)
    assert stored["files"]["candidate/train.py"] == scored.candidate().train
    assert stored["training"]["experiment"] == 1
    words = [sys.executable, "-m", "simverse.cli", "rollout", "--policy", str(file)]
    own, named = (
        subprocess.run([*words, *more], cwd=REPOSITORY, capture_output=True, text=True)
        for more in (["--its-code"], ["--candidate", str(scored.root / "candidate")])
    )
    assert (own.returncode, named.returncode) == (0, 0), own.stderr + named.stderr
    assert named.stderr == ""
    assert own.stdout.partition("return")[2] == named.stdout.partition("return")[2]


def test_what_is_kept_needs_no_training(scored: Workspace, call: Call) -> None:
    """The replay and the weights of an accepted experiment."""
    done = call("policy", "1", str(scored.root / "a.pt"), cwd=scored.root)
    assert done.code == 0
    folder = scored.logs / "experiments" / "1"
    assert {path.suffix for path in folder.iterdir()} == {".json", ".safetensors"}
    again = call("policy", "1", str(scored.root / "b.pt"), cwd=scored.root)
    assert (again.code, again.stderr) == (0, "")
    (hostile,) = folder.glob("*.safetensors")
    hostile.write_bytes(b"\xff" * 100)
    words = [sys.executable, "-m", "orchestrator", "policy", "1", "c.pt"]
    refused = subprocess.run(
        words, cwd=scored.root, capture_output=True, text=True,
        env=os.environ | {"PYTHONPATH": str(REPOSITORY)},
    )  # fmt: skip
    assert refused.returncode == 1
    assert "no file of weights" in refused.stderr
    assert len(refused.stderr.splitlines()) == 1
    assert not (scored.root / "c.pt").exists()


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (["play", "9"], "no finished experiment 9"),
        (["play", "1", "--episode", "5"], "episodes 1 to 4"),
        (["play", "1", "--episode", "last"], "best, worst, median or a number from 1"),
        (["play", "1", "--gif", "."], "is a folder"),
        (["policy", "1", "no/where.pt"], "there is no folder"),
    ],
)
def test_what_is_not_there_is_named(
    words: list[str], says: str, scored: Workspace, call: Call
) -> None:
    """By one line, before anything is trained."""
    call(*words, cwd=scored.root).refuses(says)


def test_weights_that_an_evaluation_left_are_adopted_or_dropped(tmp_path: Path) -> None:
    """Beside the replay, where the experiment was accepted; nothing is left behind in any case."""
    for n, seed, expected in ((1, 138, b"of 138"), (2, None, None), (3, 7, None)):
        kept = tmp_path / KEPT / str(n)
        kept.mkdir(parents=True)
        (kept / "138.safetensors").write_bytes(b"of 138")
        watched = Watched(tmp_path, n)
        watched.adopt(seed)
        assert not kept.exists()
        assert watched.weights(138) == expected


def test_replays_that_are_none_are_not_there(tmp_path: Path) -> None:
    """A folder of logs is anybody's: other JSON, links and rubbish are no replays."""
    folder = tmp_path / "logs" / "experiments" / "1"
    folder.mkdir(parents=True)
    good = {"return": 1.0, "success": True, "description": "", "steps": []}
    (folder / "replay.json").write_text(json.dumps(good))
    (folder / "replay-138.json").symlink_to(folder / "replay.json")
    (folder / "replay-7.json").write_text("[" * 100_000)
    (folder / "replays-8.json").write_text(json.dumps([good, 7, {}]))
    watched = Watched(tmp_path, 1)
    assert watched.replays(101, 101) == [good]
    assert watched.replays(8, 101) == [good]
    assert [watched.replays(seed, 101) for seed in (138, 7, 9)] == [[], [], []]
