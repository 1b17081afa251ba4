"""What the policy sees of the meta-maze: the view as one list of numbers, with no memory."""

from collections.abc import Mapping

import gymnasium as gym
import torch
from torch.nn.functional import one_hot

ACTIONS = 4
REWARD_SCALE = 10.0  # what the goal pays
TIME_SCALE = 200.0  # the horizon in steps


def observation_space(view_spaces: Mapping[str, gym.spaces.Box]) -> gym.spaces.Box:
    """Walls around, last action, last reward and time, one channel each, all within [0, 1]."""
    height, width = view_spaces["walls"].shape
    return gym.spaces.Box(0.0, 1.0, shape=(height * width + ACTIONS + 2, 1, 1))


def observe(view: Mapping[str, torch.Tensor]) -> torch.Tensor:
    """The view as float32 `[N, 15, 1, 1]`: 9 walls, 4 for the last action, last reward, time."""
    parts = (
        view["walls"].flatten(1),
        one_hot(view["last_action"], ACTIONS),
        view["last_reward"][:, None] / REWARD_SCALE,
        view["time"][:, None] / TIME_SCALE,
    )
    return torch.cat([part.float() for part in parts], dim=1)[:, :, None, None]
