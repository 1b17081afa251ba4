from typing import Any

import torch
from torch import nn

CHANNELS = 96


class ConvPolicy(nn.Module):
    """Three 3 x 3 convolutions of 96 channels, then a linear head each for actions and value."""

    def __init__(self, obs_shape: tuple[int, ...], actions: int) -> None:
        super().__init__()
        planes, height, width = obs_shape
        self.body = nn.Sequential(
            nn.Conv2d(planes, CHANNELS, 3, padding=1),
            nn.ReLU(),
            nn.Conv2d(CHANNELS, CHANNELS, 3, padding=1),
            nn.ReLU(),
            nn.Conv2d(CHANNELS, CHANNELS, 3, padding=1),
            nn.ReLU(),
            nn.Flatten(),
        )
        self.action_head = nn.Linear(CHANNELS * height * width, actions)
        self.value_head = nn.Linear(CHANNELS * height * width, 1)

    def forward(self, obs: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Observations `[B, C, H, W]` to logits `[B, n]` and values `[B, 1]`."""
        features = self.body(obs)
        return self.action_head(features), self.value_head(features)


def build_policy(obs_space: Any, action_space: Any) -> nn.Module:
    """Build an untrained policy for the environment's spaces."""
    return ConvPolicy(obs_space.shape, int(action_space.n))


def training_overrides(*, num_envs: int, max_steps: int, device: str) -> dict[str, Any]:
    """Keep the defaults."""
    del num_envs, max_steps, device
    return {}
