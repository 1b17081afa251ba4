"""Many of one environment: modes, and that none of them changes what happens."""

import os
import time

import gymnasium
import numpy as np
import pytest
import torch
from gymnasium import spaces

from simverse.envs import make
from simverse.envs.gym_vectors import ASYNC_PAYS_S, make_vector


class Slow(gymnasium.Env):
    """Takes its time for each step, and shows words beside a number."""

    observation_space = spaces.Dict(at=spaces.Box(0, 1, (1,)), said=spaces.Text(4))
    action_space = spaces.Discrete(2)

    def __init__(self, step_s=0.0):
        self.step_s = step_s

    def reset(self, *, seed=None, options=None):
        super().reset(seed=seed)
        return self.seen(), {}

    def step(self, action):
        if self.step_s:  # even 0 seconds would let others run first
            time.sleep(self.step_s)
        return self.seen(), 1.0, self.np_random.random() < 0.3, False, {}

    def seen(self):
        return {"at": np.float32([self.np_random.random()]), "said": "go"}


@pytest.fixture(scope="module", autouse=True)
def _registered():
    gymnasium.register("SimverseSlow-v0", Slow)
    yield
    del gymnasium.registry["SimverseSlow-v0"]


def course(mode, steps=8):
    """Return everything that two sub-environments show in a mode."""
    env = make(f"gym:SimverseSlow-v0?without=said&vectorization_mode={mode}", num_envs=2, seed=4)
    shown = [env.reset()["obs"].flatten()]
    for _ in range(steps):
        payload, _, done, info = env.step(torch.zeros(2))
        shown.append(torch.cat([payload["obs"].flatten(), done, info["final_obs"].flatten()]))
    env.close()
    return torch.cat(shown)


def test_processes_change_nothing_but_the_time():
    """The same seed has the same course in `sync` and in `async`, ends and text included."""
    here, elsewhere = course("sync"), course("async")
    assert torch.equal(here, elsewhere)
    assert len(here.unique()) > 10


@pytest.mark.parametrize("step_s", [0.0, 4 * ASYNC_PAYS_S])
def test_processes_are_taken_where_steps_are_slow(step_s):
    """`auto` measures: by the seconds of a step, on more than one core."""
    spec = gymnasium.spec("SimverseSlow-v0")
    vector = make_vector(spec, 2, mode="auto", options={"step_s": step_s})
    vector.close()
    is_slow = step_s > ASYNC_PAYS_S and os.cpu_count() > 1
    assert isinstance(vector, gymnasium.vector.AsyncVectorEnv) == is_slow


@pytest.mark.parametrize(
    ("name", "says"),
    [
        ("CartPole-v1?vectorization_mode=asink", "one of sync, async, .* did you mean async?"),
        ("CartPole-v1?mass=2", "cannot make 'CartPole-v1': .* unexpected keyword argument 'mass'"),
        ("CartPole-v1?wrappers=TimeLimit", "cannot make 'CartPole-v1': .* 'max_episode_steps'"),
        (
            "CartPole-v1?wrappers=ClipReward&vectorization_mode=vector_entry_point",
            "Cannot use `vector_entry_point` .* with the wrappers",
        ),
    ],
)
def test_what_gymnasium_refuses_is_one_line(name, says):
    """Unknown modes, constructor arguments and wrappers that lack theirs."""
    with pytest.raises(ValueError, match=says) as caught:
        make(f"gym:{name}", num_envs=2)
    assert "\n" not in str(caught.value)
