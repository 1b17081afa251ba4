"""Greedy evaluation while training goes on, and the best policy that is kept."""

import math
import statistics

import pytest
import torch
from torch import nn

from simverse.checkpoint import load, restore
from simverse.core.config import EnvConfig
from simverse.envs import grid_goal
from simverse.policies import SimplePolicy
from simverse.training.config import PPOConfig
from simverse.training.evaluation import EvaluateEvery, Evaluation
from simverse.training.ppo import train
from simverse.training.stats import EpisodeStats
from simverse.wrappers import NormalizeObservation, held_out
from tests.simverse.fakes import LinearCritic, ScriptedEnv


def record(episode, env_steps=10):
    """Return a record of which only these numbers matter."""
    zeros = dict.fromkeys(
        ("mean_return", "solve_rate", "mean_length", "seconds", "policy_loss", "value_loss",
         "entropy", "approx_kl"), 0.0
    )  # fmt: skip
    return EpisodeStats(episode=episode, env_steps=env_steps, updates=0, **zeros)


def scripted():
    """Return an environment of three sub-environments, with returns 3, 1 and 5."""
    return ScriptedEnv(
        rewards=[[1.0, 1.0, 1.0], [2.0, 9.0, 4.0]],
        dones=[[0, 1, 0], [0, 0, 1]],
        success=[[0, 0, 0], [0, 1, 1]],
    )


def test_the_numbers_are_those_of_the_episodes():
    """Mean, standard error, solved and length, by hand; every third episode and no other."""
    evaluate = EvaluateEvery(scripted(), LinearCritic(), every=3, episodes=3, max_steps=2)
    for episode in range(7):
        evaluate(record(episode))
    first, second = evaluate.history
    assert first == Evaluation(
        trained_episodes=3, env_steps=30, episodes=3, mean_return=3.0,
        standard_error=statistics.stdev([3, 1, 5]) / math.sqrt(3), solve_rate=1 / 3,
        mean_length=5 / 3, is_best=True,
    )  # fmt: skip
    assert (second.trained_episodes, second.env_steps, second.is_best) == (6, 60, False)
    assert str(first) == (
        "return 3.000 ± 1.155 (standard error), solved 33%, 1.7 steps, over 3 held-out episodes, "
        "after 3 of training"
    )


class Choosing(ScriptedEnv):
    """Pays 1 for action 1."""

    def step(self, actions):
        payload, _, done, info = super().step(actions)
        return payload, actions.float(), done, info


def test_the_best_policy_is_kept(tmp_path):
    """Of the highest mean, the first of equal ones; later and worse ones leave the file alone."""
    policy, file = LinearCritic(), tmp_path / "runs" / "best.pt"
    evaluate = EvaluateEvery(
        Choosing([[0.0, 0.0]], [[0, 0]]), policy, every=1, episodes=2, max_steps=1, best=file,
        name="choosing", training={"lr": 0.5},
    )  # fmt: skip
    for episode, logits in enumerate(([1.0, 0.0], [0.0, 1.0], [0.0, 2.0], [3.0, 0.0])):
        policy.logits.data.copy_(torch.tensor(logits))
        evaluate(record(episode))
    assert [found.is_best for found in evaluate.history] == [True, True, False, False]
    assert evaluate.best == evaluate.history[1]
    stored = load(file)
    assert stored.weights["logits"].tolist() == [0.0, 1.0]
    assert stored.training == {"lr": 0.5, "episodes": 2, "evaluated_return": 1.0}
    assert stored.env == "choosing"
    assert [entry.name for entry in file.parent.iterdir()] == ["best.pt"]
    other = LinearCritic()
    restore(other, stored, evaluate.env)
    assert other.logits.tolist() == [0.0, 1.0]


@pytest.mark.system
def test_training_is_not_disturbed(tmp_path):
    """The same weights to the bit with evaluation and without, dropout and statistics included."""

    class Dropping(SimplePolicy):
        def forward(self, obs):
            return super().forward(nn.functional.dropout(obs, 0.1, self.training))

    def trained(*, evaluated):
        torch.manual_seed(1)
        env = NormalizeObservation(grid_goal.create_env(EnvConfig(num_envs=8, max_steps=20)))
        policy = Dropping(env.observation_space, env.action_space, hidden=16)
        other = held_out(grid_goal.create_env(EnvConfig(num_envs=4, max_steps=20, seed=9)), env)
        evaluate = EvaluateEvery(
            other, policy, every=1, episodes=4, max_steps=20, best=tmp_path / "best.pt"
        )
        settings = PPOConfig.for_task(num_envs=8, max_steps=20)
        train(env, policy, settings, episodes=3, seed=1, on_episode=evaluate if evaluated else None)
        assert (policy.training, env.training) == (True, True)
        return torch.cat([v.flatten() for v in (*policy.parameters(), env.statistics.mean)])

    assert torch.equal(trained(evaluated=True), trained(evaluated=False))
    assert load(tmp_path / "best.pt").statistics["0.mean"].shape == (2, 5, 5)


def test_what_makes_no_sense_is_refused():
    """Never, and of one episode."""
    for options, says in (
        ({"every": 0, "episodes": 2}, "every must be at least 1"),
        ({"every": 1, "episodes": 1}, "needs at least 2 episodes"),
    ):
        with pytest.raises(ValueError, match=says):
            EvaluateEvery(scripted(), LinearCritic(), max_steps=1, **options)
