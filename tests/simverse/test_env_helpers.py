from types import SimpleNamespace

import pytest
import torch

from simverse.core.env import SimEnv
from tests.simverse.fakes import ScriptedEnv


def make(num_envs=3, num_agents=1, **buffers):
    """Return an environment with these buffers registered."""
    env = ScriptedEnv([[0.0] * num_envs], [[0] * num_envs])
    env.num_agents = num_agents
    for name, value in buffers.items():
        env.register_buffer(name, value)
    return env


# -- how many ------------------------------------------------------------------------------------


def test_num_envs_comes_from_argument_config_or_default():
    """The argument wins over the config, which wins over the default."""
    given = SimpleNamespace(num_envs=5)
    assert SimEnv._resolve_num_envs(7, given, default=32) == 7
    assert SimEnv._resolve_num_envs(None, given, default=32) == 5
    assert SimEnv._resolve_num_envs(None, SimpleNamespace(num_envs=None), default=32) == 32
    assert SimEnv._resolve_num_envs(None, SimpleNamespace()) == 1


def test_num_envs_must_be_positive():
    """No sub-environments is a mistake, not a request for the default."""
    with pytest.raises(ValueError, match="at least 1, got 0"):
        SimEnv._resolve_num_envs(0, SimpleNamespace(num_envs=5))


# -- actions of one agent ------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("actions", "expected"),
    [
        (None, [-1, -1, -1]),
        ([0, 1, 2], [0, 1, 2]),
        (torch.tensor([0, 1, 2], dtype=torch.int32), [0, 1, 2]),
        (torch.tensor([[0], [1], [2]]), [0, 1, 2]),
        (torch.tensor(2), [2, 2, 2]),
        (2, [2, 2, 2]),
        ([2], [2, 2, 2]),
        (torch.tensor([[2]]), [2, 2, 2]),
    ],
)
def test_single_agent_actions(actions, expected):
    """Every accepted form becomes int64 `[N]`."""
    got = make()._normalize_single_agent_actions(actions)
    assert got.dtype == torch.int64
    assert got.tolist() == expected


@pytest.mark.parametrize(
    "actions", [[0, 1], [0, 1, 2, 3], torch.zeros(3, 2), torch.zeros(1, 3), torch.zeros(3, 1, 1)]
)
def test_single_agent_actions_of_a_wrong_shape(actions):
    """A wrong number or arrangement of actions is refused."""
    with pytest.raises(ValueError, match="actions"):
        make()._normalize_single_agent_actions(actions)


def test_single_agent_mapping():
    """A mapping is for one sub-environment; a missing key falls back as the caller says."""
    env = make(num_envs=1)
    assert env._normalize_single_agent_actions({0: 2}).tolist() == [2]
    assert env._normalize_single_agent_actions({}, missing_action=3).tolist() == [3]
    missing = env._normalize_single_agent_actions({}, missing_action=3, dict_default=1)
    assert missing.tolist() == [1]
    with pytest.raises(ValueError, match="num_envs == 1"):
        make(num_envs=2)._normalize_single_agent_actions({0: 1})


def test_missing_action_is_the_caller_s():
    """`None` means the caller's stand-in for no action."""
    assert make()._normalize_single_agent_actions(None, missing_action=4).tolist() == [4, 4, 4]


def test_a_repeated_action_can_be_written_to():
    """A single action repeated for all is a tensor of its own, not a view of one number."""
    got = make()._normalize_single_agent_actions(2)
    got[0] = 0
    assert got.tolist() == [0, 2, 2]


# -- actions of several agents -------------------------------------------------------------------


@pytest.mark.parametrize(
    ("num_envs", "num_agents", "actions", "expected"),
    [
        (2, 3, None, [[-1, -1, -1], [-1, -1, -1]]),
        (2, 3, [[0, 1, 2], [3, 4, 5]], [[0, 1, 2], [3, 4, 5]]),
        (1, 3, [0, 1, 2], [[0, 1, 2]]),
        (3, 1, [0, 1, 2], [[0], [1], [2]]),
        (3, 1, torch.tensor([[0.0], [1.0], [2.0]]), [[0], [1], [2]]),
    ],
)
def test_action_matrix(num_envs, num_agents, actions, expected):
    """Every accepted form becomes int64 `[N, A]`."""
    got = make(num_envs, num_agents)._normalize_action_matrix(actions)
    assert got.dtype == torch.int64
    assert got.tolist() == expected


