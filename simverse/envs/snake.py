"""Snake: eat, grow, and hit neither the wall nor yourself."""

from typing import Any

import torch
from torch import Tensor

from simverse.core.env import Actions
from simverse.envs.base import BatchedEnv, Step

SIZE = 6
START_LENGTH = 3
TARGET = 5  # pieces of food
FOOD_REWARD = 1.0
DEATH_REWARD = -1.0
STEP_COST = 0.01


class Snake(BatchedEnv):
    """A snake of length 3 on a 6 x 6 field; food appears on a random free cell.

    Observation `[N, 3, 6, 6]`, from 0 to 1:

    =  ====  ==================================================================
    0  HEAD  1 at the head
    1  BODY  steps until the cell comes free, over the length: least at the tail
    2  FOOD  1 at the food
    =  ====  ==================================================================

    Actions: 0 up, 1 right, 2 down, 3 left; turning back on the neck goes straight on instead.

    Reward: 1 for food, -1 for hitting the wall or the body, else -0.01 a step. A step into the cell
    that the tail is leaving is safe. An episode succeeds with its fifth piece of food and goes on;
    it ends with a hit or a full field and is truncated after `max_steps` (60 by default).
    Sub-environments reset themselves.
    """

    CHANNELS = ("head", "body", "food")
    head: Tensor
    heading: Tensor
    body: Tensor
    length: Tensor
    food: Tensor

    def __init__(
        self,
        config: Any,
        *,
        num_envs: int | None = None,
        device: str | torch.device = "cpu",
        dtype: torch.dtype = torch.float32,
    ) -> None:
        super().__init__(
            config, num_envs=num_envs, device=device, dtype=dtype, size=(SIZE, SIZE), actions=4
        )
        self.register_buffer("head", self._whole(2))
        self.register_buffer("heading", self._whole())
        # Steps until each cell comes free, the head's and the snake's length being the same.
        self.register_buffer("body", self._whole(SIZE * SIZE))
        self.register_buffer("length", self._whole())
        self.register_buffer("food", self._whole())
        self.reset()

    def describe(self) -> str:
        """Say in one line what the task is."""
        return f"grow a snake on a {SIZE} x {SIZE} field; 1 for food, -1 for a hit"

    def step(self, actions: Actions) -> Step:
        """Move every snake by one cell."""
        turn = self._normalize_single_agent_actions(actions, missing_action=-1)
        keeps = (turn < 0) | ((turn - self.heading) % 4 == 2)
        self.heading.copy_(torch.where(keeps, self.heading, turn))
        target = self.head + self.moves[self.heading]
        outside = ((target < 0) | (target >= SIZE)).any(dim=1)
        self.head.copy_(torch.where(outside.unsqueeze(1), self.head, target))

        cell = self._cell()
        eats = (cell == self.food) & ~outside
        self.length += eats
        # Everything but the head moves up by one, unless the snake grows.
        self.body.sub_(~eats.unsqueeze(1) * 1).clamp_(min=0)
        hit = outside | (self.body[self.rows, cell] > 0)
        self.body[self.rows, cell] = self.length

        full = self.length >= SIZE * SIZE
        self.food.copy_(torch.where(eats, self._free_cell(self.body), self.food))
        reward = torch.where(hit, DEATH_REWARD, eats * FOOD_REWARD - ~eats * STEP_COST)
        success = ~hit & (self.length >= START_LENGTH + TARGET)
        return self._conclude(reward.to(self.dtype), hit | full, success)

    def _cell(self) -> Tensor:
        return self.head[:, 0] * SIZE + self.head[:, 1]

    def _free_cell(self, body: Tensor) -> Tensor:
        """Return a random cell `[N]` with no body on it."""
        return self._uniform(SIZE * SIZE).masked_fill(body > 0, -1.0).argmax(dim=1)

    def _observe(self) -> Tensor:
        planes = torch.zeros(self.num_envs, 3, SIZE * SIZE, dtype=self.dtype, device=self.device)
        cell = self._cell()
        planes[:, 1] = self.body / self.length.unsqueeze(1)
        planes[self.rows, 1, cell] = 0.0
        planes[self.rows, 0, cell] = 1.0
        planes[self.rows, 2, self.food] = 1.0
        return planes.view(self.num_envs, 3, SIZE, SIZE)

    def _restart(self, mask: Tensor) -> None:
        """Lay out snakes that have room ahead: head near the middle, tail straight behind."""
        heading = self._below(4)
        head = (SIZE - 1) // 2 + self._below(2, 2)
        body = self._whole(SIZE * SIZE)
        for back in range(START_LENGTH):
            cells = head - back * self.moves[heading]
            body[self.rows, cells[:, 0] * SIZE + cells[:, 1]] = START_LENGTH - back
        self._assign("heading", mask, heading)
        self._assign("head", mask, head)
        self._assign("body", mask, body)
        self._assign("food", mask, self._free_cell(body))
        self._assign("length", mask, torch.full_like(self.length, START_LENGTH))


def create_env(
    config: Any,
    *,
    num_envs: int | None = None,
    device: str | torch.device = "cpu",
    dtype: torch.dtype = torch.float32,
) -> Snake:
    """Return the environment; its signature is a candidate's."""
    return Snake(config, num_envs=num_envs, device=device, dtype=dtype)
