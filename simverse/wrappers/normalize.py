"""Observations and rewards at a scale that networks learn at, by running statistics."""

import math
from typing import Any

import torch
from gymnasium import spaces
from torch import Tensor, nn

from simverse.core.checks import (
    WORLD_REWARD,
    StepResult,
    check_observation,
    check_step,
    observation_shape,
)
from simverse.core.episodes import StartFlags
from simverse.envs.base import Step
from simverse.wrappers.base import ObservationWrapper, Wrapper
from simverse.wrappers.flatten import FlatBox

NORMALIZE_OBSERVATIONS = "normalize_observations"
PRIOR_COUNT = 1e-4
"""Weight of the mean 0 and the variance 1 that statistics begin with, in samples."""
CLIP = 10.0
EPSILON = 1e-8
"""Added to variances."""


class RunningStatistics(nn.Module):
    """Mean and variance of all samples so far, of `shape` each; they are in its `state_dict`.

    Updated a batch at a time (Chan, Golub & LeVeque 1979, "Updating formulae and a pairwise
    algorithm for computing sample variances"), in float64 where the device has it.
    """

    mean: Tensor
    variance: Tensor
    count: Tensor

    def __init__(self, shape: tuple[int, ...] = (), device: str | torch.device = "cpu") -> None:
        super().__init__()
        dtype = torch.float32 if torch.device(device).type == "mps" else torch.float64
        self.register_buffer("mean", torch.zeros(shape, dtype=dtype, device=device))
        self.register_buffer("variance", torch.ones(shape, dtype=dtype, device=device))
        self.register_buffer("count", torch.full((), PRIOR_COUNT, dtype=dtype, device=device))

    def update(self, samples: Tensor) -> None:
        """Take `[B, *shape]` samples into account."""
        if not len(samples):
            return
        number = len(samples)
        variance, mean = torch.var_mean(samples.to(self.mean), dim=0, correction=0)
        total = self.count + number
        delta = mean - self.mean
        squares = self.variance * self.count + variance * number
        self.variance.copy_((squares + delta.square() * (self.count * number / total)) / total)
        self.mean += delta * (number / total)
        self.count.copy_(total)

    @property
    def deviation(self) -> Tensor:
        """The standard deviation, with `EPSILON` added to the variance."""
        return (self.variance + EPSILON).sqrt()


class NormalizeObservation(ObservationWrapper):
    """Shifts and scales each number of an observation to mean 0 and deviation 1, within `clip`.

    `statistics` are of shape `(C, H, W)`, over the observations that are acted on: what is marked
    done (frozen, or void) is not counted, nor is `final_obs`, which is normalised all the same. In
    evaluation they must not change: give the held-out environment those of training,

        held_out = NormalizeObservation(env, statistics=training.statistics).eval()

    or `simverse.wrappers.held_out`, which does that for all wrappers. (Huang et al. 2022, "The 37
    implementation details of PPO", details 6 and 7 of those for continuous actions;
    Stable-Baselines3's `VecNormalize`.)
    """

    statistics: RunningStatistics

    def __init__(
        self,
        env: Any,
        *,
        statistics: RunningStatistics | None = None,
        clip: float = CLIP,
    ) -> None:
        super().__init__(env)
        self.clip = _checked(clip)
        self.statistics = statistics or RunningStatistics(self._below, self.device)
        if tuple(self.statistics.mean.shape) != self._below:
            raise ValueError(
                f"the statistics are of {tuple(self.statistics.mean.shape)}, the observations of "
                f"{self._below}"
            )
        inner, unbounded = env.observation_space, (-math.inf, math.inf)
        named = isinstance(inner, FlatBox)
        self._space = FlatBox(inner.layout) if named else spaces.Box(*unbounded, shape=self._below)

    @property
    def observation_space(self) -> Any:
        """`(C, H, W)`, as before; it keeps the names of fields."""
        return self._space

    @property
    def text(self) -> str:
        """Its name, and `clip`."""
        return f"{NORMALIZE_OBSERVATIONS}={self.clip:g}"

    def again(self, env: Any) -> Any:
        """Return another environment with these statistics."""
        return NormalizeObservation(env, statistics=self.statistics, clip=self.clip)

    def normalize(self, obs: Tensor) -> Tensor:
        """Return observations `[B, C, H, W]` by the statistics as they are."""
        scaled = (obs - self.statistics.mean) / self.statistics.deviation
        return scaled.clamp_(-self.clip, self.clip).to(self.dtype)

    def _begin(self, obs: Tensor, marked: Tensor | None) -> Tensor:
        if self.training:
            self.statistics.update(obs if marked is None else obs[~marked])
        return self.normalize(obs)

    def _follow(self, step: StepResult, final_obs: Tensor | None) -> tuple[Tensor, Tensor | None]:
        obs = self._begin(step.obs, step.marked)
        return obs, None if final_obs is None else self.normalize(final_obs)


class NormalizeReward(Wrapper):
    """Divides rewards by the deviation of the discounted return so far, within `clip`.

    The return of a sub-environment is `R <- gamma R + r`, begun anew after each `done`; the mean is
    not taken away. The reward as it was is `info[WORLD_REWARD]` `[N]`: returns that are reported,
    in training and in evaluation, are those of the task. (Details 8 and 9 of the same; Engstrom et
    al. 2020, "Implementation matters in deep policy gradients", section 3.)
    """

    statistics: RunningStatistics
    returns: Tensor

    def __init__(
        self,
        env: Any,
        *,
        gamma: float = 0.99,
        statistics: RunningStatistics | None = None,
        clip: float = CLIP,
    ) -> None:
        super().__init__(env)
        if not 0.0 <= gamma <= 1.0:
            raise ValueError(f"gamma must be from 0 to 1, got {gamma}")
        self.gamma, self.clip = gamma, _checked(clip)
        self.statistics = statistics or RunningStatistics((), self.device)
        self.register_buffer(
            "returns", torch.zeros_like(self.statistics.mean).repeat(self.num_envs)
        )
        self._below = observation_shape(env)
        self._starts = StartFlags()

    def again(self, env: Any) -> Any:
        """Return another environment as it is: evaluation is by the task's own reward."""
        return env

    def reset(self) -> dict[str, Tensor]:
        """Start a fresh episode everywhere."""
        payload: dict[str, Tensor] = self.env.reset()
        self._starts.reset(check_observation(payload, self.num_envs, self._below)[1])
        self.returns.zero_()
        return payload

    def step(self, actions: Any) -> Step:
        """Step the environment, and scale its reward."""
        result = self.env.step(actions)
        step = check_step(result, self.num_envs, self._below)
        payload, reward, done, info = result
        if self.training:
            self._count(step)
        self._starts.after(step.done, step.marked)
        scaled = reward / self.statistics.deviation
        told = {WORLD_REWARD: step.earned.clone(), **info}
        return payload, scaled.clamp(-self.clip, self.clip), done, told

    def _count(self, step: StepResult) -> None:
        live = self._starts.live(step.done)
        self.returns.mul_(self.gamma).add_(torch.where(live, step.reward, 0.0))
        self.statistics.update(self.returns if bool(live.all()) else self.returns[live])
        self.returns.masked_fill_(step.done, 0.0)


def _checked(clip: float) -> float:
    if not clip > 0.0:
        raise ValueError(f"clip must be above 0, got {clip}")
    return clip
