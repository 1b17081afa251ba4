"""What an agent has to start from: the shipped settings learn something, better ones far more.

A few seconds an example: the smallest rung of the ladder, 12 rollouts of 32 sub-environments.
"""

import statistics
from typing import Any

import pytest
import torch

from simverse.training.config import PPOConfig
from simverse.training.ppo import train

from .helpers import EXAMPLES, HORIZONS, Policy, load, make_env, play_episodes, random_policy

EPISODES = 12
SEEDS = (0, 1, 2)
GOOD: dict[str, dict[str, float]] = {
    "keydoor": {
        "LEARNING_RATE": 3e-3,
        "HIDDEN_DIM": 64,
        "UPDATES_PER_EPISODE": 4,
        "GAMMA": 0.97,
        "GAE_LAMBDA": 0.9,
    },
    "trading": {"LEARNING_RATE": 3e-3, "HIDDEN_DIM": 64, "MINIBATCH_SIZE": 128, "GAMMA": 0.9},
    "squad": {
        "LEARNING_RATE": 3e-3,
        "HIDDEN_DIM": 64,
        "UPDATES_PER_EPISODE": 5,
        "MINIBATCH_SIZE": 64,
        "GAMMA": 0.95,
    },
}
"""Constants of `train.py` that a search over them finds."""


@pytest.fixture(autouse=True)
def _one_thread() -> Any:
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


@pytest.mark.parametrize("name", EXAMPLES)
def test_shipped_learns_something_and_good_constants_far_more(name: str) -> None:
    """Shipped beats random play clearly; better constants solve the task, shipped ones do not."""
    random = statistics.mean(evaluate(name, None, seed)[0] for seed in SEEDS)
    shipped, shipped_solved = trained(name, {})
    good, good_solved = trained(name, GOOD[name])
    assert random + 0.2 < shipped < 0.6 * good
    assert shipped_solved + 0.15 < good_solved
    assert good_solved > 0.7


def trained(name: str, constants: dict[str, float]) -> tuple[float, float]:
    """Train with these constants; return the mean greedy return and solve rate over seeds."""
    module = load(name, "train")
    for constant, value in constants.items():
        assert hasattr(module, constant)
        setattr(module, constant, value)
    results = [evaluate(name, train_policy(name, module, seed), seed) for seed in SEEDS]
    returns, solved = zip(*results, strict=True)
    return statistics.mean(returns), statistics.mean(solved)


def train_policy(name: str, module: Any, seed: int) -> Policy:
    """Train a policy at the smallest rung and return its greedy choice."""
    env = make_env(name, seed=1000 + seed)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        policy = module.build_policy(env.observation_space, env.action_space)
    overrides = module.training_overrides(num_envs=32, max_steps=HORIZONS[name], device="cpu")
    config = PPOConfig.for_task(num_envs=32, **overrides)
    train(env, policy, config, episodes=EPISODES, seed=seed)
    return lambda obs: policy(obs)[0].argmax(dim=-1)


def evaluate(name: str, policy: Policy | None, seed: int) -> tuple[float, float]:
    """Play 256 held-out episodes, at random without a policy."""
    env = make_env(name, num_envs=256, seed=2000 + seed)
    returns, succeeded = play_episodes(env, policy or random_policy(env, seed))
    return returns.mean().item(), succeeded.float().mean().item()
