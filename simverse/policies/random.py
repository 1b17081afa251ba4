from typing import Any

import torch
from torch import Tensor, nn

from simverse.core.distributions import action_distribution


class RandomPolicy(nn.Module):
    """Every action is as likely as any other, whatever the observation.

    For a box, which may have no bounds, they are standard normal numbers, clipped to it.
    """

    def __init__(self, action_space: Any) -> None:
        super().__init__()
        self.action_space = action_space

    def act(self, obs: Any) -> Any:
        """Sample an action from the space, which has its own generator."""
        del obs
        return self.action_space.sample()

    def forward(self, obs: Tensor) -> tuple[Tensor, Tensor]:
        """Return logits `[B, n]` and value `[B, 1]`, all 0, for `obs [B, C, H, W]`.

        For actions other than `Discrete` see `simverse.core.distributions`.
        """
        batch = obs.shape[0]
        width = action_distribution(self.action_space).width
        logits = torch.zeros((batch, width), device=obs.device)
        return logits, torch.zeros((batch, 1), device=obs.device)
