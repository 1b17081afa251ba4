"""The smallest task worth learning: walk to a goal on a 5 x 5 grid."""

from typing import Any

import torch
from gymnasium import spaces
from torch import Tensor

from simverse.core.env import Actions, SimEnv

SIZE = 5
GOAL_REWARD = 1.0
STEP_COST = 0.02
# (row, column) of a step up, down, left, right.
MOVES = ((-1, 0), (1, 0), (0, -1), (0, 1))


class GridGoal(SimEnv):
    """Walk from a random cell to another; 1 for getting there, less 0.02 a step.

    The observation `[N, 2, 5, 5]` marks the walker (channel 0) and the goal (channel 1). An episode
    ends at the goal or after `max_steps`; a finished sub-environment stays frozen, with `done` set
    and no reward, until `reset`.
    """

    CHANNELS = ("walker", "goal")
    done: Tensor
    steps: Tensor
    walker: Tensor
    goal: Tensor
    moves: Tensor

    def __init__(
        self,
        config: Any,
        *,
        num_envs: int | None = None,
        device: str | torch.device = "cpu",
        dtype: torch.dtype = torch.float32,
    ) -> None:
        super().__init__(device=device, dtype=dtype)
        self.num_agents = 1
        self.num_envs = self._resolve_num_envs(num_envs, config)
        self.max_steps = int(config.max_steps)
        self._generator = torch.Generator().manual_seed(int(getattr(config, "seed", 0) or 0))
        self._action_space = spaces.Discrete(len(MOVES))
        self._observation_space = spaces.Box(0.0, 1.0, shape=(2, SIZE, SIZE))

        def whole(*shape: int) -> Tensor:
            return torch.zeros(shape, dtype=torch.int64, device=self.device)

        self.register_buffer("done", whole(self.num_envs).bool())
        self.register_buffer("steps", whole(self.num_envs))
        self.register_buffer("walker", whole(self.num_envs, 2))
        self.register_buffer("goal", whole(self.num_envs, 2))
        self.register_buffer("moves", torch.tensor(MOVES, device=self.device))

    @property
    def action_space(self) -> Any:
        """0 up, 1 down, 2 left, 3 right."""
        return self._action_space

    @property
    def observation_space(self) -> Any:
        """`(2, 5, 5)` of 0 and 1."""
        return self._observation_space

    def describe(self) -> str:
        """Say in one line what the task is."""
        return "walk to a random goal on a 5 x 5 grid; 1 for getting there, less 0.02 a step"

    def reset(self) -> dict[str, Tensor]:
        """Put every walker and goal on two different random cells."""
        start, offset = self._draw(SIZE * SIZE), self._draw(SIZE * SIZE - 1)
        goal = (start + 1 + offset) % (SIZE * SIZE)
        self.walker.copy_(torch.stack((start // SIZE, start % SIZE), dim=1))
        self.goal.copy_(torch.stack((goal // SIZE, goal % SIZE), dim=1))
        self._reset_episode_state()
        return self._pack_observation_dict(self._observation())

    def step(self, actions: Actions) -> tuple[dict[str, Tensor], Tensor, Tensor, dict[str, Any]]:
        """Move every walker that has not finished; walls stop it."""
        move = self.moves[self._normalize_single_agent_actions(actions, missing_action=0)]
        walking = ~self.done
        moved = (self.walker + move).clamp_(0, SIZE - 1)
        self.walker.copy_(torch.where(walking.unsqueeze(1), moved, self.walker))
        self.steps += walking
        arrived = walking & (self.walker == self.goal).all(dim=1)
        reward = arrived.to(self.dtype) * GOAL_REWARD - walking.to(self.dtype) * STEP_COST
        self.done |= arrived | (self.steps >= self.max_steps)
        obs = self._pack_observation_dict(self._observation())
        return obs, reward, self.done, self._build_info(extra={"success": arrived})

    def _observation(self) -> Tensor:
        shape = (self.num_envs, 2, SIZE, SIZE)
        planes = torch.zeros(shape, dtype=self.dtype, device=self.device)
        rows = torch.arange(self.num_envs, device=self.device)
        planes[rows, 0, self.walker[:, 0], self.walker[:, 1]] = 1.0
        planes[rows, 1, self.goal[:, 0], self.goal[:, 1]] = 1.0
        return planes

    def _draw(self, below: int) -> Tensor:
        drawn = torch.randint(below, (self.num_envs,), generator=self._generator)
        return drawn.to(self.device)


def create_env(
    config: Any,
    *,
    num_envs: int | None = None,
    device: str | torch.device = "cpu",
    dtype: torch.dtype = torch.float32,
) -> GridGoal:
    """Return the environment; its signature is a candidate's."""
    return GridGoal(config, num_envs=num_envs, device=device, dtype=dtype)