@pytest.mark.parametrize("actions", [[0, 1], [0, 1, 2, 3, 4, 5], torch.zeros(3, 2), torch.zeros(2)])
def test_action_matrix_of_a_wrong_shape(actions):
    """A shape that is not `[N, A]`, or 1-D where that is ambiguous, is refused."""
    with pytest.raises(ValueError, match=r"must have shape \(2, 3\)"):
        make(2, 3)._normalize_action_matrix(actions)


def test_action_matrix_of_other_agents():
    """`num_agents` and `missing_action` can be given for the call."""
    got = make(2, 1)._normalize_action_matrix(None, num_agents=2, missing_action=0)
    assert got.tolist() == [[0, 0], [0, 0]]


# -- agents, rewards, state ----------------------------------------------------------------------


def test_agents_are_counted():
    """The expected number of agents is remembered, another refused by the label's name."""
    env = make(num_agents=2)
    env._assign_agents(["a", "b"])
    assert env.agents == ["a", "b"]
    env.assign_agents(["c", "d"])
    assert env.agents == ["c", "d"]
    with pytest.raises(ValueError, match="Maze expects 1 agent"):
        env._assign_agents(["a", "b"], expected_count=1, label="Maze")


def test_empty_rewards():
    """Rewards start as zeros `[N, A]` in the environment's dtype."""
    env = make(num_envs=2, num_agents=3).double()
    assert env._empty_rewards().shape == (2, 3)
    assert env._empty_rewards(num_agents=1).dtype == torch.float64


def test_reset_episode_state():
    """`done` and `steps` are zeroed and `winner` filled, in place."""
    done, steps, winner = torch.ones(3).bool(), torch.full((3,), 7), torch.zeros(3).long()
    env = make(done=done, steps=steps, winner=winner)
    env._reset_episode_state(winner_none=-2)
    assert not done.any()
    assert steps.tolist() == [0, 0, 0]
    assert winner.tolist() == [-2, -2, -2]
    env._reset_episode_state()
    assert winner.tolist() == [-1, -1, -1]
    make()._reset_episode_state()  # without those buffers there is nothing to do


# -- payloads ------------------------------------------------------------------------------------


def test_payloads_carry_the_state_there_is():
    """Observation and info add `done`, `winner` and `steps` when the environment has them."""
    obs = torch.zeros(3, 1, 1, 1)
    bare = make()
    assert set(bare._pack_observation_dict(obs)) == {"obs"}
    assert bare._build_info() == {}
    full = make(done=torch.zeros(3).bool(), steps=torch.zeros(3), winner=torch.zeros(3))
    packed = full._pack_observation_dict(obs, extra={"health": obs})
    assert set(packed) == {"obs", "done", "winner", "steps", "health"}
    assert set(full._build_info(extra={"success": obs})) >= {"winner", "steps", "success"}


def test_payloads_are_live_until_asked_otherwise():
    """Payloads alias buffers in fast mode, which is the default, and are clones without it."""
    done = torch.zeros(3).bool()
    env = make(done=done)
    obs = torch.zeros(3, 1, 1, 1)
    assert env.clone_payload_tensors is False
    live = env._pack_observation_dict(obs, extra={"health": obs})
    assert live["obs"] is obs
    assert live["done"] is done
    assert env._pack_observation_dict(obs, clone_obs=True)["obs"] is not obs
    env.set_fast_payload_mode(False)
    cloned = env._pack_observation_dict(obs, extra={"health": obs})
    assert cloned["obs"] is not obs
    assert cloned["done"] is not done
    assert cloned["health"] is not obs
    assert env._build_info(extra={"success": done, "note": "x"})["success"] is not done
    env.set_fast_payload_mode(True)
    assert env._pack_observation_dict(obs)["obs"] is obs


# -- the base class ------------------------------------------------------------------------------


def test_device_and_dtype_follow_the_module():
    """Moving the environment changes what it says of itself, and its buffers with it."""
    env = make()
    assert (env.device, env.dtype) == (torch.device("cpu"), torch.float32)
    env.to(torch.float64)
    assert (env.dtype, env.live_obs.dtype) == (torch.float64, torch.float64)
    env.to("meta")
    assert (env.device.type, env.live_obs.device.type) == ("meta", "meta")
    assert env.float().dtype == torch.float32


def test_defaults_for_what_an_environment_need_not_define():
    """Description, closing and the current observation have sensible defaults."""
    env = make()
    assert env.describe() == "ScriptedEnv"
    assert env.close() is None
    env.step(torch.zeros(3))
    assert set(env.get_observation()) == {"obs"}


def test_the_contract_s_methods_are_demanded():
    """An environment without `step` cannot be made."""

    class Incomplete(SimEnv):
        action_space = observation_space = None

        def reset(self):
            return {}

    with pytest.raises(TypeError, match="step"):
        Incomplete()
