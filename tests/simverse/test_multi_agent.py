"""Agents learn to cooperate where it pays: shared policy, separate ones, a centralised critic."""

from types import SimpleNamespace

import pytest
import torch
from torch import nn

from simverse.core.env import SimEnv
from simverse.errors import EnvironmentContractError
from simverse.policies import CentralizedCritic, SimplePolicy
from simverse.training.multi_agent import JointOptimizer, Layout, TeamEnv, TeamPolicy
from simverse.training.ppo import PPOTrainer
from simverse.training.utils import adam
from tests.simverse.test_public_api import OneAgent

CELLS = 7


class Team(SimEnv):
    """What the tests' environments of two agents share; a subclass draws and pays."""

    shape = (1, 1, 2)
    local_shape = (1, 1, 2)
    actions = 2

    def __init__(self, num_envs=64, seed=0):
        super().__init__()
        self.num_envs, self.num_agents, self.max_steps = num_envs, 2, 8
        self.random = torch.Generator().manual_seed(seed)

    @property
    def action_space(self):
        return SimpleNamespace(n=self.actions)

    @property
    def observation_space(self):
        return SimpleNamespace(shape=self.shape)

    @property
    def local_space(self):
        return SimpleNamespace(shape=self.local_shape)

    def draw(self, below, *shape):
        return torch.randint(below, (self.num_envs, *shape), generator=self.random)


class Complementary(Team):
    """Both see the same cue; it pays if the first does it and the second the opposite."""

    def reset(self):
        self.cue = self.draw(2)
        return {"obs": nn.functional.one_hot(self.cue, 2).float().view(-1, 1, 1, 2)}

    def step(self, actions):
        right = (actions[:, 0] == self.cue) & (actions[:, 1] == 1 - self.cue)
        reward = right.float().unsqueeze(1).expand(-1, 2)
        return self.reset(), reward, torch.ones_like(right), {"success": right}


class MeetOnALine(Team):
    """Two walk on a line, each sees itself and the other; it pays both to stand on one cell."""

    shape = (2, 1, CELLS)
    local_shape = (2, 1, CELLS)
    actions = 3

    def reset(self):
        first = self.draw(CELLS)
        second = (first + 1 + self.draw(CELLS - 1)) % CELLS
        self.places = torch.stack((first, second), dim=1)
        self.over = torch.zeros(self.num_envs).bool()
        return self.payload()

    def payload(self):
        planes = nn.functional.one_hot(self.places, CELLS).float().unsqueeze(2)
        both = torch.stack((planes, planes.flip(1)), dim=1)  # mine first
        return {"obs": planes, "local_obs": both, "done": self.over}

    def step(self, actions):
        walking = ~self.over
        moved = (self.places + actions - 1).clamp(0, CELLS - 1)
        self.places = torch.where(walking.unsqueeze(1), moved, self.places)
        met = walking & (self.places[:, 0] == self.places[:, 1])
        reward = met.float() - 0.05 * walking.float()
        self.over = self.over | met
        return self.payload(), reward.unsqueeze(1).expand(-1, 2), self.over, {"success": met}


class Secrets(Team):
    """Each sees a number of its own; it pays if both name theirs, and more or less by luck.

    The luck is twenty times the pay and stands in the state only, which the agents do not see.
    """

    actions = 5
    shape = (1, 1, 11)
    local_shape = (1, 1, 5)

    def reset(self):
        self.secrets = self.draw(5, 2)
        self.correlation = self.draw(2).float() * 2 - 1
        hot = nn.functional.one_hot(self.secrets, 5).float()
        state = torch.cat((hot.flatten(1), self.correlation.unsqueeze(1)), dim=1)
        return {"obs": state.view(-1, 1, 1, 11), "local_obs": hot.view(-1, 2, 1, 1, 5)}

    def step(self, actions):
        both = (actions == self.secrets).all(dim=1)
        reward = (both + 20 * self.correlation).unsqueeze(1).expand(-1, 2)
        return self.reset(), reward, torch.ones_like(both), {"success": both}


def cooperation(env_type, *, separate, critic=False, episodes=40, optimizers=False, **settings):
    """Train two agents; return the share of 512 fresh greedy episodes that succeed."""
    torch.manual_seed(0)
    env = env_type()
    made = [SimplePolicy(env.local_space, env.action_space, hidden=32) for _ in range(2)]
    policies = made if separate else made[:1] * 2
    centralized = CentralizedCritic(env.observation_space, hidden=32) if critic else None
    chosen = {"lr": 5e-3, "max_steps": 8, "entropy_coef": 0.01, "seed": 0} | settings
    trainer = PPOTrainer(
        centralized_critic=centralized,
        centralized_critic_optimizer=adam(centralized, lr=2e-2) if critic else None,
        optimizers={a: adam(p, lr=5e-3) for a, p in enumerate(made)} if optimizers else None,
        episodes=episodes,
        batch_size=256,
        config=chosen,
    )
    agents = [OneAgent(index, env.actions, policy) for index, policy in enumerate(policies)]
    trainer.train(env, agents)
    return success_rate(env_type(num_envs=512, seed=9), policies)


