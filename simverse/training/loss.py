"""PPO's loss (Schulman et al. 2017) in pure functions, and its gradient written out.

`B` is transitions in a minibatch, `n` is actions. Details beyond the paper follow Huang et al.
2022, "The 37 implementation details of proximal policy optimization": entropy bonus, value loss of
one half, clipping of the value loss as an option.
"""

from collections.abc import Callable, Iterator
from itertools import repeat
from typing import Any, NamedTuple

import torch
from torch import Tensor
from torch.nn.functional import log_softmax

from simverse.core.categorical import ActionDistribution, Categorical, action_log_probs
from simverse.core.legal import legal_logits
from simverse.training.config import PPOConfig
from simverse.training.sequences import Sequences


class Batch(NamedTuple):
    """Transitions to learn from. The critic's targets are returns as they are, never normalised."""

    obs: Tensor
    """`[B, C, H, W]` float32."""
    actions: Tensor
    """`[B]` int64, or `[B, *shape]` of the distribution's shape and dtype."""
    log_probs: Tensor
    """`[B]`: log-probabilities under the policy that acted."""
    advantages: Tensor
    """`[B]`."""
    returns: Tensor
    """`[B]`."""
    values: Tensor | None = None
    """`[B]`: the critic's values when acting; there if the value loss is clipped."""
    legal: Tensor | None = None
    """`[B, n]` bool: the actions that were legal; there unless all of them are."""
    sequences: Sequences | None = None
    """Those whose live slots the transitions are; there if the policy is recurrent."""

    def each(self, change: Callable[[Tensor], Tensor]) -> "Batch":
        """Return the batch with every tensor that is there changed, without its sequences."""
        columns: list[Any] = [None if column is None else change(column) for column in self[:-1]]
        return Batch(*columns)

    def rows(self, index: Tensor) -> "Batch":
        """Return the transitions at `index` (int64), in that order."""
        return self.each(lambda column: column.index_select(0, index))

    def split(self, parts: int) -> Iterator["Batch"]:
        """Return so many batches of the transitions in their order, as even as can be."""
        columns = (repeat(None) if c is None else c.tensor_split(parts) for c in self[:-1])
        return map(Batch, *columns)


def clipped_surrogate(log_ratio: Tensor, advantages: Tensor, clip_epsilon: float) -> Tensor:
    """Return the objective of each transition `[B]`, to be maximised (eq. 7).

    `log_ratio` is the log-probability now minus that when acting.
    """
    ratio = log_ratio.exp()
    clipped = ratio.clamp(1.0 - clip_epsilon, 1.0 + clip_epsilon)
    return torch.minimum(ratio * advantages, clipped * advantages)


def value_loss(values: Tensor, returns: Tensor) -> Tensor:
    """Return half the squared error of each value `[B]`."""
    return 0.5 * (values - returns).square()


def clipped_value_loss(
    values: Tensor, returns: Tensor, old_values: Tensor, value_clip: float
) -> Tensor:
    """Return the larger of the losses `[B]` of values and of values near the old ones."""
    near = old_values + (values - old_values).clamp(-value_clip, value_clip)
    return torch.maximum(value_loss(values, returns), value_loss(near, returns))


def approximate_kl(log_ratio: Tensor) -> Tensor:
    """Return the terms `[B]` whose mean estimates KL(old || new): `(r - 1) - log r >= 0`."""
    return log_ratio.expm1() - log_ratio


class LossTerms(NamedTuple):
    """Per-transition terms `[B]`, whose means are the loss (eq. 9) and what is reported of it."""

    surrogate: Tensor
    value_loss: Tensor
    entropy: Tensor
    approx_kl: Tensor

    def loss(self, config: PPOConfig) -> Tensor:
        """Return the scalar to minimise."""
        per_transition = (
            config.value_coef * self.value_loss
            - self.surrogate
            - config.entropy_coef * self.entropy
        )
        return per_transition.mean()

    def report(self) -> Tensor:
        """Return `[4]`: policy loss, value loss, entropy, approximate KL."""
        means = torch.stack(self).detach().mean(dim=1)
        means[0].neg_()
        return means


def loss_terms(
    logits: Tensor,
    values: Tensor,
    batch: Batch,
    config: PPOConfig,
    distribution: ActionDistribution | None = None,
) -> LossTerms:
    """Return the terms of the loss for logits `[B, n]` and values `[B]`.

    `distribution` is what the logits describe; without it, one of `n` actions is chosen.
    """
    distribution = distribution or Categorical(logits.shape[1])
    log_probs, entropy = distribution.evaluate(logits, batch.actions, batch.legal)
    log_ratio = log_probs - batch.log_probs
    return LossTerms(
        clipped_surrogate(log_ratio, batch.advantages, config.clip_epsilon),
        value_loss(values, batch.returns)
        if config.value_clip is None or batch.values is None
        else clipped_value_loss(values, batch.returns, batch.values, config.value_clip),
        entropy,
        approximate_kl(log_ratio),
    )


@torch.no_grad()
def loss_gradient(
    logits: Tensor, values: Tensor, batch: Batch, config: PPOConfig
) -> tuple[Tensor, Tensor]:
    """Return the gradient of `loss_terms(...).loss(config)` at the logits and at the values.

    For the choice of one of `n` actions; other distributions are left to autograd.

    With `p = softmax(logits)` and entropy `H`: `d log p_a / d logits = onehot(a) - p` and
    `dH / d logits = -p * (log p + H)`. The surrogate's gradient is `ratio * A` times the former, or
    nothing where the clipped term is the smaller one. An illegal action's `p` is 0, and so is its
    gradient.
    """
    count = values.shape[0]
    log_probs = log_softmax(legal_logits(logits, batch.legal), dim=-1)
    probs = log_probs.exp()
    ratio = (action_log_probs(log_probs, batch.actions) - batch.log_probs).exp()
    gain = ratio * batch.advantages
    capped = ratio.clamp(1.0 - config.clip_epsilon, 1.0 + config.clip_epsilon) * batch.advantages
    slope = torch.where(gain <= capped, gain, 0.0).mul_(-1.0 / count).unsqueeze(1)
    plogp = probs * log_probs
    at_logits = torch.addcmul(plogp, probs, -plogp.sum(dim=-1, keepdim=True))
    at_logits.mul_(config.entropy_coef / count).addcmul_(probs, slope, value=-1.0)
    at_logits.scatter_add_(1, batch.actions.unsqueeze(1), slope)
    error = values - batch.returns
    if config.value_clip is not None and batch.values is not None:
        clipped = clipped_value_loss(values, batch.returns, batch.values, config.value_clip)
        # Where the clipped loss is the larger one, the value is out of its reach: a constant. Only
        # beyond the clip: within it the two are one number, rounded in two ways.
        beyond = (values - batch.values).abs() > config.value_clip
        constant = beyond & (clipped > value_loss(values, batch.returns))
        error = torch.where(constant, 0.0, error)
    return at_logits, error.mul_(config.value_coef / count)
