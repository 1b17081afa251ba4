"""Breakout as in MinAtar: bounce the ball, break the bricks, keep the ball in play.

The game is that of Young & Tian 2019 (arXiv:1903.03176; MinAtar 1.0.15), under the rules by which
gymnax plays it as `Breakout-MinAtar`, and MLGym (Nathani et al. 2025, arXiv:2502.14499) with it:
three actions, no sticky actions, no ramp of difficulty, at most 1,000 steps an episode.
"""

from typing import Any

import gymnasium as gym
import torch

from simverse.core.world import World

SIZE = 10  # cells along each side of the field; row 0 is the top
PADDLE_ROW = SIZE - 1
PADDLE_START = 4  # column
BALL_START_ROW = 3
BRICK_ROWS = slice(1, 4)  # of a wall, 30 bricks in all

STAY, LEFT, RIGHT = range(3)
PADDLE_MOVES = (0, -1, 1)  # columns, indexed by action


class BreakoutWorld(World):
    """`num_envs` games at once; a finished one resets itself inside `step`.

    The view, four bool layers `[N, 10, 10]` (row, column):

    ========  ======================================================================
    paddle    the paddle, one cell wide, in the bottom row
    ball      the ball
    trail     where the ball was a step before, hence which way it flies; at the start
              of an episode, where the ball is
    bricks    the bricks that stand
    ========  ======================================================================

    Actions: 0 stay, 1 left, 2 right. The paddle moves first, then the ball, one cell along its
    diagonal; sides and ceiling reflect it. A brick in its way breaks, pays 1 and sends it back up
    or down, but only if it was not inside a brick already: else it flies on through. In the bottom
    row, the paddle sends it up again: sideways it keeps its direction if it was right above the
    paddle, and turns back if it flies onto the paddle from beside. Elsewhere it is lost, which ends
    the episode. A wall with no brick left is built anew when the ball is next in the bottom row.

    Hidden from the view are the ball's direction (the trail shows it), whether it was inside a
    brick, and the time. `info["success"]` marks the step that breaks the last brick of a wall. A
    game still on at the horizon is cut short (`info["truncated"]`), as the clock is not in view.
    """

    reward_bound = 1.0  # one brick

    max_steps = 1000  # the horizon, as in gymnax and MLGym

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
        self.action_space = gym.spaces.Discrete(len(PADDLE_MOVES))

        self.register_buffer("paddle_moves", torch.tensor(PADDLE_MOVES, device=self.device))
        self.register_buffer("env_index", torch.arange(self.num_envs, device=self.device))
        wall = torch.zeros(SIZE, SIZE, dtype=torch.bool, device=self.device)
        wall[BRICK_ROWS] = True
        self.register_buffer("wall", wall)
        self.register_buffer("paddle", self._zeros(dtype=torch.int64))  # column
        self.register_buffer("ball", self._zeros(2, dtype=torch.int64))  # (row, column)
        self.register_buffer("trail", self._zeros(2, dtype=torch.int64))  # (row, column)
        self.register_buffer("velocity", self._zeros(2, dtype=torch.int64))  # each -1 or 1
        self.register_buffer("bricks", self._zeros(SIZE, SIZE, dtype=torch.bool))
        self.register_buffer("inside_brick", self._zeros(dtype=torch.bool))
        self.register_buffer("steps", self._zeros(dtype=torch.int64))
        self.reset()

    def describe(self) -> str:
        return "Bounce a ball off a paddle and break wall after wall of bricks (MinAtar Breakout)."

    def reset(self) -> dict[str, torch.Tensor]:
        """Begin a new game in every sub-environment; return the view."""
        self._reset_where(torch.ones_like(self.inside_brick))
        return self._view()

    def step(
        self, actions: torch.Tensor
    ) -> tuple[dict[str, torch.Tensor], torch.Tensor, torch.Tensor, dict[str, Any]]:
        """Play one step. Actions int64 `[N]`; returns view, reward `[N]`, done `[N]` and info."""
        self.paddle.add_(self.paddle_moves[actions]).clamp_(0, SIZE - 1)
        hit, lost = self._move_ball()
        cleared = hit & ~self.bricks.flatten(1).any(dim=1)

        self.steps += 1
        truncated = ~lost & (self.steps >= self.max_steps)
        done = lost | truncated
        final_view = self._view()
        self._reset_where(done)
        info = {"success": cleared, "truncated": truncated, "final_view": final_view}
        return self._view(), hit.to(self.dtype), done, info

    def _move_ball(self) -> tuple[torch.Tensor, torch.Tensor]:
        """Move the ball one step; return where it broke a brick and where it was lost, `[N]`."""
        old_row, old_column = self.ball.unbind(dim=1)
        row, column = (self.ball + self.velocity).unbind(dim=1)
        at_side = (column < 0) | (column >= SIZE)
        at_ceiling = row < 0
        row, column = row.clamp(min=0), column.clamp(0, SIZE - 1)

        # The ceiling is looked at before the bricks, the bricks before the floor.
        in_brick = self.bricks[self.env_index, row, column] & ~at_ceiling
        hit = in_brick & ~self.inside_brick
        self.bricks[self.env_index, row, column] &= ~hit
        down = (row == PADDLE_ROW) & ~in_brick
        rebuilt = down & ~self.bricks.flatten(1).any(dim=1)
        self.bricks |= rebuilt[:, None, None] & self.wall

        from_above = down & (old_column == self.paddle)
        from_aside = down & (column == self.paddle) & ~from_above
        lost = down & ~from_above & ~from_aside

        row = torch.where(hit | from_above | from_aside, old_row, row)
        back_vertically = at_ceiling | hit | from_above | from_aside
        back_sideways = at_side ^ from_aside
        turned = torch.stack((back_vertically, back_sideways), dim=1)
        self.trail.copy_(self.ball)
        self.ball.copy_(torch.stack((row, column), dim=1))
        self.velocity.copy_(torch.where(turned, -self.velocity, self.velocity))
        self.inside_brick.copy_(in_brick)
        return hit, lost

    def _view(self) -> dict[str, torch.Tensor]:
        """The four layers, new tensors of bool `[N, 10, 10]`."""
        at_paddle = torch.stack((torch.full_like(self.paddle, PADDLE_ROW), self.paddle), dim=1)
        return {
            "paddle": self._mark(at_paddle),
            "ball": self._mark(self.ball),
            "trail": self._mark(self.trail),
            "bricks": self.bricks.clone(),
        }

    def _mark(self, position: torch.Tensor) -> torch.Tensor:
        """A layer bool `[N, 10, 10]` that is true at positions `[N, 2]` alone."""
        layer = self._zeros(SIZE, SIZE, dtype=torch.bool)
        row, column = position.unbind(dim=1)
        layer[self.env_index, row, column] = True
        return layer

    def _reset_where(self, mask: torch.Tensor) -> None:
        """Begin a new game in the sub-environments in mask `[N]`."""
        from_right = self._draw_sides()
        row = torch.full_like(self.paddle, BALL_START_ROW)
        ball = torch.stack((row, from_right * (SIZE - 1)), dim=1)
        velocity = torch.stack((torch.ones_like(row), 1 - 2 * from_right), dim=1)
        for state, start in ((self.ball, ball), (self.trail, ball), (self.velocity, velocity)):
            state.copy_(torch.where(mask[:, None], start, state))
        self.bricks.copy_(torch.where(mask[:, None, None], self.wall, self.bricks))
        self.paddle.masked_fill_(mask, PADDLE_START)
        self.inside_brick.masked_fill_(mask, value=False)
        self.steps.masked_fill_(mask, 0)

    def _draw_sides(self) -> torch.Tensor:
        """Where the ball comes from, int64 `[N]`: 0 the left side, 1 the right.

        Drawn for all sub-environments at every step, so that what one of them meets does not depend
        on when the others end.
        """
        return torch.randint(2, (self.num_envs,), generator=self.generator, device=self.device)

    def _zeros(self, *shape: int, dtype: torch.dtype) -> torch.Tensor:
        return torch.zeros(self.num_envs, *shape, dtype=dtype, device=self.device)


def create_world(
    config: Any,
    *,
    num_envs: int | None = None,
    device: str | torch.device = "cpu",
    dtype: torch.dtype = torch.float32,
) -> BreakoutWorld:
    """Build the world; `config` names its `num_envs` and `seed`."""
    return BreakoutWorld(config, num_envs=num_envs, device=device, dtype=dtype)
