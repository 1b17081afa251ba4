"""One PPO update: epochs of minibatches over a batch, and the optimiser's steps."""

import math
from collections.abc import Callable, Iterable, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from simverse.core.distributions import ActionDistribution, Categorical
from simverse.errors import PolicyError
from simverse.training.actor_critic import ActorCritic
from simverse.training.config import PPOConfig
from simverse.training.loss import Batch, loss_gradient, loss_terms


def update(
    actor_critic: ActorCritic,
    optimizer: torch.optim.Optimizer,
    batch: Batch,
    config: PPOConfig,
    generator: torch.Generator,
) -> tuple[int, list[float]]:
    """Improve the policy on a batch by `epochs` of `torch_step`."""
    learn = torch_step(actor_critic, optimizer, config)
    return epochs(learn, batch, config, generator, actor_critic.distribution)


Learn = Callable[[Batch], tuple[Tensor, Tensor]]
"""Takes one step on a minibatch; returns what the policy's outputs `[B, w]` and values `[B]` were
before it."""


def torch_step(
    actor_critic: ActorCritic, optimizer: torch.optim.Optimizer, config: PPOConfig
) -> Learn:
    """Return a step by torch: its forward, backward (autograd's) and optimiser."""
    parameters = [p for group in optimizer.param_groups for p in group["params"]]
    distribution = actor_critic.distribution
    is_closed_form = config.torch_fastpath and isinstance(distribution, Categorical)

    def learn(minibatch: Batch) -> tuple[Tensor, Tensor]:
        _clear_gradients(parameters)
        logits, values = _outputs(actor_critic, minibatch)
        if is_closed_form:
            gradients = loss_gradient(logits, values, minibatch, config)
            _backward((logits, values), gradients)
        else:
            terms = loss_terms(logits, values, minibatch, config, distribution)
            torch.autograd.backward(terms.loss(config))
        if config.max_grad_norm > 0:
            _clip_gradients(parameters, config.max_grad_norm)
        optimizer.step()
        return logits.detach(), values.detach()

    return learn


def epochs(
    learn: Learn,
    batch: Batch,
    config: PPOConfig,
    generator: torch.Generator,
    distribution: ActionDistribution,
) -> tuple[int, list[float]]:
    """Learn from a batch; return the optimiser steps taken and the last epoch's report.

    The epochs end early at `config.target_kl`. The report is that of `LossTerms.report`. A batch
    without a live transition changes nothing. Raises `PolicyError` when the loss is not finite.
    """
    minibatches = math.ceil(len(batch.actions) / config.batch_size)
    if minibatches == 0:
        return 0, [0.0] * 4
    if batch.sequences is not None:
        minibatches = min(minibatches, len(batch.sequences.trainable))
    for epoch in range(1, config.training_epochs + 1):
        watched = epoch == config.training_epochs or config.target_kl is not None
        seen: list[tuple[Tensor, Tensor, Batch]] = []
        for minibatch in _deal(batch, minibatches, generator):
            logits, values = learn(minibatch)
            if watched:
                seen.append((logits, values, minibatch))
        if watched:
            report = _report(seen, config, distribution)
            if config.target_kl is not None and report[3] > config.target_kl:
                break
    return epoch * minibatches, report


def _backward(outputs: Sequence[Tensor], gradients: Sequence[Tensor]) -> None:
    """Propagate each output's gradient; a constant output, a fixed value head say, has none."""
    pairs = [pair for pair in zip(outputs, gradients, strict=True) if pair[0].requires_grad]
    if pairs:
        tensors, their_gradients = zip(*pairs, strict=True)
        torch.autograd.backward(tensors, their_gradients)


def _outputs(actor_critic: ActorCritic, batch: Batch) -> tuple[Tensor, Tensor]:
    """Return the policy's outputs `[B, w]` and values `[B]` for a batch's transitions."""
    if batch.sequences is not None:
        return batch.sequences.run(actor_critic)
    return actor_critic(batch.obs)


def _deal(batch: Batch, minibatches: int, generator: torch.Generator) -> Iterable[Batch]:
    """Return the minibatches of an epoch: all rows in random order, dealt out evenly.

    Shuffled as a whole and then cut: a view costs a fraction of picking a minibatch's rows. Those
    of a recurrent policy are whole sequences.
    """
    if batch.sequences is not None:
        parts = batch.sequences.deal(minibatches, generator)
        return (batch.rows(rows)._replace(sequences=part) for rows, part in parts)
    order = torch.randperm(len(batch.actions), generator=generator, device=generator.device)
    return batch.rows(order).split(minibatches)


def _clear_gradients(parameters: Sequence[Tensor]) -> None:
    """Zero the gradients in place: `flatten_parameters` has made them views of one vector."""
    for parameter in parameters:
        if parameter.grad is not None:
            parameter.grad.zero_()


def _clip_gradients(parameters: Sequence[Tensor], longest: float) -> None:
    """Scale the gradient down to a norm of `longest` if it is longer (Huang et al., detail 11)."""
    gradient = parameters[0].grad
    if len(parameters) > 1 or gradient is None:
        nn.utils.clip_grad_norm_(parameters, longest)
        return
    # The same arithmetic on one vector, without the lists that serve many.
    norm = torch.linalg.vector_norm(gradient)
    gradient.mul_((longest / (norm + 1e-6)).clamp_(max=1.0))


def _report(
    seen: list[tuple[Tensor, Tensor, Batch]], config: PPOConfig, distribution: ActionDistribution
) -> list[float]:
    """Return `LossTerms.report` over an epoch's outputs; `PolicyError` if it is not finite."""
    logits, values, minibatches = zip(*seen, strict=True)
    # Neither the observations nor the sequences of them are looked at.
    columns: list[Any] = list(zip(*minibatches, strict=True))[1:-1]
    joined: list[Any] = [None if column[0] is None else torch.cat(column) for column in columns]
    batch = Batch(minibatches[0].obs, *joined)
    terms = loss_terms(torch.cat(logits), torch.cat(values), batch, config, distribution)
    averages: list[float] = terms.report().tolist()
    if not all(map(math.isfinite, averages)):
        raise PolicyError(f"the loss is no longer finite: {averages}")
    return averages
