"""Observations with `features` beside the image: as scripts for the public simverse have them."""

from types import SimpleNamespace

import gymnasium as gym
import pytest
import torch
from torch import nn

from simverse.core.env import SimEnv
from simverse.errors import EnvironmentContractError
from simverse.policies import CentralizedCritic, SimplePolicy
from simverse.training.features import FeatureEnv, FeaturelessCritic, FeaturePolicy, has_parts
from simverse.training.ppo import PPOConfig, PPOTrainer, train
from simverse.training.stats import TrainingStats
from tests.simverse.test_public_api import OneAgent

SPACE = gym.spaces.Dict(
    {"obs": gym.spaces.Box(0.0, 1.0, (2, 1, 3)), "features": gym.spaces.Box(0.0, 1.0, (4,))}
)


class Cues(SimEnv):
    """Episodes of one step: it pays to name the cue, which stands in the features alone."""

    def __init__(self, num_envs=64, num_agents=1, seed=0, joined=False):
        super().__init__()
        self.num_envs, self.num_agents, self.max_steps = num_envs, num_agents, 8
        self.joined = joined
        """Whether features are part of the image, as a plain environment would have them."""
        self.random = torch.Generator().manual_seed(seed)

    action_space = SimpleNamespace(n=4)

    @property
    def observation_space(self):
        return SimpleNamespace(shape=(1, 1, 10)) if self.joined else SPACE

    def reset(self):
        self.cue = torch.randint(4, (self.num_envs,), generator=self.random)
        image = torch.rand(self.num_envs, 2, 1, 3, generator=self.random)
        features = nn.functional.one_hot(self.cue, 4).float()
        if self.joined:
            return {"obs": torch.cat((image.flatten(1), features), dim=1).view(-1, 1, 1, 10)}
        return {"obs": image, "features": features}

    def step(self, actions):
        right = (actions.view(self.num_envs, -1) == self.cue.unsqueeze(1)).float()
        done = torch.ones(self.num_envs, dtype=torch.bool)
        return self.reset(), right, done, {"success": right.bool().all(dim=1)}


def trained(env, policies, *, episodes, settings=None, **options):
    """Train policies, one an agent, with PPO; return the statistics."""
    stats = TrainingStats()
    config = {"lr": 1e-2, "seed": 0} | (settings or {})
    trainer = PPOTrainer(episodes=episodes, batch_size=128, stats=stats, config=config, **options)
    trainer.train(env, [OneAgent(index, 4, policy) for index, policy in enumerate(policies)])
    return stats


def test_training_is_that_of_one_joined_observation():
    """To the bit the weights and statistics of the same task with the features in the image."""
    found = []
    for joined in (False, True):
        torch.manual_seed(0)
        env = Cues(num_envs=8, joined=joined)
        policy = SimplePolicy(env.observation_space, env.action_space, hidden=8)
        # The plain one would be trained fused, which is equal to rounding only.
        stats = trained(env, [policy], episodes=3, settings={"torch_fastpath": False})
        found.append((stats.episode_rewards, [p.detach().clone() for p in policy.parameters()]))
    (rewards, weights), (joined_rewards, joined_weights) = found
    assert rewards == joined_rewards
    assert all(torch.equal(a, b) for a, b in zip(weights, joined_weights, strict=True))


@pytest.mark.system
def test_it_learns_from_features():
    """What the image says nothing of."""
    torch.manual_seed(0)
    env = Cues()
    stats = trained(env, [SimplePolicy(env.observation_space, env.action_space)], episodes=15)
    assert stats.solve_rates[0] < 0.5
    assert stats.solve_rates[-1] > 0.95


@pytest.mark.system
@pytest.mark.parametrize("shared", [True, False])
def test_a_team_learns_from_features(shared):
    """Every agent gets them, sharing a policy or not, and the critic sees the image alone."""
    torch.manual_seed(0)
    env = Cues(num_agents=2)
    policies = [SimplePolicy(SPACE, env.action_space) for _ in range(2)]
    critic = CentralizedCritic(SPACE["obs"])
    stats = trained(env, policies[:1] * 2 if shared else policies, episodes=15,
                    centralized_critic=critic)  # fmt: skip
    assert stats.solve_rates[-1] > 0.9


def test_policies_without_features_take_zeros():
    """And features make a difference when they are there."""
    torch.manual_seed(0)
    policy = SimplePolicy(SPACE, SimpleNamespace(n=6))
    obs, features = torch.randn(5, 2, 1, 3), torch.randn(5, 4)
    logits, value = policy(obs, features)
    assert (logits.shape, value.shape) == ((5, 6), (5, 1))
    assert torch.equal(policy(obs)[0], policy(obs, torch.zeros(5, 4))[0])
    assert not torch.allclose(policy(obs)[0], logits)


