"""What the policy sees of Breakout: the world's four layers as they are, and its reward alone."""

from collections.abc import Mapping

import gymnasium as gym
import torch

LAYERS = ("paddle", "ball", "trail", "bricks")  # observation channels


def observation_space(view_spaces: Mapping[str, gym.spaces.Box]) -> gym.spaces.Box:
    """One channel a layer, values 0 or 1."""
    height, width = view_spaces[LAYERS[0]].shape
    return gym.spaces.Box(0.0, 1.0, shape=(len(LAYERS), height, width))


def observe(view: Mapping[str, torch.Tensor]) -> torch.Tensor:
    """The layers of a view, bool `[N, 10, 10]` each, as float32 `[N, 4, 10, 10]`."""
    return torch.stack([view[layer] for layer in LAYERS], dim=1).float()
