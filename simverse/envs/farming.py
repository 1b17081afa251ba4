"""Farming: sow, walk on while it grows, come back to reap."""

from typing import Any

import torch
from torch import Tensor

from simverse.core.env import Actions
from simverse.envs.base import BatchedEnv, Step

SIZE = 5
WORK = 4
FERTILE_SHARE = 0.4  # of the plots
FERTILE_STEPS = 5  # from sowing to ripeness
POOR_STEPS = 15
SOW_REWARD = 0.02
HARVEST_REWARD = 0.3
STEP_COST = 0.01
TARGET = 6  # harvests


class Farming(BatchedEnv):
    """One farmer on 5 x 5 plots, of which each is fertile with probability 0.4.

    Observation `[N, 4, 5, 5]`, from 0 to 1:

    =  =======  ==============================================================
    0  FARMER   1 where the farmer stands
    1  FERTILE  1 on fertile plots, the same all through an episode
    2  GROWTH   0 on bare soil, else the share of the growing time that has passed
    3  RIPE     1 where a crop can be reaped
    =  =======  ==============================================================

    Actions: 0 up, 1 right, 2 down, 3 left, 4 work: sow on bare soil, reap a ripe crop, nothing
    while it grows. A crop ripens in 5 steps on fertile soil and in 15 elsewhere, and keeps.

    Reward: 0.3 a harvest, 0.02 a sowing, less 0.01 a step. An episode succeeds with its sixth
    harvest and goes on; it is truncated after `max_steps` (60 by default). Sub-environments reset
    themselves.
    """

    CHANNELS = ("farmer", "fertile", "growth", "ripe")
    farmer: Tensor
    need: Tensor
    age: Tensor
    harvests: Tensor

    def __init__(
        self,
        config: Any,
        *,
        num_envs: int | None = None,
        device: str | torch.device = "cpu",
        dtype: torch.dtype = torch.float32,
    ) -> None:
        super().__init__(
            config, num_envs=num_envs, device=device, dtype=dtype, size=(SIZE, SIZE), actions=5
        )
        self.register_buffer("farmer", self._whole(2))
        self.register_buffer("need", self._whole(SIZE * SIZE) + POOR_STEPS)  # steps to ripeness
        self.register_buffer("age", self._whole(SIZE * SIZE) - 1)  # steps since sowing; -1 bare
        self.register_buffer("harvests", self._whole())
        self.reset()

    def describe(self) -> str:
        """Say in one line what the task is."""
        return f"sow and reap on {SIZE} x {SIZE} plots, some of them fertile; 0.3 a harvest"

    def step(self, actions: Actions) -> Step:
        """Let every farmer act, then every crop grow."""
        choice = self._normalize_single_agent_actions(actions, missing_action=WORK)
        works = choice >= WORK
        moved = (self.farmer + self.moves[choice.clamp(max=3)]).clamp_(0, SIZE - 1)
        self.farmer.copy_(torch.where(works.unsqueeze(1), self.farmer, moved))

        cell = self.farmer[:, 0] * SIZE + self.farmer[:, 1]
        age = self.age[self.rows, cell]
        sows = works & (age < 0)
        reaps = works & (age >= self.need[self.rows, cell])
        self.age[self.rows, cell] = torch.where(reaps, -1, torch.where(sows, 0, age))
        self.age += self.age >= 0
        self.harvests += reaps

        reward = HARVEST_REWARD * reaps + SOW_REWARD * sows - STEP_COST
        success = self.harvests >= TARGET
        return self._conclude(reward.to(self.dtype), torch.zeros_like(works), success)

    def _observe(self) -> Tensor:
        planes = torch.zeros(self.num_envs, 4, SIZE * SIZE, dtype=self.dtype, device=self.device)
        planes[self.rows, 0, self.farmer[:, 0] * SIZE + self.farmer[:, 1]] = 1.0
        planes[:, 1] = self.need == FERTILE_STEPS
        planes[:, 2] = (self.age / self.need).clamp(0.0, 1.0)
        planes[:, 3] = self.age >= self.need
        return planes.view(self.num_envs, 4, SIZE, SIZE)

    def _restart(self, mask: Tensor) -> None:
        fertile = self._uniform(SIZE * SIZE) < FERTILE_SHARE
        self._assign("need", mask, torch.where(fertile, FERTILE_STEPS, POOR_STEPS))
        self._assign("farmer", mask, self._below(SIZE, 2))
        self.age.masked_fill_(mask.unsqueeze(1), -1)
        self.harvests.masked_fill_(mask, 0)


def create_env(
    config: Any,
    *,
    num_envs: int | None = None,
    device: str | torch.device = "cpu",
    dtype: torch.dtype = torch.float32,
) -> Farming:
    """Return the environment; its signature is a candidate's."""
    return Farming(config, num_envs=num_envs, device=device, dtype=dtype)
