"""An evaluation that is filmed, and whose weights are kept, scores to the bit what others do."""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from framework import Referee
from referee.seeds import PUBLIC_KEY, derive_seed
from referee.world_files import read_world
from simverse.replay import check_replay
from simverse.weights import loads
from tests.candidates import write_candidate
from tests.conftest import REPOSITORY

from .conftest import evaluate, request_for, strip

EXAMPLES = sorted(
    str(path.parent.relative_to(REPOSITORY))
    for path in (REPOSITORY / "examples").glob("**/candidate")
    if "blank" not in str(path)
)
FEW = ("examples/keydoor", "examples/keydoor/world", "examples/gym-world")
FRESH_PROCESS = """\
import json, sys
import torch
from simverse.checkpoint import load, restore
from simverse.play import greedy, play
from simverse.tasks import find_task
policy_file, folder, env_seed, num_envs = sys.argv[1:]
stored = load(__import__("pathlib").Path(policy_file))
task = find_task(folder)
env = task.make(num_envs=int(num_envs), max_steps=stored.training["max_steps"], seed=int(env_seed))
policy = task.build_policy(env)
restore(policy, stored, env)
torch.set_num_threads(1)
found = play(env, greedy(policy, stored.num_actions), max_steps=stored.training["max_steps"])
print(json.dumps(found.returns.tolist()))
"""


def scores(result: Any) -> dict[str, Any]:
    """Return all that must be the same: everything but the clock, and how a replay is drawn."""
    document = strip(result)
    for seed in document["seed_results"]:
        seed["replay"] = {k: v for k, v in seed["replay"].items() if k != "layers"}
    return document


def watched(
    referee: Referee, candidate: Path, kept: Path, world: Any = None, **more: Any
) -> tuple[Any, Any]:
    """Return the result of an evaluation as ever, and of one that is watched."""
    settings = {"seeds": (101,), "num_envs": 4, "eval_episodes": 6, "train_episodes": 2} | more
    plain = evaluate(referee, candidate, world=world, **settings)
    filmed = evaluate(referee, candidate, world=world, keep_dir=kept, is_watched=True, **settings)
    return plain, filmed


@pytest.mark.parametrize(
    "example",
    [name if name in FEW else pytest.param(name, marks=pytest.mark.long) for name in EXAMPLES],
)
def test_each_example_is_filmed_as_it_is_scored(
    example: str, referee: Referee, tmp_path: Path
) -> None:
    """Every number is that of an evaluation without films, and each film returns what is recorded."""
    folder = REPOSITORY / example
    bound = {"reward_bound": 10.0}
    world = read_world(folder / "task")
    plain, filmed = watched(referee, folder / "candidate", tmp_path, world, **bound)
    assert scores(filmed) == scores(plain)
    returns = plain.seed_results[0].episode_returns
    films = json.loads((tmp_path / "101.films.json").read_text())
    assert len(films) == len(returns) == 6
    for film, value in zip(films, returns, strict=True):
        check_replay(film)
        assert film["return"] == pytest.approx(value, abs=1e-6 * (1 + len(film["steps"])))
    assert {key: value for key, value in films[0].items() if key != "layers"} == json.loads(
        json.dumps(plain.seed_results[0].replay)
    )
    assert loads((tmp_path / "101.safetensors").read_bytes()).entries


def test_a_world_draws_itself(referee: Referee, tmp_path: Path) -> None:
    """Its layers are those of the step that the action answers."""
    folder = REPOSITORY / "examples" / "keydoor" / "world"
    watched(referee, folder / "candidate", tmp_path, read_world(folder / "task"))
    layers = json.loads((tmp_path / "101.films.json").read_text())[0]["layers"]
    assert layers["names"] == ["wall", "goal", "locked door", "key", "agent"]
    assert layers["shape"] == [5, 7, 7]


