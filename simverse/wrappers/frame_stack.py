"""The last frames of an episode side by side, as channels."""

import math
from typing import Any

import torch
from gymnasium import spaces
from torch import Tensor

from simverse.core.checks import StepResult
from simverse.core.episodes import StartFlags
from simverse.wrappers.base import ObservationWrapper

FRAME_STACK = "frame_stack"


class FrameStack(ObservationWrapper):
    """Shows the last `count` observations, the oldest first: `[N, count * C, H, W]`.

    A sub-environment that begins an episode shows its first observation `count` times, as
    Gymnasium's `FrameStackObservation` does, and no frame of the episode before; the others go on.
    `final_obs` is stacked on the frames of its own episode. (Mnih et al. 2015, "Human-level control
    through deep reinforcement learning", stack four.)

    Raises `ValueError` for a `count` below 1.
    """

    frames: Tensor
    """`[N, count * C, H, W]`."""

    def __init__(self, env: Any, count: int) -> None:
        super().__init__(env)
        if count < 1:
            raise ValueError(f"a stack has at least 1 frame, got {count}")
        self.count = count
        channels, height, width = self._below
        shape = (count * channels, height, width)
        self._space = spaces.Box(-math.inf, math.inf, shape=shape)
        frames = torch.zeros((self.num_envs, *shape), dtype=self.dtype, device=self.device)
        self.register_buffer("frames", frames)
        self._starts = StartFlags()

    @property
    def observation_space(self) -> Any:
        """`(count * C, H, W)`, unbounded."""
        return self._space

    @property
    def text(self) -> str:
        """Its name and its number."""
        return f"{FRAME_STACK}={self.count}"

    def again(self, env: Any) -> Any:
        """Return another environment with as many frames."""
        return FrameStack(env, self.count)

    def _begin(self, obs: Tensor, marked: Tensor | None) -> Tensor:
        self._starts.reset(marked)
        self.frames = self._repeated(obs)
        return self.frames

    def _follow(self, step: StepResult, final_obs: Tensor | None) -> tuple[Tensor, Tensor | None]:
        older = self.frames[:, self._below[0] :]
        final = None if final_obs is None else torch.cat((older, final_obs), dim=1)
        frames = torch.cat((older, step.obs), dim=1)
        begun = self._starts.after(step.done, step.marked)
        if bool(begun.any()):
            # Not in place: what was returned before stays as it is.
            frames = torch.where(begun.view(-1, 1, 1, 1), self._repeated(step.obs), frames)
        self.frames = frames
        return frames, final

    def _repeated(self, obs: Tensor) -> Tensor:
        return obs.repeat(1, self.count, 1, 1)