def test_only_declared_features_count():
    """A `Dict` space without them leaves the policy the image, whatever else it declares."""
    assert has_parts(SPACE)
    assert not has_parts(SPACE["obs"])
    assert not has_parts(gym.spaces.Dict({"features": SPACE["obs"]}))
    assert not has_parts(gym.spaces.Tuple([SPACE["obs"]]))

    class Undeclared(Cues):
        observation_space = gym.spaces.Dict({"obs": SPACE["obs"], "steps": gym.spaces.Discrete(9)})

    env = Undeclared(num_envs=8)
    seen = []

    class Watching(SimplePolicy):
        def forward(self, *inputs):
            seen.append([tuple(part.shape[1:]) for part in inputs])
            return super().forward(*inputs)

    trained(env, [Watching(env.observation_space, env.action_space, hidden=4)], episodes=1)
    assert seen[0] == [(2, 1, 3)]


def test_training_without_the_trainer_says_what_to_do():
    """`train` itself takes one tensor; the error names what makes one."""
    with pytest.raises(EnvironmentContractError, match=r"got None of Dict; simverse\.Flatten"):
        train(
            Cues(),
            nn.Linear(1, 1),
            PPOConfig.for_task(num_envs=64, max_steps=8),
            episodes=1,
            seed=0,
        )


class Told(Cues):
    """Says what it is told to."""

    def __init__(self, info=None, **payload):
        super().__init__(num_envs=2, num_agents=2)
        self.payload, self.info = payload, info or {}

    def reset(self):
        return self.payload

    def step(self, actions):
        return self.payload, torch.zeros(2), torch.zeros(2).bool(), self.info


IMAGE = torch.arange(12.0).view(2, 2, 1, 3)
VECTOR = torch.tensor([[100.0, 101, 102, 103], [200, 201, 202, 203]])


def test_rows_and_back():
    """Image and features become a row, agents' views too, and come out as they went in."""
    views = torch.stack((IMAGE, -IMAGE), dim=1)
    done = torch.tensor([True, False])
    env = FeatureEnv(Told(obs=IMAGE, features=VECTOR, local_obs=views, done=done, steps=done))
    payload = env.reset()
    assert env.observation_space.shape == (1, 1, 10)
    assert payload["obs"][1].tolist() == [[[6, 7, 8, 9, 10, 11, 200, 201, 202, 203]]]
    assert payload["local_obs"].shape == (2, 2, 1, 1, 10)
    assert payload["done"] is done
    seen = FeaturePolicy(_Echo(), env)(payload["local_obs"][:, 1])
    assert torch.equal(seen[0], -IMAGE)
    assert torch.equal(seen[1], VECTOR)
    assert torch.equal(FeaturelessCritic(_Echo(), env)(payload["obs"])[0], IMAGE)


class _Echo(nn.Module):
    def forward(self, *inputs):
        return inputs


def test_where_an_episode_was_cut_short():
    """The last observation has features of its own, without which there is none."""
    final = {"final_obs": IMAGE, "final_features": -VECTOR}
    info = FeatureEnv(Told(info=final, obs=IMAGE, features=VECTOR)).step(torch.zeros(2))[3]
    assert info["final_obs"][0].flatten().tolist()[-4:] == [-100, -101, -102, -103]
    without = FeatureEnv(Told(info={"final_obs": IMAGE}, obs=IMAGE, features=VECTOR))
    with pytest.raises(EnvironmentContractError, match=r"info\['final_features'\].* None"):
        without.step(torch.zeros(2))


def test_features_that_are_declared_must_come():
    """In the shape that was declared."""
    with pytest.raises(EnvironmentContractError, match=r"'features' must be a tensor \[2, 4\]"):
        FeatureEnv(Told(obs=IMAGE)).reset()
    with pytest.raises(EnvironmentContractError, match=r"got \[2, 3\]"):
        FeatureEnv(Told(obs=IMAGE, features=VECTOR[:, :3])).reset()


def test_a_squashed_policy_stays_one():
    """What a policy says of its actions is said of it with features too."""
    box = gym.spaces.Box(-1.0, 1.0, (2,))
    env = FeatureEnv(Told(obs=IMAGE, features=VECTOR))
    for squashed in (True, False):
        policy = SimplePolicy(SPACE, box, hidden=4, squashed=squashed)
        assert FeaturePolicy(policy, env).squashed is squashed
