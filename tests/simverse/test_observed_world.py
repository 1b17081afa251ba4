"""A world as training sees it: observations by the candidate, the reward as it shapes it."""

from types import SimpleNamespace

import pytest
import torch
from torch import nn

from simverse.core.checks import WORLD_REWARD
from simverse.core.config import EnvConfig
from simverse.core.world import World
from simverse.envs import make
from simverse.errors import EnvironmentContractError
from simverse.training.ppo import train
from simverse.training.rollout import ActorCritic, Collector
from simverse.worlds import from_env
from simverse.worlds.observed import ObservedWorld
from simverse.worlds.perception import Perception
from tests.simverse.fakes import ACTIONS, CountingWorld, LinearCritic, config

SPACE = SimpleNamespace(shape=(1, 1, 1))


def module(**members):
    """Return a module of a candidate's that has these members."""
    return SimpleNamespace(**{"observation_space": lambda spaces: SPACE} | members)


def counted(view):
    """Observe the count alone."""
    return view["count"].float().view(-1, 1, 1, 1)


class Stack:
    """Observes the last three counts, the newest first, 9 where the episode has had none."""

    def __init__(self):
        self.frames = None

    def reset(self, view, mask):
        if self.frames is None:
            self.frames = torch.full((len(mask), 3), 9.0)
        self.frames[mask] = 9.0

    def __call__(self, view):
        self.frames = torch.cat((view["count"].float().unsqueeze(1), self.frames[:, :2]), dim=1)
        return self.frames.view(-1, 1, 1, 3)


def stacked(world, **members):
    """Return a world seen through the last three frames."""
    space = SimpleNamespace(shape=(1, 1, 3))
    seen = module(Observer=Stack, observation_space=lambda spaces: space, **members)
    return ObservedWorld(world, Perception.of(seen))


def observed(world, **members):
    """Return a world whose count is observed."""
    return ObservedWorld(world, Perception.of(module(**{"observe": counted} | members)))


def steps(env, number):
    """Return what some steps of action 0 give."""
    env.reset()
    return [env.step(torch.zeros(env.num_envs).long()) for _ in range(number)]


# -- what a candidate may define -----------------------------------------------------------------


@pytest.mark.parametrize(
    ("members", "message"),
    [
        ({"create_env": counted}, "defines create_env(), but this task has a world of its own"),
        ({"create_env": counted}, "define observation_space(view_spaces) and observe(view)"),
        ({}, "defines neither observe(view) nor a class Observer: define one of them"),
        ({"observe": counted, "Observer": Stack}, "defines both observe(view) and a class"),
        ({"observe": 3}, "candidate/env.py: observe is no function"),
        ({"observe": counted, "shape_reward": 1.0}, "shape_reward is no function"),
        ({"observe": counted, "observation_space": None}, "lacks observation_space()"),
    ],
)
def test_what_a_candidate_must_define(members, message):
    """Each mistake is named with what to do instead."""
    with pytest.raises(EnvironmentContractError) as caught:
        Perception.of(module(**members))
    assert message in str(caught.value)


def test_the_space_is_made_from_the_world_s():
    """`view_spaces` are those that the world declares, else what its dtypes say."""
    given = []

    def space(view_spaces):
        given.append(view_spaces)
        return SPACE

    observed(CountingWorld([2]), observation_space=space)
    world = CountingWorld([2])
    world.view_spaces = {"count": "declared"}
    observed(world, observation_space=space)
    assert given[0]["count"].shape == ()
    assert given[1] == {"count": "declared"}


@pytest.mark.parametrize("shape", [(1, 1), None, (0, 1, 1), "CHW"])
def test_the_space_has_three_axes(shape):
    """Anything else is refused before the first step."""
    space = SimpleNamespace(shape=shape)
    with pytest.raises(EnvironmentContractError, match="must be \\(C, H, W\\)"):
        observed(CountingWorld([2]), observation_space=lambda spaces: space)


def test_observations_are_tensors():
    """`observe` that returns something else is told what it returned."""
    with pytest.raises(EnvironmentContractError, match=r"must return a tensor .*, got a list"):
        observed(CountingWorld([2]), observe=lambda view: [0.0]).reset()


# -- what is seen --------------------------------------------------------------------------------


def test_seen_as_it_is_a_world_is_its_environment():
    """An environment as a world, observed as it is, trains to the same weights to the bit."""
    shape = make("snake", num_envs=8).observation_space.shape
    plain = module(observe=lambda view: view["obs"], observation_space=lambda spaces: spaces["obs"])
    weights = []
    for wrap in (False, True):
        env = make("snake", num_envs=8, seed=3)
        if wrap:
            env = ObservedWorld(from_env(env), Perception.of(plain))
            assert env.describe() == make("snake", num_envs=1).describe()
        torch.manual_seed(0)
        policy = Linear(shape, env.action_space.n)
        history = train(env, policy, config(max_steps=60, buffer_size=256), episodes=2, seed=1)
        weights.append((policy.body.weight.detach().clone(), [h.mean_return for h in history]))
    assert torch.equal(weights[0][0], weights[1][0])
    assert weights[0][1] == weights[1][1]


