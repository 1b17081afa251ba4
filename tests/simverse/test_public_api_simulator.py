"""`Simulator.run`: episodes played with trained policies, shown, in environments of any make."""

from types import SimpleNamespace

import gymnasium as gym
import numpy as np
import pytest
import torch
from torch import Tensor, nn

from simverse.checkpoint import CheckpointError
from simverse.core.env import SimEnv
from simverse.core.simulator import Simulator
from simverse.errors import EnvironmentContractError, PolicyError
from simverse.policies import SimplePolicy
from simverse.training.checkpoints import save_policies
from tests.simverse.fakes import LinearCritic, ScriptedEnv
from tests.simverse.test_public_api import OneAgent, agent_factory


class Prefers(nn.Module):
    """Always the same action, of two; remembers what it was called with."""

    def __init__(self, action=0):
        super().__init__()
        logits = torch.tensor([[50.0, -50.0], [-50.0, 50.0]])[action]
        self.logits = nn.Parameter(logits)
        self.calls = []

    def forward(self, *inputs: Tensor):
        self.calls.append(inputs)
        count = len(inputs[0])
        return self.logits.expand(count, 2), torch.zeros(count, 1)


class Team(SimEnv):
    """Two agents in two sub-environments, which are over after `lengths` steps."""

    def __init__(self, lengths=(2, 2), **entries):
        super().__init__()
        self.num_envs = self.num_agents = 2
        self.config = SimpleNamespace(max_steps=4)
        self.lengths, self.entries, self.given = torch.tensor(lengths), entries, []
        self.register_buffer("steps", torch.zeros(2, dtype=torch.int64))

    action_space = SimpleNamespace(n=2)

    @property
    def observation_space(self):
        box = gym.spaces.Box(0.0, 1.0, (1, 2, 2))
        if "features" not in self.entries:
            return box
        return gym.spaces.Dict({"obs": box, "features": gym.spaces.Box(0.0, 9.0, (3,))})

    def payload(self):
        return self._pack_observation_dict(torch.zeros(2, 1, 2, 2), extra=self.entries)

    def reset(self):
        self.steps.zero_()
        return self.payload()

    def step(self, actions):
        self.given.append(actions.clone())
        self.steps += 1
        return self.payload(), torch.zeros(2, 2), self.steps >= self.lengths, {}


class GymnasiumLike:
    """No `SimEnv`: arrays, `(obs, info)`, five values from `step`, agents' actions by name."""

    num_agents = 2
    action_space = SimpleNamespace(n=2)
    observation_space = SimpleNamespace(shape=(4,))

    def __init__(self, num_envs=2):
        self.num_envs, self.given = num_envs, []

    def assign_agents(self, agents):
        self.agents = list(agents)

    def obs(self):
        shape = (self.num_envs, 4) if self.num_envs > 1 else (4,)
        return {"obs": np.zeros(shape, dtype=np.float32)}

    def reset(self):
        return self.obs(), {"reset": True}

    def step(self, actions):
        self.given.append(actions)
        truncated = np.full(self.num_envs, len(self.given) >= 3)
        return self.obs(), np.zeros(2), np.zeros(self.num_envs, dtype=bool), truncated, {}


class Window:
    """Writes down what is asked of it."""

    def __init__(self, fails=False):
        self.calls, self.fails = [], fails

    def handle_events(self):
        self.calls.append("events")

    def draw(self, env):
        self.calls.append(type(env).__name__)
        if self.fails:
            raise RuntimeError("no window")

    def close(self):
        self.calls.append("closed")


def simulator(env, *policies):
    """Return a simulator that never trains."""
    return Simulator(env, env.num_agents, list(policies), None, agent_factory)


def test_actions_come_as_a_matrix():
    """int64 `[N, A]`, a column an agent, until every sub-environment is over."""
    env = Team()
    simulator(env, Prefers(0), Prefers(1)).run()
    assert len(env.given) == 2
    assert env.given[0].tolist() == [[0, 1], [0, 1]]
    assert env.given[0].dtype == torch.int64
    assert [agent.policy.logits.argmax().item() for agent in env.agents] == [0, 1]


def test_each_sub_environment_finishes_once():
    """One that begins anew meanwhile keeps nobody waiting, and the last is waited for."""

    class Restarts(Team):
        def step(self, actions):
            obs, reward, done, info = super().step(actions)
            self.steps[done] = 0
            return obs, reward, done, info

    env = Restarts(lengths=(1, 3))
    simulator(env, Prefers()).run()
    assert len(env.given) == 3


@pytest.mark.parametrize(("asked", "taken"), [(None, 4), (1, 1), (6, 6)])
def test_the_horizon(asked, taken):
    """What is asked for, else the environment's own."""
    env = Team(lengths=(99, 99))
    simulator(env, Prefers()).run(max_steps=asked)
    assert len(env.given) == taken


def test_payloads_are_copies_while_it_plays():
    """A renderer may keep them; afterwards the environment is as it was."""
    env = Team()
    seen = []

    class Keeps(Window):
        def draw(self, env):
            seen.append(env.payload()["steps"])

    simulator(env, Prefers()).run(renderer=Keeps())
    assert [steps.tolist() for steps in seen] == [[1, 1], [2, 2]]
    assert env.clone_payload_tensors is False


def test_a_renderer_is_asked_around_each_step():
    """Events before, the environment after, and closed at the end even if it fails."""
    window, broken = Window(), Window(fails=True)
    simulator(Team(), Prefers()).run(renderer=window)
    assert window.calls == ["events", "Team", "events", "Team", "closed"]
    with pytest.raises(RuntimeError, match="no window"):
        simulator(Team(), Prefers()).run(renderer=broken)
    assert broken.calls[-1] == "closed"


