"""Distributions over numbers in a box. `...` is any number of leading axes."""

import math
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from torch.nn.functional import softplus

from simverse.core.categorical import ActionDistribution


@dataclass(frozen=True, eq=False)
class DiagonalGaussian(ActionDistribution):
    """`d` independent normal numbers, clipped to the box on their way to the environment.

    Log-probabilities are those of the numbers before they are clipped, as in Huang et al. 2022,
    "details for continuous action domains" 1 to 4.
    """

    low: Tensor
    """`[d]` float32."""
    high: Tensor
    """`[d]` float32."""

    dtype = torch.float32
    name = "mean and log_std"

    @property
    def width(self) -> int:
        """A mean and a log standard deviation for each number."""
        return 2 * len(self.low)

    @property
    def shape(self) -> tuple[int, ...]:
        """An action is `d` numbers."""
        return (len(self.low),)

    def noise(self, like: Tensor, generator: torch.Generator) -> Tensor:
        """Return standard normal noise `[..., d]`."""
        return like.new_empty(*like.shape[:-1], *self.shape).normal_(generator=generator)

    def describe(self) -> str:
        """How many numbers, and their bounds."""
        low, high = float(self.low.min()), float(self.high.max())
        return f"actions of {len(self.low)} numbers from {low:g} to {high:g}"

    def sample(self, outputs: Tensor, noise: Tensor, _legal: Tensor | None = None) -> Tensor:
        """Return mean plus standard deviation times noise, anywhere."""
        mean, log_std = outputs.chunk(2, dim=-1)
        return torch.addcmul(mean, log_std.exp(), noise)

    def mode(self, outputs: Tensor, _legal: Tensor | None = None) -> Tensor:
        """The means."""
        return outputs.chunk(2, dim=-1)[0]

    def log_prob(self, outputs: Tensor, actions: Tensor, _legal: Tensor | None = None) -> Tensor:
        """The sum over the numbers of `-(z**2 + log(2 pi)) / 2 - log std`."""
        mean, log_std = outputs.chunk(2, dim=-1)
        z = (actions - mean) * (-log_std).exp()
        return (-0.5 * (z.square() + math.log(2 * math.pi)) - log_std).sum(dim=-1)

    def evaluate(
        self, outputs: Tensor, actions: Tensor, _legal: Tensor | None = None
    ) -> tuple[Tensor, Tensor]:
        """With the entropy in closed form: the sum of `log std + (1 + log(2 pi)) / 2`."""
        log_std = outputs.chunk(2, dim=-1)[1]
        nats = (log_std + 0.5 * (1.0 + math.log(2 * math.pi))).sum(dim=-1)
        return self.log_prob(outputs, actions), nats

    def uniform(
        self, count: int, generator: torch.Generator, _legal: Tensor | None = None
    ) -> Tensor:
        """Uniform between two finite bounds, else standard normal and clipped."""
        low, high = self.low.cpu(), self.high.cpu()
        size = (count, len(low))
        within = low + (high - low) * torch.rand(size, generator=generator)
        anywhere = torch.randn(size, generator=generator).clamp(low, high)
        return torch.where(within.isfinite(), within, anywhere)

    def for_env(self, actions: Tensor) -> Tensor:
        """Clip to the box."""
        return actions.clamp(self.low.to(actions.device), self.high.to(actions.device))

    def mask(self, found: Any, marked: Tensor | None, num_envs: int) -> None:
        """Numbers have no masks: one by that name is something else."""

    def unusable(self, outputs: Tensor, _legal: Tensor | None = None) -> Tensor:
        """Return which outputs are not finite, bool `[...]`."""
        return ~outputs.isfinite().all(dim=-1)


@dataclass(frozen=True, eq=False)
class SquashedGaussian(DiagonalGaussian):
    """`d` independent normal numbers `u`, brought into the box by `tanh(u)` and scaled to it.

    A sample is `u` itself, from which the log-density of the action in the box follows exactly
    (Haarnoja et al. 2018, eq. 21). The entropy has no closed form: it is estimated by minus the
    log-density of the action taken, as Stable-Baselines3 does. Under the policy that took the
    action the gradient of that estimate is 0 on average, so the entropy bonus hardly acts.
    """

    def log_prob(self, outputs: Tensor, actions: Tensor, _legal: Tensor | None = None) -> Tensor:
        """That of `u`, minus the sum of `log(1 - tanh(u)**2)` and of the log of the scale."""
        # The same, without the cancellation where tanh is close to 1.
        log_slope = 2.0 * (math.log(2.0) - actions - softplus(-2.0 * actions))
        scale = (0.5 * (self.high - self.low)).double().log().sum().to(outputs)
        return super().log_prob(outputs, actions) - log_slope.sum(dim=-1) - scale

    def evaluate(
        self, outputs: Tensor, actions: Tensor, _legal: Tensor | None = None
    ) -> tuple[Tensor, Tensor]:
        """With the estimate of the entropy."""
        log_prob = self.log_prob(outputs, actions)
        return log_prob, -log_prob

    def for_env(self, actions: Tensor) -> Tensor:
        """Squash into the box."""
        low, high = self.low.to(actions.device), self.high.to(actions.device)
        return torch.lerp(low, high, 0.5 * (actions.tanh() + 1.0)).clamp(low, high)
