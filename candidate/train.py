"""The starter policy: the observation goes straight to the heads. No settings of its own yet.

START HERE once env.py has something to learn. A numeric constant at module level, such as a
learning rate, is what the embedded search tunes; `# range: low..high` behind it says how far.
"""

from typing import Any

import torch
from torch import nn


class Policy(nn.Module):
    """No hidden layer: one linear head for the actions and one for the value."""

    def __init__(self, obs_shape: tuple[int, ...], actions: int) -> None:
        super().__init__()
        channels, height, width = obs_shape
        self.action_head = nn.Linear(channels * height * width, actions)
        self.value_head = nn.Linear(channels * height * width, 1)

    def forward(self, obs: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Observations `[B, C, H, W]` to logits `[B, n]` and values `[B, 1]`."""
        features = obs.flatten(start_dim=1)
        return self.action_head(features), self.value_head(features)


def build_policy(obs_space: Any, action_space: Any) -> nn.Module:
    """Build an untrained policy for the environment's spaces."""
    return Policy(obs_space.shape, int(action_space.n))


def training_overrides(*, num_envs: int, max_steps: int, device: str) -> dict[str, Any]:
    """Return the PPO settings that differ from the evaluator's defaults: none so far."""
    del num_envs, max_steps, device
    return {}
