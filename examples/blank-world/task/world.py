"""The task: a walk along a line, as a starting point. REPLACE IT WITH YOUR OWN.

This file is yours alone. The agent reads it and can't change it: what it pays is the score, what
it calls a success is one, and what it doesn't show stays hidden.
"""

from typing import Any

import gymnasium as gym
import torch
from torch import Tensor

from simverse.core.views import DONE
from simverse.core.world import View, World

LENGTH = 9  # cells of the line
MAX_STEPS = 20  # the horizon: how many steps an episode has
SLIP = 0.1  # share of steps that fail and leave the walker where it is

LEFT, RIGHT = range(2)

TARGET_REWARD = 1.0
STEP_COST = 0.02


class LineWalk(World):
    """`num_envs` walkers at once; one that has arrived stays there, `done`, until `reset`.

    The view, which is all that a policy may know:

    ============  =====  =====  =========================
    `walker`      int64  `[N]`  its cell, 0 to 8
    `target`      int64  `[N]`  the cell to go to
    `steps`       int64  `[N]`  taken in this episode
    `steps_left`  int64  `[N]`  until the horizon
    `done`        bool   `[N]`  over until `reset`
    ============  =====  =====  =========================

    Actions: 0 left, 1 right. At the ends of the line a step further does nothing.
    Reward: 1.0 for arriving, less 0.02 a step. Success: the walker stands on the target.
    Hidden: which steps will fail.
    """

    max_steps = MAX_STEPS
    reward_bound = 1.0  # the largest magnitude of one step's reward

    def __init__(
        self,
        config: Any,
        *,
        num_envs: int | None = None,
        device: str | torch.device = "cpu",
        dtype: torch.dtype = torch.float32,
    ) -> None:
        super().__init__(device=device, dtype=dtype)
        self.num_envs = int(config.num_envs if num_envs is None else num_envs)
        self.action_space = gym.spaces.Discrete(2)
        # Draw whatever varies from this generator, never from the global one.
        self.generator = torch.Generator(device=self.device).manual_seed(int(config.seed))

        # The state: one row for each sub-environment, registered so that `.to(device)` moves it.
        for name in ("walker", "target", "steps"):
            self.register_buffer(name, self._zeros(torch.int64))
        self.register_buffer("done", self._zeros(torch.bool))

    def describe(self) -> str:
        return f"Walk to the target on a line of {LENGTH} cells."

    def reset(self) -> View:
        """Start a fresh episode in every sub-environment; return the first view."""
        self.walker.copy_((self._rand() * LENGTH).long())
        elsewhere = 1 + (self._rand() * (LENGTH - 1)).long()
        self.target.copy_((self.walker + elsewhere) % LENGTH)
        self.steps.zero_()
        self.done.zero_()
        return self._view()

    def step(self, actions: Tensor) -> tuple[View, Tensor, Tensor, dict[str, Any]]:
        """Take a step. Actions `[N]` int64; what is finished changes no more.

        Returns the view, the reward `[N]`, done `[N]` bool, and `success` `[N]` bool in info.
        """
        live = ~self.done
        walks = live & (self._rand() >= SLIP)
        direction = torch.where(actions == RIGHT, 1, -1)
        self.walker.copy_((self.walker + direction * walks).clamp(0, LENGTH - 1))
        self.steps += live

        arrived = self.walker == self.target
        reward = (TARGET_REWARD * arrived - STEP_COST) * live
        self.done |= arrived | (self.steps >= self.max_steps)
        return self._view(), reward.to(self.dtype), self.done.clone(), {"success": arrived}

    def _view(self) -> View:
        return {
            "walker": self.walker,
            "target": self.target,
            "steps": self.steps,
            "steps_left": self.max_steps - self.steps,
            DONE: self.done,
        }

    def _rand(self) -> Tensor:
        """Numbers `[N]`, from 0 to below 1."""
        return torch.rand(self.num_envs, generator=self.generator, device=self.device)

    def _zeros(self, dtype: torch.dtype) -> Tensor:
        return torch.zeros(self.num_envs, dtype=dtype, device=self.device)


def create_world(
    config: Any,
    *,
    num_envs: int | None = None,
    device: str | torch.device = "cpu",
    dtype: torch.dtype = torch.float32,
) -> LineWalk:
    """Build the world; all that it draws follows from `config.seed`."""
    return LineWalk(config, num_envs=num_envs, device=device, dtype=dtype)
