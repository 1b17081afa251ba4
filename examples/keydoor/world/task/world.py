"""Key and door: two rooms, one locked door. Fetch the key, open the door, reach the goal.

The task, with its reward, its success and its horizon. Every episode draws a new floor, so knowing
one by heart is worth nothing.
"""

from typing import Any

import gymnasium as gym
import torch
from torch import Tensor

from simverse.core.world import View, World

SIZE = 7  # cells along each side of the floor
MAX_STEPS = 40  # the horizon; the shortest way takes 12 on average

UP, RIGHT, DOWN, LEFT = range(4)
MOVES = ((-1, 0), (0, 1), (1, 0), (0, -1))  # (row, column), indexed by action

KEY_REWARD = 0.1
DOOR_REWARD = 0.1
GOAL_REWARD = 0.9
STEP_COST = 0.01


class KeyDoorWorld(World):
    """`num_envs` floors at once; a finished one resets itself inside `step`.

    The view, positions as (row, column) from 0 to 6:

    ============  =====  ===========  ==========================================
    `walls`       bool   `[N, 7, 7]`  the cells that are wall
    `agent`       int64  `[N, 2]`     position
    `key`         int64  `[N, 2]`     position, also after it is picked up
    `door`        int64  `[N, 2]`     position, also after it is opened; no wall
    `goal`        int64  `[N, 2]`     position
    `has_key`     bool   `[N]`        the key is picked up
    `door_open`   bool   `[N]`        the door is opened
    `steps`       int64  `[N]`        taken in this episode
    `steps_left`  int64  `[N]`        until the horizon
    ============  =====  ===========  ==========================================

    Actions: 0 up, 1 right, 2 down, 3 left. Stepping onto the key picks it up; stepping into the
    door with the key in hand opens it. Walls stop a move, and so do the floor's edge and the
    locked door.

    Reward: 0.1 for the key, 0.1 for the door, 0.9 for the goal, once each, less 0.01 a step.
    Success: the agent stands on the goal.
    """

    max_steps = MAX_STEPS
    reward_bound = 1.0

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
        self.generator = torch.Generator(device=self.device).manual_seed(int(config.seed))
        self.action_space = gym.spaces.Discrete(len(MOVES))

        self.register_buffer("moves", torch.tensor(MOVES, device=self.device))
        self.register_buffer("env_index", torch.arange(self.num_envs, device=self.device))
        self.register_buffer("walls", self._zeros(SIZE, SIZE, dtype=torch.bool))
        for name in ("agent", "key", "door", "goal"):
            self.register_buffer(name, self._zeros(2, dtype=torch.int64))
        self.register_buffer("has_key", self._zeros(dtype=torch.bool))
        self.register_buffer("door_open", self._zeros(dtype=torch.bool))
        self.register_buffer("steps", self._zeros(dtype=torch.int64))

    def describe(self) -> str:
        return f"Fetch the key, open the door and reach the goal on a new {SIZE}x{SIZE} floor."

    def render_layers(self, index: int) -> dict[str, Tensor]:
        """Draw one floor for people to watch, the lowest layer first."""

        def at(position: Tensor, *, gone: Tensor | None = None) -> Tensor:
            grid = torch.zeros_like(self.walls[index])
            row, column = position[index]
            grid[row, column] = gone is None or not gone[index]
            return grid

        return {
            "wall": self.walls[index],
            "goal": at(self.goal),
            "locked door": at(self.door, gone=self.door_open),
            "key": at(self.key, gone=self.has_key),
            "agent": at(self.agent),
        }

    def reset(self) -> View:
        """Draw a new floor for every sub-environment; return the first view."""
        self._reset_where(torch.ones_like(self.has_key))
        return self._view()

    def step(self, actions: Tensor) -> tuple[View, Tensor, Tensor, dict[str, Any]]:
        """Move once. Actions `[N]`; returns the view, the reward `[N]`, done `[N]` and info."""
        self._walk(self.moves[actions])
        took_key = self._stands_on(self.key) & ~self.has_key
        opened = self._stands_on(self.door) & ~self.door_open
        success = self._stands_on(self.goal)
        self.has_key |= took_key
        self.door_open |= opened
        reward = KEY_REWARD * took_key + DOOR_REWARD * opened + GOAL_REWARD * success - STEP_COST

        self.steps += 1
        done = success | (self.steps >= self.max_steps)
        info: dict[str, Any] = {"success": success}
        if done.any():
            # What the last step led to: the view returned is already that of the next floor.
            info["final_view"] = {name: value.clone() for name, value in self._view().items()}
            self._reset_where(done)
        return self._view(), reward.to(self.dtype), done, info

    def _view(self) -> View:
        names = ("walls", "agent", "key", "door", "goal", "has_key", "door_open", "steps")
        view = {name: getattr(self, name) for name in names}
        return view | {"steps_left": self.max_steps - self.steps}

    def _walk(self, moves: Tensor) -> None:
        """Apply moves `[N, 2]` where no wall, edge or locked door is in the way."""
        target = self.agent + moves
        inside = target.clamp(0, SIZE - 1)
        row, column = inside.unbind(dim=1)
        at_edge = (target != inside).any(dim=1)
        at_locked_door = (target == self.door).all(dim=1) & ~self.has_key
        blocked = at_edge | at_locked_door | self.walls[self.env_index, row, column]
        self.agent.copy_(torch.where(blocked[:, None], self.agent, target))

    def _stands_on(self, position: Tensor) -> Tensor:
        return (self.agent == position).all(dim=1)

    def _reset_where(self, mask: Tensor) -> None:
        """Begin a new episode in the sub-environments in mask `[N]`."""
        for name, drawn in self._draw_floors().items():
            current = getattr(self, name)
            chosen = mask.view(-1, *[1] * (drawn.dim() - 1))
            current.copy_(torch.where(chosen, drawn, current))
        for state in (self.has_key, self.door_open, self.steps):
            state.masked_fill_(mask, 0)

    def _draw_floors(self) -> dict[str, Tensor]:
        """Draw a floor for every sub-environment: positions `[N, 2]`, walls `[N, SIZE, SIZE]`.

        First with an upright wall and the agent to the left of it, then mirrored and turned on
        the toss of a coin, so that each of the four rooms is as likely to be the first.
        """
        wall = self._randint(2, SIZE - 2)
        agent = torch.stack((self._randint(0, SIZE), self._randint(0, wall)), dim=1)
        key_row = (agent[:, 0] + self._randint(1, SIZE)) % SIZE  # never the agent's own cell
        key = torch.stack((key_row, self._randint(0, wall)), dim=1)
        door = torch.stack((self._randint(0, SIZE), wall), dim=1)
        goal = torch.stack((self._randint(0, SIZE), self._randint(wall + 1, SIZE)), dim=1)

        walls = torch.zeros_like(self.walls)
        walls[self.env_index, :, wall] = True
        walls[self.env_index, door[:, 0], wall] = False

        mirrored, turned = self._randint(0, 2).bool(), self._randint(0, 2).bool()
        walls = torch.where(mirrored[:, None, None], walls.flip(2), walls)
        floor = {"walls": torch.where(turned[:, None, None], walls.mT, walls)}
        for name, position in (("agent", agent), ("key", key), ("door", door), ("goal", goal)):
            row, column = position.unbind(dim=1)
            column = torch.where(mirrored, SIZE - 1 - column, column)
            upright, on_its_side = torch.stack((row, column), 1), torch.stack((column, row), 1)
            floor[name] = torch.where(turned[:, None], on_its_side, upright)
        return floor

    def _randint(self, low: int | Tensor, high: int | Tensor) -> Tensor:
        """Whole numbers `[N]`, low <= x < high; the ends may differ between sub-environments."""
        uniform = torch.rand(self.num_envs, generator=self.generator, device=self.device)
        return low + (uniform * (high - low)).long()

    def _zeros(self, *shape: int, dtype: torch.dtype) -> Tensor:
        return torch.zeros(self.num_envs, *shape, dtype=dtype, device=self.device)


def create_world(
    config: Any,
    *,
    num_envs: int | None = None,
    device: str | torch.device = "cpu",
    dtype: torch.dtype = torch.float32,
) -> KeyDoorWorld:
    """Build the world; `config` names its `seed`."""
    return KeyDoorWorld(config, num_envs=num_envs, device=device, dtype=dtype)
