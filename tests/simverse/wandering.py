"""A Gymnasium environment with ends of every kind, alone and as a batch of ours."""

import gymnasium
import numpy as np
import pytest
from gymnasium import spaces

from simverse.envs import gym as adapter

MODES = ("SAME_STEP", "NEXT_STEP", "DISABLED")


class Wandering(gymnasium.Env):
    """Shows random numbers of very different scales and pays random rewards, all of its own seed.

    An episode ends, or is cut short, after `length` steps.
    """

    observation_space = spaces.Box(-np.inf, np.inf, shape=(3,))
    action_space = spaces.Discrete(2)

    def __init__(self, length, cut=False):
        self.length, self.cut, self.taken = length, cut, 0

    def reset(self, *, seed=None, options=None):
        super().reset(seed=seed)
        self.taken = 0
        return self._shown(), {}

    def step(self, action):
        self.taken += 1
        over = self.taken >= self.length
        reward = float(self.np_random.normal(3.0, 20.0))
        return self._shown(), reward, over and not self.cut, over and self.cut, {}

    def _shown(self):
        drawn = self.np_random.normal([1e3, 0.0, -2.0], [100.0, 1e-3, 1.0])
        return drawn.astype(np.float32)


LENGTHS = ((2, False), (3, True), (5, False))


def vectorised(mode, lengths=LENGTHS):
    """Return Gymnasium's vector environment of wanderers, `(length, cut)` each."""
    parts = [lambda length=length, cut=cut: Wandering(length, cut) for length, cut in lengths]
    modes = getattr(gymnasium.vector, "AutoresetMode", None)
    if modes is None:
        pytest.skip("this Gymnasium knows one mode only")
    return gymnasium.vector.SyncVectorEnv(parts, autoreset_mode=getattr(modes, mode))


def wanderers(mode, lengths=LENGTHS, seed=7):
    """Return the same under our contract."""
    return adapter.GymEnv(vectorised(mode, lengths), seed=seed)
