"""The base of all action distributions, and those that choose among actions.

`...` is any number of leading axes.
"""

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from torch.nn.functional import log_softmax

from simverse.core.legal import greedy_actions, legal_actions, legal_logits, require_legal_action


class ActionDistribution(ABC):
    """A distribution over one environment's actions, given a policy's first output `[..., w]`."""

    dtype: torch.dtype = torch.int64
    """Of actions."""
    name: str = "logits"
    """What the policy's first output is called in messages."""

    @property
    @abstractmethod
    def width(self) -> int:
        """`w`, the numbers in a row of the policy's first output."""

    @property
    @abstractmethod
    def shape(self) -> tuple[int, ...]:
        """The shape of one action: `()`, or `(k,)` of its components."""

    def noise(self, like: Tensor, generator: torch.Generator) -> Tensor:
        """Return what `sample` needs for outputs of the shape of `like`: Gumbel noise."""
        return torch.empty_like(like).exponential_(generator=generator).log_().neg_()

    @abstractmethod
    def describe(self) -> str:
        """Return the actions in a few words."""

    @abstractmethod
    def sample(self, outputs: Tensor, noise: Tensor, legal: Tensor | None = None) -> Tensor:
        """Return random actions `[..., *shape]`, as `log_prob` takes them."""

    @abstractmethod
    def mode(self, outputs: Tensor, legal: Tensor | None = None) -> Tensor:
        """Return greedy actions `[..., *shape]`, as `log_prob` takes them."""

    @abstractmethod
    def log_prob(self, outputs: Tensor, actions: Tensor, legal: Tensor | None = None) -> Tensor:
        """Return the log-probability (or log-density) of each action, `[...]`."""

    @abstractmethod
    def evaluate(
        self, outputs: Tensor, actions: Tensor, legal: Tensor | None = None
    ) -> tuple[Tensor, Tensor]:
        """Return `log_prob` and the entropy, in nats, `[...]` each."""

    @abstractmethod
    def uniform(
        self, count: int, generator: torch.Generator, legal: Tensor | None = None
    ) -> Tensor:
        """Return `count` actions for the environment that no policy chose, on the CPU."""

    def for_env(self, actions: Tensor) -> Tensor:
        """Return sampled or greedy actions as the environment takes them."""
        return actions

    def mask(self, found: Any, marked: Tensor | None, num_envs: int) -> Tensor | None:
        """Return an observation dict's `mask` `[N, w]` if it is one (see `legal_actions`)."""
        return legal_actions(found, marked, num_envs, self.width)

    def unusable(self, outputs: Tensor, legal: Tensor | None = None) -> Tensor:
        """Return from which outputs no action can be drawn, bool `[...]`.

        Those with a NaN or plus infinity, and those whose every (legal) logit is minus infinity.
        """
        finite = outputs.isfinite()
        choice = finite.any(dim=-1)
        if legal is not None:
            choice &= (finite & legal).any(dim=-1) | ~legal.any(dim=-1)
        return ~(finite | outputs.isneginf()).all(dim=-1) | ~choice


def action_log_probs(log_probs: Tensor, actions: Tensor) -> Tensor:
    """Return the log-probabilities `[...]` of the actions taken, from those of all `[..., n]`."""
    return log_probs.gather(-1, actions.unsqueeze(-1)).squeeze(-1)


def entropy(log_probs: Tensor) -> Tensor:
    """Return the entropy of each choice `[...]`, `-sum p log p` in nats, from `[..., n]`."""
    return -(log_probs.exp() * log_probs).sum(dim=-1)


