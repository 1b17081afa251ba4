import math

import pytest
import torch
from torch.nn.functional import log_softmax

from simverse.core.categorical import action_log_probs, entropy
from simverse.training.loss import (
    Batch,
    approximate_kl,
    clipped_surrogate,
    loss_gradient,
    loss_terms,
    value_loss,
)
from tests.simverse.fakes import config


@pytest.mark.parametrize(
    ("ratio", "advantage", "objective"),
    [
        (1.5, 2.0, 2.4),  # too likely already: capped at 1.2
        (1.5, -2.0, -3.0),  # a mistake made more likely: felt in full
        (0.5, 2.0, 1.0),  # a good action made unlikely: felt in full
        (0.5, -2.0, -1.6),  # unlikely enough already: capped at 0.8
        (1.1, 2.0, 2.2),  # within the clip range
        (0.9, -2.0, -1.8),
    ],
)
def test_clipped_surrogate(ratio, advantage, objective):
    """Equation 7 with epsilon 0.2, on either side of the clip and for either sign."""
    log_ratio = torch.tensor([math.log(ratio)], dtype=torch.float64)
    got = clipped_surrogate(log_ratio, torch.tensor([advantage], dtype=torch.float64), 0.2)
    assert got.item() == pytest.approx(objective)


@pytest.mark.parametrize(
    ("ratio", "advantage", "flows"),
    [(1.5, 2.0, False), (1.5, -2.0, True), (0.5, 2.0, True), (0.5, -2.0, False)],
)
def test_clipped_surrogate_gradient(ratio, advantage, flows):
    """The gradient is ratio times advantage, or nothing once clipping has taken over."""
    log_ratio = torch.tensor([math.log(ratio)], dtype=torch.float64, requires_grad=True)
    clipped_surrogate(log_ratio, torch.tensor([advantage]).double(), 0.2).sum().backward()
    assert log_ratio.grad.item() == pytest.approx(ratio * advantage if flows else 0.0)


def test_value_loss_is_half_the_squared_error():
    """Half the squared error, so the contract's 0.5 * 0.5 * MSE is `value_coef` times its mean."""
    got = value_loss(torch.tensor([1.0, 2.0]), torch.tensor([4.0, 2.0]))
    assert got.tolist() == [4.5, 0.0]


def test_entropy_of_known_distributions():
    """Entropy is log n for n equally likely actions and 0 for a certain one."""
    log_probs = log_softmax(torch.tensor([[0.0, 0.0, 0.0, 0.0], [99.0, 0.0, 0.0, 0.0]]), dim=-1)
    assert entropy(log_probs).tolist() == pytest.approx([math.log(4), 0.0], abs=1e-6)


def test_approximate_kl():
    """The estimate is 0 for an unchanged policy and (r - 1) - log r otherwise."""
    log_ratio = torch.tensor([0.0, math.log(2.0)])
    assert approximate_kl(log_ratio).tolist() == pytest.approx([0.0, 1.0 - math.log(2.0)])


def random_batch(count=64, actions=3):
    """Return logits, values and a batch far enough from each other to be clipped either way."""
    generator = torch.Generator().manual_seed(5)

    def normal(*shape):
        return torch.randn(shape, generator=generator, dtype=torch.float64)

    taken = torch.randint(actions, (count,), generator=generator)
    old = action_log_probs(log_softmax(normal(count, actions), dim=-1), taken)
    batch = Batch(normal(count, 1, 1, 1), taken, old, normal(count), 5 * normal(count))
    return normal(count, actions).requires_grad_(), normal(count).requires_grad_(), batch


def test_loss_adds_up_as_in_equation_9():
    """The loss is minus the surrogate, plus the weighted value loss, minus the weighted entropy."""
    logits, values, batch = random_batch()
    terms = loss_terms(logits, values, batch, config(value_coef=0.5, entropy_coef=0.1))
    by_hand = -terms.surrogate.mean() + 0.5 * terms.value_loss.mean() - 0.1 * terms.entropy.mean()
    assert terms.loss(config(entropy_coef=0.1)).item() == pytest.approx(by_hand.item())
    reported = [-terms.surrogate, terms.value_loss, terms.entropy, terms.approx_kl]
    assert terms.report().tolist() == pytest.approx([term.mean().item() for term in reported])


def test_closed_form_gradient_is_autograd_s():
    """The gradient written out equals autograd's on a batch with clipped and unclipped rows."""
    settings = config(entropy_coef=0.3, value_coef=0.7)
    logits, values, batch = random_batch()
    loss_terms(logits, values, batch, settings).loss(settings).backward()
    at_logits, at_values = loss_gradient(logits, values, batch, settings)
    torch.testing.assert_close(at_logits, logits.grad, rtol=1e-12, atol=1e-14)
    torch.testing.assert_close(at_values, values.grad, rtol=1e-12, atol=1e-14)


def test_critic_regresses_on_returns_as_they_are():
    """A critic at 0 facing returns of 90 and 110 feels all of it.

    Returns normalised to -1 and 1 would give a loss of 0.5 and gradients of opposite signs.
    """
    returns = torch.tensor([90.0, 110.0])
    batch = Batch(torch.zeros(2, 1, 1, 1), *[torch.zeros(2)] * 3, returns)
    batch = batch._replace(actions=torch.zeros(2, dtype=torch.int64))
    values = torch.zeros(2, requires_grad=True)
    settings = config(value_coef=0.5, entropy_coef=0.0)
    terms = loss_terms(torch.zeros(2, 2), values, batch, settings)
    assert terms.value_loss.mean().item() == pytest.approx(0.25 * (90.0**2 + 110.0**2))
    terms.loss(settings).backward()
    assert values.grad.tolist() == pytest.approx([-22.5, -27.5])
