"""What holds for every environment of the registry: contract, seeds, learning, replay."""

import pytest
import torch

from simverse.core.config import EnvConfig
from simverse.envs import make, make_candidate, names
from simverse.envs.registry import entry
from simverse.play import greedy, play, uniform
from simverse.replay import check_replay, dumps, frames, record
from simverse.tasks import candidate_task, named_task
from simverse.testing import check_env
from simverse.training.config import PPOConfig
from simverse.training.ppo import train
from tests.conftest import REPOSITORY

EXAMPLES = ("keydoor", "trading", "squad")
# What random play returns at most, and a trained policy at least.
RETURNS = {
    "battle_grid": (-0.6, 0.4),
    "cartpole": (40.0, 400.0),
    "farming": (0.1, 1.0),
    "grid_goal": (0.5, 0.75),
    "gym": (40.0, 200.0),
    "maze_race": (0.0, 0.3),
    "snake": (-0.6, 3.0),
}
QUICK = {
    "grid_goal": pytest.mark.system,
    "battle_grid": pytest.mark.system,
    "snake": pytest.mark.long,
    "maze_race": pytest.mark.long,
}
"""Those that learn within seconds; the others are a sweep."""


def creator(name):
    """Return a `create_env` with a candidate's signature for a name."""

    def create_env(config, **options):
        return make(name, config, **options)

    return create_env


def test_the_registry_has_what_the_readme_names():
    """Seven environments, each under a name of its own."""
    assert names() == sorted(RETURNS)


@pytest.mark.parametrize("name", names())
def test_environments_keep_their_contract(name):
    """Each environment passes the conformance check without a note."""
    report = check_env(creator(name), max_steps=120)
    assert report.notes == ()
    assert report.finished == 8


@pytest.mark.parametrize("name", names())
def test_the_seed_decides_the_start(name):
    """The same seed starts in the same place, another one elsewhere."""
    starts = [make(name, num_envs=8, seed=seed).reset()["obs"].clone() for seed in (0, 0, 1)]
    assert torch.equal(starts[0], starts[1])
    assert not torch.equal(starts[0], starts[2])


@pytest.mark.parametrize("name", ["snake", "maze_race", "battle_grid", "farming"])
def test_observations_are_shares_and_channels_are_named(name):
    """Grid environments show numbers from 0 to 1, one named channel each."""
    env = make(name, num_envs=32, seed=3)
    act = uniform(env.action_space.n, 0)
    obs = env.reset()["obs"]
    assert len(env.CHANNELS) == obs.shape[1]
    for _ in range(100):
        assert obs.min().item() >= 0.0
        assert obs.max().item() <= 1.0 + 1e-6
        obs = env.step(act(obs))[0]["obs"]


@pytest.mark.parametrize("name", ["snake", "battle_grid", "farming"])
def test_environments_reset_themselves_at_their_horizon(name):
    """An episode that runs out of time is truncated, shown before the reset, and starts anew."""
    env = make(name, num_envs=4, max_steps=2, seed=5)
    env.reset()
    stay = torch.full((4,), env.action_space.n - 1)
    first, second = (env.step(stay) for _ in range(2))
    assert not first[2].any()
    assert second[2].tolist() == second[3]["truncated"].tolist() == [True] * 4
    assert not torch.equal(second[3]["final_obs"], second[0]["obs"])
    assert env.steps.tolist() == [0] * 4


@pytest.mark.parametrize(
    "name",
    [
        pytest.param(name, marks=QUICK.get(name, (pytest.mark.long, pytest.mark.long_form)))
        for name in names()
    ],
)
def test_ppo_learns_each_environment(name):
    """A few seconds of PPO with the registry's settings leave random play far behind."""
    at_most, at_least = RETURNS[name]
    task = named_task(name)
    torch.manual_seed(0)
    env = task.make(num_envs=task.num_envs, max_steps=task.max_steps, seed=0, device="cpu")
    policy = task.build_policy(env)
    config = PPOConfig.for_task(num_envs=task.num_envs, max_steps=task.max_steps, **task.settings)
    train(env, policy, config, episodes=task.episodes, seed=0)

    fresh = task.make(num_envs=128, max_steps=task.max_steps, seed=999, device="cpu")
    random = play(fresh, uniform(env.action_space.n, 0), max_steps=task.max_steps)
    trained = play(fresh, greedy(policy, env.action_space.n), max_steps=task.max_steps)
    assert random.returns.mean().item() < at_most
    assert trained.returns.mean().item() > at_least
    assert trained.success.float().mean().item() > random.success.float().mean().item() + 0.25


def check_round_trip(env, policy, *, max_steps, seed):
    """Record an episode; check that the document says what an identical one shows."""
    document = record(env, policy, max_steps=max_steps, seed=seed)
    check_replay(document)
    text = dumps(document)
    assert len(text.encode()) < 600 * (len(document["steps"]) + 2)
    return document, frames(document)


@pytest.mark.parametrize("name", names())
def test_a_replay_shows_the_episode(name):
    """Decoded frames are the observations of the same episode played again, to three digits."""
    horizon = min(entry(name).max_steps, 100)
    env = make(name, num_envs=1, max_steps=horizon, seed=4)
    policy = named_task(name).build_policy(env)
    document, shown = check_round_trip(env, policy, max_steps=horizon, seed=4)
    again = make(name, num_envs=1, max_steps=horizon, seed=4)
    obs = again.reset()["obs"].clone()
    total = 0.0
    for number, step in enumerate(document["steps"]):
        torch.testing.assert_close(shown[number], obs[0].float(), atol=6e-4, rtol=0.0)
        payload, reward, done, _ = again.step(torch.tensor([step["action"]]))
        obs = payload["obs"].clone()
        total += reward.item()
        assert step["reward"] == pytest.approx(reward.item(), abs=1e-6)
        assert step["done"] == done.item()
    assert document["return"] == pytest.approx(total, abs=1e-4)
    assert document["steps"][-1]["done"] or len(document["steps"]) == horizon


@pytest.mark.parametrize("example", EXAMPLES)
def test_candidates_have_replays_too(example):
    """An environment that knows nothing of replays is recorded by what the contract gives."""
    task = candidate_task(REPOSITORY / "examples" / example)
    env = task.make(num_envs=1, max_steps=task.max_steps, seed=1)
    document, shown = check_round_trip(
        env, task.build_policy(env), max_steps=task.max_steps, seed=1
    )
    assert len(shown) - len(document["steps"]) == (document["last_frame"] is not None)


@pytest.mark.parametrize("example", EXAMPLES)
def test_candidates_are_made_from_their_folder(example):
    """A folder with `candidate/` in it gives that environment, at the horizon it asks for."""
    env = make_candidate(REPOSITORY / "examples" / example, num_envs=3)
    assert env.num_envs == 3
    assert env.max_steps == candidate_task(REPOSITORY / "examples" / example).max_steps
    assert type(env).__name__.lower() == f"{example}env"


def test_unknown_names_are_refused():
    """An unknown environment is refused by a line that lists the known ones."""
    with pytest.raises(ValueError, match="no environment 'chess'; known: battle_grid"):
        make("chess")
    with pytest.raises(ValueError, match=r"Gymnasium has no 'Nope-v1'"):
        make("gym:Nope-v1")
    with pytest.raises(ValueError, match=r"no env.py in"):
        make_candidate(REPOSITORY / "docs")


def test_a_config_is_taken_as_it_is():
    """`make` hands a given config on, whatever the registry's horizon."""
    env = make("snake", EnvConfig(num_envs=5, max_steps=7, seed=1))
    assert (env.num_envs, env.max_steps) == (5, 7)