@pytest.mark.long
def test_a_policy_scores_the_same_in_a_fresh_process(referee: Referee, tmp_path: Path) -> None:
    """Loaded from its file and played from the same seed: the same returns, to the bit."""
    candidate = REPOSITORY / "examples" / "keydoor" / "candidate"
    settings = {"seeds": (101,), "num_envs": 8, "eval_episodes": 8, "train_episodes": 3}
    result = evaluate(referee, candidate, keep_dir=tmp_path, **settings)
    facts = {
        "env": "x", "num_actions": result.num_actions, "files": {},
        "observation_shape": result.observation_shape, "training": {"max_steps": result.max_steps},
    }  # fmt: skip
    file = tmp_path / "policy.pt"
    words = ["-m", "simverse.policy_file", str(tmp_path / "101.safetensors"), str(file)]
    run(*words, text=json.dumps(facts))
    seed = derive_seed(PUBLIC_KEY, 101, "evaluate", 0)
    found = run("-c", FRESH_PROCESS, str(file), str(candidate), str(seed), "8")
    assert json.loads(found) == list(result.seed_results[0].episode_returns)


def run(*words: str, text: str = "") -> str:
    done = subprocess.run(
        [sys.executable, *words], input=text, capture_output=True, text=True, cwd=REPOSITORY
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


SPOILT = {
    "NaN": ("self.register_buffer('spoilt', torch.full((2,), float('nan')))", "NaN"),
    "too large": ("self.register_buffer('spoilt', torch.zeros(2**24))", "50 MiB"),
    "sparse": ("self.register_buffer('spoilt', torch.eye(2).to_sparse())", "no plain tensor"),
}


@pytest.mark.parametrize("name", SPOILT)
def test_weights_that_cannot_be_kept_change_no_score(
    name: str, referee: Referee, tmp_path: Path
) -> None:
    """The evaluation is as ever, and a line says why there are no weights."""
    line, says = SPOILT[name]
    marker = "        self.body = "
    write_candidate(tmp_path, train=(marker, f"        {line}\n{marker}"))
    plain, filmed = watched(referee, tmp_path, tmp_path / "kept")
    assert scores(filmed) == scores(plain)
    assert not (tmp_path / "kept" / "101.safetensors").exists()
    said = (tmp_path / "kept" / "101.no-weights").read_text()
    assert says in said
    assert len(said.splitlines()) == 1


DRAWING = {
    "raises": ("raise RuntimeError('no')", True),
    "nonsense": ("return {'a': 7}", True),
    "none": ("return None", True),
    "hostile": ("return {'a': torch.zeros(1, 10**7)}", True),
    "changes the task": ("self.steps += 1; return {'a': torch.ones(1, 1)}", False),
}


@pytest.mark.parametrize("name", DRAWING)
def test_a_candidate_that_draws_badly_is_seen_through(
    name: str, referee: Referee, tmp_path: Path
) -> None:
    """What can't be drawn is left out; whoever changes the episode by drawing has another return."""
    body, is_same = DRAWING[name]
    marker = "    def reset(self)"
    hook = f"    def render_layers(self, index):\n        {body}\n\n"
    write_candidate(tmp_path, env=(marker, hook + marker))
    plain, filmed = watched(referee, tmp_path, tmp_path / "kept", train_episodes=30)
    films = json.loads((tmp_path / "kept" / "101.films.json").read_text())
    assert (filmed.score == plain.score) is is_same
    assert ("layers" in films[0]) is not is_same


def test_only_scored_seeds_keep_their_weights(referee: Referee, tmp_path: Path) -> None:
    """Further seeds decide nothing that is shown; without a folder nothing is kept."""
    write_candidate(tmp_path)
    request = request_for(tmp_path, keep_dir=tmp_path / "kept", more_seeds=(7,))
    referee.evaluate(request)
    assert {path.name for path in (tmp_path / "kept").iterdir()} == {
        "101.safetensors", "138.safetensors",
    }  # fmt: skip
