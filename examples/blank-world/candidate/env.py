"""What the policy sees of the line, and how training rewards progress.

START HERE once task/world.py holds your own task: its views have other fields.
"""

from collections.abc import Mapping
from typing import Any

import gymnasium as gym
import torch
from torch import Tensor

LENGTH = 9  # cells of the line
WALKER, TARGET = range(2)  # observation channels

PROGRESS_REWARD = 0.02  # a cell nearer to the target; as much is lost a cell farther


def observation_space(view_spaces: Mapping[str, Any]) -> gym.spaces.Box:
    """Return the space of `observe`'s observations, `(2, 1, 9)`."""
    del view_spaces
    return gym.spaces.Box(0.0, 1.0, shape=(2, 1, LENGTH))


def observe(view: dict[str, Tensor]) -> Tensor:
    """Return observations `[N, 2, 1, 9]` float32: 1 in the walker's cell, and in the target's."""
    cells = torch.arange(LENGTH, device=view["walker"].device)
    planes = [view[name][:, None] == cells for name in ("walker", "target")]
    return torch.stack(planes, dim=1)[:, :, None, :].float()


def shape_reward(
    before: dict[str, Tensor],
    actions: Tensor,
    after: dict[str, Tensor],
    reward: Tensor,
    done: Tensor,
) -> dict[str, Tensor]:
    """Return the parts `[N]` that training pays for: the task's own reward, and progress."""
    del actions, done
    progress = _distance(before) - _distance(after)
    return {"task": reward, "progress": PROGRESS_REWARD * progress}


def _distance(view: dict[str, Tensor]) -> Tensor:
    return (view["walker"] - view["target"]).abs()
