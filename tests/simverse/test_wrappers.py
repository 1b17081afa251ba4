"""Wrappers and frame stacks: the contract kept, step by step as Gymnasium's own wrappers."""

import gymnasium
import numpy as np
import pytest
import torch
from gymnasium import spaces

from simverse.core.env import SimEnv
from simverse.core.layers import has_layers, layers_of
from simverse.envs import gym as adapter
from simverse.envs import make
from simverse.errors import EnvironmentContractError
from simverse.play import greedy, play
from simverse.policies import NamedPolicy
from simverse.testing import check_env
from simverse.training.config import PPOConfig
from simverse.training.ppo import train
from simverse.wrappers import FlattenObservation, FrameStack, NormalizeObservation, NormalizeReward
from simverse.wrappers.base import Wrapper
from tests.simverse.fakes import ScriptedEnv
from tests.simverse.wandering import LENGTHS, MODES, Wandering, wanderers

NOTHING = torch.zeros(3, dtype=torch.int64)


def plain_stacks(index, steps, count, seed=7):
    """Return what Gymnasium's stack shows of one wanderer, step by step.

    Each is `(stack, None)`, or `(stack at the end, first stack of the next episode)`.
    """
    length, cut = LENGTHS[index]
    env = gymnasium.wrappers.FrameStackObservation(Wandering(length, cut), count)
    shown = [(env.reset(seed=seed + index)[0], None)]
    for _ in range(steps):
        stack, _, terminated, truncated, _ = env.step(0)
        shown.append((stack, env.reset()[0] if terminated or truncated else None))
    return shown


@pytest.mark.parametrize("mode", MODES)
def test_stacks_are_gymnasium_s(mode):
    """In every mode and over 12 episodes' ends; `final_obs` has the history of its own episode."""
    steps, count = 30, 4
    env = FrameStack(wanderers(mode), count)
    assert env.observation_space.shape == (4, 1, 3)
    shown = [(env.reset(), None)]
    for _ in range(steps):
        payload, _, _, info = env.step(NOTHING)
        shown.append((payload, info["final_obs"]))
    ends = 0
    for index in range(3):
        expected = iter(plain_stacks(index, steps, count))
        following = None
        for payload, final in shown:
            stack = payload["obs"][index].flatten(0, 1).numpy()
            if following is not None and mode == "NEXT_STEP":
                assert np.array_equal(stack, following)  # the void step
                following = None
                continue
            last, following = next(expected)
            ends += following is not None
            resets_here = following is not None and mode != "NEXT_STEP"
            assert np.array_equal(stack, following if resets_here else last)
            if final is not None:
                assert np.array_equal(final[index].flatten(0, 1).numpy(), last)
    assert ends >= 12


def test_a_stack_stays_as_it_was_shown():
    """What a step returned is not written to by the next, whatever the environment's buffers do."""
    env = FrameStack(ScriptedEnv([[0.0]] * 3, [[0]] * 3), 2)
    first = env.reset()["obs"]
    second = env.step(NOTHING[:1])[0]["obs"]
    env.step(NOTHING[:1])
    assert (first.flatten().tolist(), second.flatten().tolist()) == ([0, 0], [0, 1])


def test_a_frozen_sub_environment_begins_with_reset():
    """Marked done it keeps its frames, and the one beside it goes on."""
    env = FrameStack(
        ScriptedEnv(
            [[0.0, 0.0]] * 3,
            [[0, 0], [1, 0], [1, 0]],
            marked=[[0, 0], [0, 0], [1, 0], [1, 0]],
        ),
        2,
    )
    env.reset()
    seen = [env.step(NOTHING[:2])[0]["obs"].view(2, 2).tolist() for _ in range(3)]
    assert seen == [[[0, 1], [0, 1]], [[1, 2], [1, 2]], [[2, 3], [2, 3]]]
    assert env.reset()["obs"].view(2, 2).tolist() == [[0, 0], [0, 0]]


WRAPPED = {
    "stack": lambda env: FrameStack(env, 3),
    "observations": NormalizeObservation,
    "rewards": NormalizeReward,
    "all": lambda env: FrameStack(NormalizeReward(NormalizeObservation(env)), 2),
}


@pytest.mark.parametrize("wrap", WRAPPED.values(), ids=WRAPPED)
def test_wrapped_environments_keep_the_contract(wrap):
    """The conformance check finds nothing wrong, and so the same seed gives the same numbers."""
    report = check_env(
        lambda config, **options: wrap(make("grid_goal", config, **options)), reward_bound=10.0
    )
    assert report.num_actions == 4


def test_members_are_the_environment_s():
    """Its horizon and its drawing are found through wrappers; what nobody has is missing."""

    class Drawn(ScriptedEnv):
        max_steps = 9

        def render_layers(self, index):
            return {"here": torch.ones(2, 2)}

    inner = Drawn([[0.0]], [[0]])
    env = FrameStack(NormalizeReward(inner), 2)
    assert (env.max_steps, env.unwrapped) == (9, inner)
    assert has_layers(env)
    assert layers_of(env, 0)[0] == ["here"]
    assert not has_layers(FrameStack(ScriptedEnv([[0.0]], [[0]]), 2))
    with pytest.raises(AttributeError, match="nonsense"):
        _ = env.nonsense
    assert not NormalizeObservation(inner).eval().training
    env.double()
    assert (env.dtype, inner.dtype) == (torch.float64, torch.float64)