@torch.no_grad()
def success_rate(env, policies):
    payload = env.reset()
    solved = over = torch.zeros(env.num_envs).bool()
    for _ in range(env.max_steps):
        views = payload.get("local_obs")
        actions = [
            policy(payload["obs"] if views is None else views[:, agent])[0].argmax(dim=-1)
            for agent, policy in enumerate(policies)
        ]
        payload, _, done, info = env.step(torch.stack(actions, dim=1))
        solved, over = solved | (info["success"] & ~over), over | done
    return solved.float().mean().item()


@pytest.mark.system
def test_shared_policy_learns_to_meet():
    """One policy for both, told apart by what they see, walks the two together."""
    assert cooperation(MeetOnALine, separate=False) > 0.95


@pytest.mark.system
def test_separate_policies_learn_different_parts():
    """Seeing the same, two policies learn opposite actions, which one for both never can."""
    assert cooperation(Complementary, separate=True, optimizers=True) > 0.95
    assert cooperation(Complementary, separate=False, episodes=10) < 0.05


@pytest.mark.system
def test_centralised_critic_sees_through_luck():
    """With the state before it the critic explains the luck; the agents' own critics cannot."""
    settings = {"separate": False, "episodes": 20}
    assert cooperation(Secrets, critic=True, **settings) > 0.95
    assert cooperation(Secrets, critic=False, **settings) < 0.5


def test_rows_go_to_their_agent():
    """Packed, shuffled and unpacked, each row reaches its own agent's policy and the critic."""
    layout = Layout(num_agents=2, local=(1, 1, 3), state=(1, 2, 2))
    state, local = torch.randn(4, 1, 2, 2), torch.randn(4, 2, 1, 1, 3)
    rows = layout.pack(state, local)[torch.randperm(8)]

    class Says(nn.Module):
        def __init__(self, word):
            super().__init__()
            self.word = word

        def forward(self, seen):
            return seen.flatten(1) + self.word, torch.zeros(len(seen), 1)

    class Sum(nn.Module):
        def forward(self, whole):
            return torch.stack((whole.sum((1, 2, 3)), -whole.sum((1, 2, 3))), dim=1)

    logits, values = TeamPolicy([Says(100.0), Says(200.0)], layout, Sum())(rows)
    seen, whole, agent = layout.unpack(rows)
    torch.testing.assert_close(logits, seen.flatten(1) + 100.0 * (1 + agent.unsqueeze(1)))
    sign = torch.where(agent == 0, 1.0, -1.0)
    torch.testing.assert_close(values.squeeze(1), sign * whole.sum((1, 2, 3)))


def test_team_environment_deals_out():
    """Rewards of each agent, flags of the sub-environment, and the first draw is not lost."""
    env = MeetOnALine(num_envs=3)
    team = TeamEnv(env, 2, with_state=True)
    drawn = env.places.clone()
    first = team.reset()
    assert torch.equal(env.places, drawn)
    assert first["obs"].shape == (6, 1, 1, 14 + 14 + 1)
    _, reward, done, info = team.step(torch.ones(6).long())
    assert reward.shape == done.shape == info["success"].shape == (6,)


def test_wrong_shapes_are_named():
    """A reward per something else than an agent is refused."""

    class Wrong(Complementary):
        def step(self, actions):
            obs, reward, done, info = super().step(actions)
            return obs, reward[:, :1].expand(-1, 3), done, info

    team = TeamEnv(Wrong(num_envs=4), 2, with_state=False)
    team.reset()
    with pytest.raises(EnvironmentContractError, match=r"\[4, 2\], got \[4, 3\]"):
        team.step(torch.zeros(8).long())


def test_joint_optimizer():
    """It shows every group and steps every optimiser."""
    first, second = nn.Linear(1, 1), nn.Linear(1, 1)
    before = [p.clone() for p in (*first.parameters(), *second.parameters())]
    joint = JointOptimizer([torch.optim.SGD(m.parameters(), lr=1.0) for m in (first, second)])
    (first(torch.ones(1, 1)) + second(torch.ones(1, 1))).sum().backward()
    joint.step()
    after = [p for group in joint.param_groups for p in group["params"]]
    assert all(not torch.equal(a, b) for a, b in zip(before, after, strict=True))
