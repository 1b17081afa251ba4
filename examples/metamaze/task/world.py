"""The meta-maze: find a goal that is never seen, be dropped elsewhere, and find it again.

The task is the maze of Miconi et al. 2018 (arXiv:1804.02464) and 2019 (arXiv:2002.10585,
"Backpropamine"), in the form that gymnax has as `MetaMaze-misc` with its default parameters, and
MLGym (Nathani et al. 2025, arXiv:2502.14499) with it: a 9x9 maze, a 3x3 receptive field, reward 10
at the goal, no punishment for walls, at most 200 steps an episode.
"""

from typing import Any

import gymnasium as gym
import numpy as np
import torch

from simverse.core.world import World

SIZE = 9  # cells along each side of the maze
RADIUS = 1  # the agent sees this many cells in each direction
FIELD = 2 * RADIUS + 1  # cells along each side of what it sees
SIDE = SIZE + 2 * RADIUS  # of the stored map: solid wall all round, so nothing looks out of it
CENTRE = SIDE // 2  # row and column where every episode starts

UP, RIGHT, DOWN, LEFT = range(4)
MOVES = ((-1, 0), (0, 1), (1, 0), (0, -1))  # (row, column), indexed by action

GOAL_REWARD = 10.0


class MetaMazeWorld(World):
    """`num_envs` mazes at once; a finished one resets itself inside `step`.

    The maze is always the same: in a 9x9 square, a pillar wherever row and column are both odd
    (counted from 0), which leaves 65 free cells, and walls around the square. An episode draws the
    goal among the free cells and starts at the centre.

    The view:

    ===========  =====================  ==========================================
    walls        bool `[N, 3, 3]`       walls and pillars around the agent
    last_action  int64 `[N]`            the action taken last, 0 at the start
    last_reward  float32 `[N]`          what it paid, 0 at the start
    time         int64 `[N]`            steps since the start
    ===========  =====================  ==========================================

    Hidden are the agent's position and the goal's. Actions: 0 up, 1 right, 2 down, 3 left; walls
    stop a move. Reaching the goal pays 10 and drops the agent on a free cell at random, while the
    goal stays where it is. An episode ends at the horizon, and sooner in one case: the agent is
    dropped right on the goal (1 time in 65), for which it is paid no second time.

    `info["success"]` marks the goal reached for the second or a later time in an episode: having
    found it once, the agent has found it again. As the clock is in view and the return is that of
    `max_steps` steps, the horizon is an end like any other, not a truncation.
    """

    reward_bound = GOAL_REWARD

    max_steps = 200  # the horizon, as in gymnax and MLGym

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
        self.view_spaces = {
            "walls": gym.spaces.Box(0, 1, shape=(FIELD, FIELD), dtype=np.uint8),
            "last_action": gym.spaces.Box(0, len(MOVES) - 1, shape=(), dtype=np.int64),
            "last_reward": gym.spaces.Box(0.0, GOAL_REWARD, shape=(), dtype=np.float32),
            "time": gym.spaces.Box(0, self.max_steps, shape=(), dtype=np.int64),
        }

        walls = torch.ones(SIDE, SIDE, dtype=torch.bool, device=self.device)
        walls[RADIUS:-RADIUS, RADIUS:-RADIUS] = False
        walls[RADIUS + 1 : -RADIUS : 2, RADIUS + 1 : -RADIUS : 2] = True
        self.register_buffer("walls", walls)
        self.register_buffer("cells", (~walls).nonzero())  # the free ones, [65, 2]
        self.register_buffer("moves", torch.tensor(MOVES, device=self.device))
        around = torch.arange(-RADIUS, RADIUS + 1, device=self.device)
        self.register_buffer("field_index", around)
        # Positions are (row, column) on the stored map.
        self.register_buffer("agent", self._zeros(2, dtype=torch.int64))
        self.register_buffer("goal", self._zeros(2, dtype=torch.int64))
        self.register_buffer("last_action", self._zeros(dtype=torch.int64))
        self.register_buffer("last_reward", self._zeros(dtype=torch.float32))
        self.register_buffer("finds", self._zeros(dtype=torch.int64))  # of the goal, this episode
        self.register_buffer("steps", self._zeros(dtype=torch.int64))
        self.reset()

    def describe(self) -> str:
        return f"Find an unseen goal in a {SIZE}x{SIZE} maze, be dropped elsewhere, find it again."

    def reset(self) -> dict[str, torch.Tensor]:
        """Begin a new episode in every sub-environment; return the view."""
        self._reset_where(torch.ones_like(self.steps, dtype=torch.bool))
        return self._view()

    def step(
        self, actions: torch.Tensor
    ) -> tuple[dict[str, torch.Tensor], torch.Tensor, torch.Tensor, dict[str, Any]]:
        """Move once. Actions int64 `[N]`; returns view, reward `[N]`, done `[N]` and info."""
        target = self.agent + self.moves[actions]
        blocked = self.walls[target[:, 0], target[:, 1]]
        position = torch.where(blocked[:, None], self.agent, target)
        found = (position == self.goal).all(dim=1)
        self.agent.copy_(torch.where(found[:, None], self._draw_cells(), position))

        reward = GOAL_REWARD * found.to(self.dtype)
        self.last_action.copy_(actions)
        self.last_reward.copy_(reward)
        self.finds += found
        self.steps += 1
        dropped_on_goal = (self.agent == self.goal).all(dim=1)
        done = dropped_on_goal | (self.steps >= self.max_steps)
        success = found & (self.finds >= 2)
        final_view = self._view()
        self._reset_where(done)
        return self._view(), reward, done, {"success": success, "final_view": final_view}

    def _view(self) -> dict[str, torch.Tensor]:
        """What the class's table shows, in new tensors."""
        rows = self.agent[:, 0, None, None] + self.field_index[:, None]
        columns = self.agent[:, 1, None, None] + self.field_index
        return {
            "walls": self.walls[rows, columns],
            "last_action": self.last_action.clone(),
            "last_reward": self.last_reward.clone(),
            "time": self.steps.clone(),
        }

    def _reset_where(self, mask: torch.Tensor) -> None:
        """Begin a new episode in the sub-environments in mask `[N]`."""
        self.goal.copy_(torch.where(mask[:, None], self._draw_cells(), self.goal))
        self.agent.masked_fill_(mask[:, None], CENTRE)
        for state in (self.last_action, self.last_reward, self.finds, self.steps):
            state.masked_fill_(mask, 0)

    def _draw_cells(self) -> torch.Tensor:
        """Free cells, each as likely as any other, int64 `[N, 2]`.

        Drawn for all sub-environments at every step, so that what one of them meets does not depend
        on what happens in the others.
        """
        drawn = torch.randint(
            len(self.cells), (self.num_envs,), generator=self.generator, device=self.device
        )
        return self.cells[drawn]

    def _zeros(self, *shape: int, dtype: torch.dtype) -> torch.Tensor:
        return torch.zeros(self.num_envs, *shape, dtype=dtype, device=self.device)


def create_world(
    config: Any,
    *,
    num_envs: int | None = None,
    device: str | torch.device = "cpu",
    dtype: torch.dtype = torch.float32,
) -> MetaMazeWorld:
    """Build the world; `config` names its `num_envs` and `seed`."""
    return MetaMazeWorld(config, num_envs=num_envs, device=device, dtype=dtype)