def test_what_can_t_be_wrapped_is_refused():
    """Several agents, stacks of nothing, and environments that break their contract."""
    with pytest.raises(ValueError, match="FrameStack is for one agent, the environment has 2"):
        FrameStack(make("battle_grid", num_agents=2), 2)
    with pytest.raises(ValueError, match="at least 1 frame, got 0"):
        FrameStack(ScriptedEnv([[0.0]], [[0]]), 0)

    class Odd(Wrapper):
        def reset(self):
            return {"obs": torch.zeros(1)}

    with pytest.raises(EnvironmentContractError, match=r"obs must be a tensor \[1, 1, 1, 1\]"):
        FrameStack(Odd(ScriptedEnv([[0.0]], [[0]])), 2).reset()


class Named(SimEnv):
    """Shows, by name, a distractor and the action that pays 1; cut short after each fourth step."""

    observation_space = spaces.Dict(
        {"noise": spaces.Box(-1, 1, (2, 3)), "wanted": spaces.Tuple((spaces.Discrete(2),))}
    )
    action_space = spaces.Discrete(2)

    def __init__(self, num_envs):
        super().__init__()
        self.num_envs, self.taken = num_envs, 0
        self.generator = torch.Generator().manual_seed(0)

    def reset(self):
        self.taken = 0
        return {"obs": self._draw()}

    def step(self, actions):
        self.taken += 1
        reward = (actions == self.wanted).float()
        cut = torch.full((self.num_envs,), self.taken % 4 == 0)
        info = {"truncated": cut, "final_obs": self._draw()}
        return {"obs": self._draw()}, reward, cut, info

    def _draw(self):
        self.wanted = torch.randint(2, (self.num_envs,), generator=self.generator)
        noise = torch.rand(self.num_envs, 2, 3, generator=self.generator)
        return {"noise": noise, "wanted": (self.wanted,)}


class ByName(NamedPolicy):
    """Looks at `wanted.0` alone."""

    def __init__(self, obs_space, action_space):
        super().__init__(obs_space)
        self.actor = torch.nn.Linear(2, int(action_space.n))
        self.critic = torch.nn.Linear(6, 1)
        self.seen = set()

    def act(self, obs):
        self.seen |= {(name, *value.shape[1:]) for name, value in obs.items()}
        return self.actor(obs["wanted.0"]), self.critic(obs["noise"].flatten(1))


@pytest.mark.system
def test_a_policy_takes_observations_by_name():
    """In training it sees tensors in their own shapes, and learns what their names mean."""
    torch.manual_seed(0)
    env = FlattenObservation(Named(32))
    assert env.observation_space.shape == (1, 1, 8)
    policy = ByName(env.observation_space, env.action_space)
    settings = PPOConfig.for_task(num_envs=32, max_steps=8, lr=0.05)
    history = train(env, policy, settings, episodes=12, seed=0)
    assert policy.seen == {("noise", 2, 3), ("wanted.0", 2)}
    assert history[-1].mean_return > 3.5  # of 4, and 2 by chance


def test_a_named_policy_needs_names():
    """Of plain and of stacked observations there are none."""
    env = FlattenObservation(Named(2))
    named = NormalizeObservation(env).observation_space
    assert ByName(named, env.action_space).layout is env.layout
    with pytest.raises(ValueError, match="no named fields"):
        ByName(FrameStack(env, 2).observation_space, env.action_space)


def test_observations_that_do_not_fit_their_space_are_the_environment_s_fault():
    """One line says which entry it is."""

    class Misfit(Named):
        def _draw(self):
            return super()._draw() | {"wanted": (torch.full((self.num_envs,), 5),)}

    with pytest.raises(EnvironmentContractError, match=r"obs does not fit .* 'wanted\.0' is 5"):
        FlattenObservation(Misfit(2)).reset()


class Rooms(gymnasium.Env):
    """Gymnasium's kind of environment with a dictionary of observations."""

    observation_space = spaces.Dict(
        {"noise": spaces.Box(0.0, 1.0, (2, 3)), "wanted": spaces.Tuple((spaces.Discrete(2),))}
    )
    action_space = spaces.Discrete(2)

    def reset(self, *, seed=None, options=None):
        super().reset(seed=seed)
        return self._shown(), {}

    def step(self, action):
        paid = float(action == self.wanted)
        return self._shown(), paid, bool(self.np_random.random() < 0.3), False, {}

    def _shown(self):
        self.wanted = int(self.np_random.integers(2))
        return {"noise": self.np_random.random((2, 3)), "wanted": (self.wanted,)}


@pytest.mark.system
def test_gymnasium_s_dictionaries_come_by_name_too():
    """Through the adapter and through wrappers that keep the names."""
    torch.manual_seed(0)
    vector = gymnasium.vector.SyncVectorEnv([Rooms] * 8)
    env = NormalizeObservation(adapter.GymEnv(vector, seed=1))
    policy = ByName(env.observation_space, env.action_space)
    settings = PPOConfig.for_task(num_envs=8, max_steps=32, lr=0.05)
    train(env, policy, settings, episodes=12, seed=0)
    assert policy.seen == {("noise", 2, 3), ("wanted.0", 2)}
    played = play(env.eval(), greedy(policy, 2), max_steps=50)
    assert (played.returns == played.lengths).all()
