"""The policy and the PPO settings for key and door."""

from typing import Any

import torch
from torch import nn

LEARNING_RATE = 1e-3  # range: 3e-4..1e-2
HIDDEN_DIM = 32  # range: 16..128
TRAINING_EPOCHS = 4  # range: 2..8 (passes over the transitions of each update)
UPDATES_PER_EPISODE = 1  # range: 1..8 (equal parts a rollout is trained on in)
MINIBATCH_SIZE = 128  # range: 32..256
GAMMA = 0.99  # range: 0.9..0.995
GAE_LAMBDA = 0.95  # range: 0.8..0.99
CLIP_EPSILON = 0.2  # range: 0.1..0.4
ENTROPY_COEF = 0.02  # range: 0.001..0.05


class KeyDoorPolicy(nn.Module):
    """Two hidden layers over the flattened observation, a head for actions, one for the value."""

    def __init__(self, obs_shape: tuple[int, ...], actions: int) -> None:
        super().__init__()
        channels, height, width = obs_shape
        self.body = nn.Sequential(
            nn.Flatten(),
            nn.Linear(channels * height * width, HIDDEN_DIM),
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
    """Build an untrained policy for `observe`'s space and the world's actions."""
    return KeyDoorPolicy(obs_space.shape, int(action_space.n))


def training_overrides(*, num_envs: int, max_steps: int, device: str) -> dict[str, Any]:
    """Return the PPO settings that differ from the defaults; `max_steps` is the world's."""
    del device
    return {
        "lr": LEARNING_RATE,
        "training_epochs": TRAINING_EPOCHS,
        "buffer_size": num_envs * max(1, max_steps // UPDATES_PER_EPISODE),
        "batch_size": MINIBATCH_SIZE,
        "gamma": GAMMA,
        "gae_lambda": GAE_LAMBDA,
        "clip_epsilon": CLIP_EPSILON,
        "entropy_coef": ENTROPY_COEF,
    }