def test_features_are_given_to_the_policy():
    """Beside the observation, to every agent's policy."""
    policies = Prefers(), Prefers()
    simulator(Team(features=torch.ones(2, 3)), *policies).run()
    for policy in policies:
        obs, features = policy.calls[0]
        assert (obs.shape, features.tolist()) == ((2, 1, 2, 2), [[1.0] * 3] * 2)


def test_agents_see_their_own_views():
    """Where the environment has them, as in training."""
    views = torch.stack((torch.full((2, 1, 2, 2), 3.0), torch.full((2, 1, 2, 2), 7.0)), dim=1)
    policies = Prefers(), Prefers()
    simulator(Team(local_obs=views), *policies).run()
    assert [policy.calls[0][0].unique().item() for policy in policies] == [3.0, 7.0]


def test_illegal_actions_are_not_drawn():
    """However much the policy prefers them."""
    env = Team(mask=torch.tensor([[True, True], [False, True]]))
    simulator(env, Prefers(0)).run()
    assert env.given[0].tolist() == [[0, 0], [1, 1]]


def test_an_agent_without_a_policy_does_nothing():
    """Its action is -1."""
    env = Team()

    def one_idle(agent_id, policy, env):
        return OneAgent(agent_id, 2, policy if agent_id == 0 else None)

    Simulator(env, 2, [Prefers(1)], None, one_idle).run()
    assert env.given[0].tolist() == [[1, -1], [1, -1]]


def test_numbers_are_drawn_too():
    """One agent's actions may be a box, `[N, d]` and within it; several agents' may not."""
    env = Team()
    env.action_space = gym.spaces.Box(-0.5, 0.5, (3,))
    policy = SimplePolicy(env.observation_space, env.action_space, hidden=8)

    def agent(agent_id, policy, env):
        return OneAgent(agent_id, 0, policy)

    with pytest.raises(EnvironmentContractError, match="must be discrete"):
        Simulator(env, 2, [policy], None, agent).run()
    env.num_agents = 1
    Simulator(env, 1, [policy], None, agent).run()
    assert env.given[0].shape == (2, 3)
    assert env.given[0].abs().max() <= 0.5


class Counts(nn.Module):
    """Recurrent: counts the steps of each episode, and takes action 1 from the second on."""

    def __init__(self):
        super().__init__()
        self.states = []

    def initial_state(self, batch):
        return torch.zeros(batch, 1)

    def forward(self, obs, state):
        self.states.append(state.flatten().tolist())
        logits = torch.cat((50.0 - 100.0 * state, -50.0 + 100.0 * state), dim=1)
        return logits, torch.zeros_like(state), state + 1


def test_a_recurrent_policy_begins_anew_with_each_episode():
    """Its state is carried from step to step, and forgotten where an episode has ended."""
    env = ScriptedEnv([[0.0] * 2] * 4, [[0, 1], [0, 0], [1, 0], [0, 0]])
    policy = Counts()
    simulator(env, policy).run()
    assert policy.states == [[0, 0], [1, 0], [2, 1]]
    assert [actions.flatten().tolist() for actions in env.actions] == [[0, 0], [1, 0], [1, 1]]


def test_other_environments_get_dicts():
    """One of agents for each sub-environment; the dict itself where there is one alone."""
    for env, expected in (
        (GymnasiumLike(), [{0: 0, 1: 1}] * 2),
        (GymnasiumLike(num_envs=1), {0: 0, 1: 1}),
    ):
        simulator(env, Prefers(0), Prefers(1)).run()
        assert env.given == [expected] * 3


def test_what_breaks_the_contract_is_named():
    """A policy whose logits are no numbers, an observation without `obs`, a step too short."""
    broken = Prefers()
    broken.logits.data.fill_(torch.nan)
    with pytest.raises(PolicyError, match="not finite"):
        simulator(Team(), broken).run()
    env = GymnasiumLike()
    env.obs = dict
    with pytest.raises(EnvironmentContractError, match="no 'obs'"):
        simulator(env, Prefers()).run()
    env = GymnasiumLike()
    env.step = lambda actions: (env.obs(), 0.0)
    with pytest.raises(EnvironmentContractError, match=r"step\(\) must return"):
        simulator(env, Prefers()).run()


def test_a_checkpoint_is_loaded_before_playing(tmp_path):
    """The policies saved are the ones that play, each its own agent's."""
    env = Team()
    save_policies(tmp_path / "team.pt", env, [Prefers(1), Prefers(0)])
    simulator(env, Prefers(0), Prefers(1)).run(checkpoint_path=str(tmp_path / "team.pt"))
    assert env.given[0].tolist() == [[1, 0], [1, 0]]


def test_a_checkpoint_of_others_is_refused(tmp_path):
    """Another number of agents, and other weights, are named."""
    env = Team()
    save_policies(tmp_path / "two.pt", env, [Prefers(), Prefers()])
    save_policies(tmp_path / "other.pt", env, [nn.Linear(1, 1), nn.Linear(1, 1)])
    with pytest.raises(CheckpointError, match="another policy"):
        simulator(env, Prefers(), Prefers()).load_checkpoint(tmp_path / "other.pt")
    env.num_agents = 3
    with pytest.raises(CheckpointError, match=r"2 agent\(s\), here are 3"):
        simulator(env, Prefers()).load_checkpoint(tmp_path / "two.pt")


def test_one_agent_acts_in_a_column():
    """`[N, 1]`, with an environment that has no horizon until all of it is over."""
    env = ScriptedEnv([[0.0] * 3] * 4, [[0, 0, 0], [1, 0, 0], [0, 1, 1], [0, 0, 0]])
    simulator(env, LinearCritic()).run()
    assert [actions.shape for actions in env.actions] == [(3, 1)] * 3