class Linear(nn.Module):
    def __init__(self, shape, actions):
        super().__init__()
        self.body = nn.Linear(torch.Size(shape).numel(), actions + 1)

    def forward(self, obs):
        out = self.body(obs.flatten(1))
        return out[:, :-1], out[:, -1:]


def test_stateless_observers_see_each_view():
    """The first view, each step's, and the mark of a frozen world."""
    env = observed(CountingWorld([2, 3], "frozen"))
    assert env.reset()["obs"].flatten().tolist() == [0.0, 0.0]
    seen = []
    for _ in range(3):
        payload, reward, done, _ = env.step(torch.zeros(2).long())
        assert payload["done"].tolist() == done.tolist()
        seen.append([*payload["obs"].flatten().tolist(), *reward.tolist(), *done.tolist()])
    assert seen == [[1, 1, 1, 1, 0, 0], [2, 2, 2, 2, 1, 0], [2, 3, 0, 3, 1, 1]]
    assert "done" not in observed(CountingWorld([2])).reset()


@pytest.mark.parametrize(
    ("ending", "frames"),
    [
        # Lengths 2 and 3; the newest first. An episode's first frame is alone in its stack.
        ("reset", [[[1, 0, 9], [0, 9, 9], [1, 0, 9]], [[1, 0, 9], [2, 1, 0], [0, 9, 9]]]),
        ("void", [[[1, 0, 9], [2, 1, 0], [0, 9, 9]], [[1, 0, 9], [2, 1, 0], [3, 2, 1]]]),
        ("frozen", [[[1, 0, 9], [2, 1, 0], [2, 2, 1]], [[1, 0, 9], [2, 1, 0], [3, 2, 1]]]),
    ],
)
def test_a_frame_stack_forgets_with_the_episode(ending, frames):
    """Whichever way episodes end, and from rollout to rollout."""
    env = stacked(CountingWorld([2, 3], ending))
    for _ in range(2):
        assert env.reset()["obs"].view(2, 3).tolist() == [[0, 9, 9]] * 2
        seen = [env.step(torch.zeros(2).long())[0]["obs"].view(2, 3).clone() for _ in range(3)]
        assert torch.stack(seen, dim=1).tolist() == frames


def test_cut_episodes_are_observed_to_their_end():
    """`final_obs` is what the observer makes of the final view; it remembers nothing of that."""
    env = stacked(CountingWorld([2, 3], cut=True))
    env.reset()
    seen, cut, final = [], [], []
    for _ in range(4):
        payload, _, _, info = env.step(torch.zeros(2).long())
        seen.append(payload["obs"].view(2, 3).tolist())  # a live buffer
        cut.append(info["truncated"].tolist())
        final.append(info["final_obs"].view(2, 3).tolist())
    assert cut == [[False, False], [True, False], [False, True], [True, False]]
    assert (final[1][0], final[2][1], final[3][0]) == ([2, 1, 0], [3, 2, 1], [2, 1, 0])
    assert [row[0] for row in seen] == [[1, 0, 9], [0, 9, 9], [1, 0, 9], [0, 9, 9]]


@pytest.mark.parametrize("cut", [False, True])
def test_only_cut_episodes_are_bootstrapped(cut):
    """From the critic's value of the final view: twice the count of 2 and 3, else nothing."""
    env = observed(CountingWorld([2, 3], cut=cut))
    running = Collector(
        env,
        ActorCritic(LinearCritic(scale=2.0), ACTIONS),
        slots=3,
        generator=torch.Generator().manual_seed(0),
        device=torch.device("cpu"),
    )
    running.begin()
    rollout = running.collect(3)
    assert rollout.dones.tolist() == [[False, False], [True, False], [False, True]]
    expected = [[0.0, 0.0], [4.0, 0.0], [0.0, 6.0]] if cut else [[0.0, 0.0]] * 3
    assert rollout.final_values.tolist() == expected
    targets = rollout.batch(config(gae_lambda=0.0, gamma=0.5)).returns.view(3, 2).tolist()
    # Reward and half the value, twice the count, of what follows; the last is what is cut off.
    first, second = (2.0 + 2.0, 3.0 + 3.0) if cut else (2.0, 3.0)
    assert targets == [[1.0 + 1.0, 1.0 + 2.0 - 1.0], [first, 2.0 + 2.0], [1.0 + 1.0, second]]


# -- what training pays --------------------------------------------------------------------------


def test_without_shaping_training_sees_the_world_s_reward():
    """And nothing is said of parts or of another reward."""
    info = steps(observed(CountingWorld([2])), 1)[0][3]
    assert set(info) == {"success"}