@dataclass(frozen=True)
class Categorical(ActionDistribution):
    """One of `n` actions, with probabilities `softmax(logits)`."""

    n: int

    @property
    def width(self) -> int:
        """`n`."""
        return self.n

    @property
    def shape(self) -> tuple[int, ...]:
        """An action is a number."""
        return ()

    def describe(self) -> str:
        """How many there are."""
        return f"{self.n} actions"

    def sample(self, outputs: Tensor, noise: Tensor, legal: Tensor | None = None) -> Tensor:
        """By the Gumbel-max trick: the argmax of logits plus such noise is a softmax sample."""
        return greedy_actions(outputs + noise, legal)

    def mode(self, outputs: Tensor, legal: Tensor | None = None) -> Tensor:
        """The most likely action."""
        return greedy_actions(outputs, legal)

    def log_prob(self, outputs: Tensor, actions: Tensor, legal: Tensor | None = None) -> Tensor:
        """`log softmax(logits)` at the action."""
        return action_log_probs(log_softmax(legal_logits(outputs, legal), dim=-1), actions)

    def evaluate(
        self, outputs: Tensor, actions: Tensor, legal: Tensor | None = None
    ) -> tuple[Tensor, Tensor]:
        """With the entropy in closed form."""
        log_probs = log_softmax(legal_logits(outputs, legal), dim=-1)
        return action_log_probs(log_probs, actions), entropy(log_probs)

    def uniform(
        self, count: int, generator: torch.Generator, legal: Tensor | None = None
    ) -> Tensor:
        """Every legal action is as likely as any other."""
        if legal is None:
            return torch.randint(self.n, (count,), generator=generator)
        return greedy_actions(torch.rand(legal.shape, generator=generator), legal.cpu())


@dataclass(frozen=True)
class MultiCategorical(ActionDistribution):
    """One of `nvec[i]` actions for each component `i`, independently."""

    nvec: tuple[int, ...]

    @property
    def width(self) -> int:
        """The logits of all components."""
        return sum(self.nvec)

    @property
    def shape(self) -> tuple[int, ...]:
        """An action is a number for each component."""
        return (len(self.nvec),)

    def describe(self) -> str:
        """How many there are for each component."""
        return f"{' x '.join(map(str, self.nvec))} actions"

    def sample(self, outputs: Tensor, noise: Tensor, legal: Tensor | None = None) -> Tensor:
        """As `Categorical` for each component."""
        return self.mode(outputs + noise, legal)

    def mode(self, outputs: Tensor, legal: Tensor | None = None) -> Tensor:
        """The most likely action of each component."""
        parts = zip(self._split(outputs), self._split(legal), strict=True)
        return torch.stack([greedy_actions(logits, mask) for logits, mask in parts], dim=-1)

    def log_prob(self, outputs: Tensor, actions: Tensor, legal: Tensor | None = None) -> Tensor:
        """The sum over components."""
        return self.evaluate(outputs, actions, legal)[0]

    def evaluate(
        self, outputs: Tensor, actions: Tensor, legal: Tensor | None = None
    ) -> tuple[Tensor, Tensor]:
        """The sums over components."""
        parts = zip(
            self.nvec, self._split(outputs), actions.unbind(-1), self._split(legal), strict=True
        )
        found = [Categorical(n).evaluate(logits, taken, mask) for n, logits, taken, mask in parts]
        log_probs, entropies = zip(*found, strict=True)
        return torch.stack(log_probs).sum(dim=0), torch.stack(entropies).sum(dim=0)

    def uniform(
        self, count: int, generator: torch.Generator, legal: Tensor | None = None
    ) -> Tensor:
        """As `Categorical` for each component."""
        parts = zip(self.nvec, self._split(legal), strict=True)
        drawn = [Categorical(n).uniform(count, generator, mask) for n, mask in parts]
        return torch.stack(drawn, dim=-1)

    def mask(self, found: Any, marked: Tensor | None, num_envs: int) -> Tensor | None:
        """Return the mask `[N, w]`; each component needs a legal action."""
        mask = super().mask(found, marked, num_envs)
        for part in [] if mask is None else self._split(mask):
            require_legal_action(part, marked)
        return mask

    def unusable(self, outputs: Tensor, legal: Tensor | None = None) -> Tensor:
        """Return from which outputs no action can be drawn for a component, bool `[...]`."""
        parts = zip(self._split(outputs), self._split(legal), strict=True)
        wrong = [super(MultiCategorical, self).unusable(*part) for part in parts]
        return torch.stack(wrong).any(dim=0)

    def _split(self, rows: Tensor | None) -> Sequence[Any]:
        """Return what belongs to each component, `[..., nvec[i]]`; None of None."""
        return [None] * len(self.nvec) if rows is None else torch.split(rows, [*self.nvec], dim=-1)
