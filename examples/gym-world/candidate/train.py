"""The policy and the PPO settings."""

from typing import Any

import torch
from torch import nn

LEARNING_RATE = 1e-3  # range: 1e-4..1e-2
HIDDEN_DIM = 64  # range: 16..128
TRAINING_EPOCHS = 4  # range: 2..8 (passes over the transitions of each update)
TRANSITIONS_PER_UPDATE = 2048  # range: 512..8192
MINIBATCH_SIZE = 256  # range: 64..1024
GAMMA = 0.99  # range: 0.9..0.999
GAE_LAMBDA = 0.95  # range: 0.8..0.99
CLIP_EPSILON = 0.2  # range: 0.1..0.4
ENTROPY_COEF = 0.01  # range: 0.0001..0.05


class Policy(nn.Module):
    """Two hidden layers over the flattened observation, a head for actions, one for the value."""

    def __init__(self, inputs: int, actions: int) -> None:
        super().__init__()
        self.body = nn.Sequential(
            nn.Flatten(),
            nn.Linear(inputs, HIDDEN_DIM),
            nn.Tanh(),
            nn.Linear(HIDDEN_DIM, HIDDEN_DIM),
            nn.Tanh(),
        )
        self.action_head = nn.Linear(HIDDEN_DIM, actions)
        self.value_head = nn.Linear(HIDDEN_DIM, 1)

    def forward(self, obs: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Observations `[B, C, H, W]` to logits `[B, n]` and values `[B, 1]`."""
        features = self.body(obs)
        return self.action_head(features), self.value_head(features)


def build_policy(obs_space: Any, action_space: Any) -> nn.Module:
    """Build an untrained policy for the world's spaces."""
    channels, height, width = obs_space.shape
    return Policy(channels * height * width, int(action_space.n))


def training_overrides(*, num_envs: int, max_steps: int, device: str) -> dict[str, Any]:
    """Return the PPO settings that differ from the evaluator's defaults."""
    del num_envs, max_steps, device
    return {
        "lr": LEARNING_RATE,
        "training_epochs": TRAINING_EPOCHS,
        "buffer_size": TRANSITIONS_PER_UPDATE,
        "batch_size": MINIBATCH_SIZE,
        "gamma": GAMMA,
        "gae_lambda": GAE_LAMBDA,
        "clip_epsilon": CLIP_EPSILON,
        "entropy_coef": ENTROPY_COEF,
    }