def test_shaping_sees_before_and_after():
    """The view before the action and that which ended the episode, though buffers are live.

    An episode that was cut short is not done: its value goes on.
    """
    seen = []

    def shape_reward(before, actions, after, reward, done):
        seen.append((before["count"].tolist(), after["count"].tolist(), done.tolist()))
        return 10.0 * reward + actions

    env = observed(CountingWorld([2], cut=True), shape_reward=shape_reward)
    env.reset()
    found = [env.step(torch.ones(1).long()) for _ in range(3)]
    assert seen == [([0], [1], [False]), ([1], [2], [False]), ([0], [1], [False])]
    assert [reward.tolist() for _, reward, *_ in found] == [[11.0], [21.0], [11.0]]
    assert [info[WORLD_REWARD].tolist() for *_, info in found] == [[1.0], [2.0], [1.0]]


def test_parts_are_summed_and_named():
    """A dict of parts is the reward's sum, of whatever dtypes."""

    def shape_reward(before, actions, after, reward, done):
        return {"world": reward, "bonus": torch.full_like(reward, 0.5), "over": done}

    _, reward, _, info = steps(observed(CountingWorld([1, 2]), shape_reward=shape_reward), 1)[0]
    assert reward.tolist() == [2.5, 1.5]
    assert {name: part.tolist() for name, part in info["reward_parts"].items()} == {
        "world": [1.0, 1.0],
        "bonus": [0.5, 0.5],
        "over": [True, False],
    }


def test_shaping_in_place_leaves_the_world_s_reward():
    """`reward += bonus` changes what training sees, not what is recorded of the world."""

    def shape_reward(before, actions, after, reward, done):
        reward += 100.0
        return reward

    _, reward, _, info = steps(observed(CountingWorld([2]), shape_reward=shape_reward), 1)[0]
    assert (reward.tolist(), info[WORLD_REWARD].tolist()) == ([101.0], [1.0])


@pytest.mark.parametrize(
    ("returned", "message"),
    [
        (1.0, "a tensor [2] or a dict of them, got float for 'reward'"),
        (torch.zeros(2, 1), "a tensor [2] or a dict of them, got [2, 1] for 'reward'"),
        ({"a": torch.zeros(2), "b": 0.0}, "got float for 'b'"),
        ({"a": torch.zeros(3)}, "got [3] for 'a'"),
        ({}, "shape_reward() returned a dict without a part"),
        (None, "got NoneType for 'reward'"),
    ],
)
def test_shaped_rewards_are_refused(returned, message):
    """What is no tensor `[N]`, nor a dict of them, with its name."""
    env = observed(CountingWorld([2, 2]), shape_reward=lambda *_: returned)
    with pytest.raises(EnvironmentContractError) as caught:
        steps(env, 1)
    assert message in str(caught.value)


def test_statistics_tell_the_two_rewards_apart():
    """`mean_return` is the world's, of each first episode; `shaped_return` what training saw."""

    def shape_reward(before, actions, after, reward, done):
        return {"half": 0.5 * reward, "tax": torch.full_like(reward, -1.0)}

    env = observed(CountingWorld([2, 3], max_steps=4), shape_reward=shape_reward)
    for buffer_size in (8, 4):  # as a whole, and in segments of two steps
        found = train(
            env, LinearCritic(), config(buffer_size=buffer_size, max_steps=4), episodes=1, seed=0
        )[0]
        assert found.mean_return == pytest.approx(((1 + 2) + (1 + 2 + 3)) / 2)
        assert found.reward_parts == pytest.approx({"half": 4.5 / 2, "tax": -2.5})
        assert found.shaped_return == pytest.approx(4.5 / 2 - 2.5)
        assert found.solve_rate == 1.0
    plain = observed(CountingWorld([2, 3], max_steps=4))
    assert train(plain, LinearCritic(), config(), episodes=1, seed=0)[0].shaped_return is None


class Changing(CountingWorld):
    """A world whose view changes its dtype at the second reset."""

    resets = 0

    def reset(self):
        self.resets += 1
        view = super().reset()
        return view if self.resets == 1 else {"count": view["count"].float()}


def test_worlds_that_break_their_contract_later():
    """A later view of other dtypes is the world's fault, named."""
    env = observed(Changing([2]))
    env.reset()
    with pytest.raises(EnvironmentContractError, match=r"'count' must be torch\.int64"):
        env.reset()


def test_the_first_view_is_not_drawn_in_vain():
    """The world is reset once before its first step, so its course is that of the world alone."""
    world = Changing([2])
    observed(world).reset()
    assert world.resets == 1
    assert isinstance(world, World)


def test_named_worlds_are_trained(tmp_path):
    """CartPole as a world in one line, with its own success and horizon."""
    world = from_env("gym:CartPole-v1", EnvConfig(num_envs=4))
    plain = module(observe=lambda view: view["obs"], observation_space=lambda spaces: spaces["obs"])
    env = ObservedWorld(world, Perception.of(plain))
    assert env.max_steps == 500
    history = train(env, Linear((1, 1, 4), 2), config(max_steps=50), episodes=1, seed=0)
    assert history[0].mean_return > 0
    env.close()
