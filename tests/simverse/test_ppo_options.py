"""PPO's options beyond the contract's: each does what its source says, and nothing while off."""

import pytest
import torch
from torch import nn

from simverse.core.config import EnvConfig
from simverse.envs import grid_goal
from simverse.policies import SimplePolicy
from simverse.policies.simple import Tanh
from simverse.training.loss import Batch, clipped_value_loss, loss_gradient, loss_terms
from simverse.training.ppo import PPOConfig, train
from simverse.training.rollout import ActorCritic
from simverse.training.update import update
from simverse.training.utils import Annealing, adam
from tests.simverse.fakes import LinearCritic, ScriptedEnv, config


def trained(**changes):
    """Return weights and history of a small policy after four episodes of the grid task."""
    torch.manual_seed(1)
    env = grid_goal.create_env(EnvConfig(num_envs=8, max_steps=20, seed=3))
    policy = SimplePolicy(env.observation_space, env.action_space, hidden=16)
    settings = PPOConfig.for_task(num_envs=8, max_steps=20, **changes)
    history = train(env, policy, settings, episodes=4, seed=0)
    return nn.utils.parameters_to_vector(policy.parameters()).detach().clone(), history


@pytest.mark.parametrize("far", [{"value_clip": 1e9}, {"target_kl": 1e9}])
@pytest.mark.parametrize("fastpath", [True, False])
def test_options_that_never_bite_change_nothing(far, fastpath):
    """A limit that is never reached trains to the same bits as no limit."""
    without, _ = trained(torch_fastpath=fastpath, normalize_advantages=False)
    with_it, _ = trained(torch_fastpath=fastpath, normalize_advantages=False, **far)
    if fastpath or "target_kl" in far:
        assert torch.equal(without, with_it)
    else:  # autograd splits a tie's gradient in two halves, which rounds
        torch.testing.assert_close(without, with_it, rtol=1e-3, atol=1e-4)


def test_annealing_falls_linearly():
    """Over four updates the step size is the whole, three quarters, a half and a quarter."""
    policy = LinearCritic()
    optimizer = adam(policy, lr=0.8)
    annealing = Annealing(optimizer, 4)
    sizes = []
    for _ in range(4):
        annealing.step()
        sizes.append(optimizer.param_groups[0]["lr"])
    assert sizes == pytest.approx([0.8, 0.6, 0.4, 0.2])


def test_annealing_reaches_over_all_updates():
    """In training, episodes and their segments share one descent."""
    env, policy = ScriptedEnv([[1.0]] * 4, [[0]] * 4), LinearCritic()
    descent = torch.optim.SGD(policy.parameters(), lr=1.0)
    sizes = []
    descent.register_step_pre_hook(lambda *_: sizes.append(descent.param_groups[0]["lr"]))
    settings = config(buffer_size=2, training_epochs=1, anneal_lr=True)
    train(env, policy, settings, episodes=2, seed=0, optimizer=descent)
    assert sizes == pytest.approx([1.0, 0.75, 0.5, 0.25])


def test_clipped_value_loss():
    """By hand: a value that has moved further than the clip counts where it was allowed to."""
    values, old = torch.tensor([3.0, 3.0, 0.1]), torch.zeros(3)
    returns = torch.tensor([4.0, 1.5, 1.0])
    # 1: moved 3 towards 4; near is 1, half of 3^2. 2: beyond 1.5; half of 1.5^2. 3: within reach.
    expected = torch.tensor([4.5, 1.125, 0.405])
    torch.testing.assert_close(clipped_value_loss(values, returns, old, 1.0), expected)


def test_gradient_of_the_clipped_value_loss():
    """The closed form is autograd's gradient, values inside and outside their reach alike."""
    generator = torch.Generator().manual_seed(0)
    count, actions = 64, 3

    def draw(*shape):
        return torch.randn(shape, generator=generator, dtype=torch.float64)

    batch = Batch(
        torch.zeros(count, 1, 1, 1),
        torch.randint(actions, (count,), generator=generator),
        -draw(count).abs(),
        draw(count),
        draw(count),
        draw(count),
    )
    settings = config(value_clip=0.5)
    logits, values = draw(count, actions).requires_grad_(), draw(count).requires_grad_()
    loss = loss_terms(logits, values, batch, settings).loss(settings)
    wanted = torch.autograd.grad(loss, (logits, values))
    found = loss_gradient(logits.detach(), values.detach(), batch, settings)
    torch.testing.assert_close(found, wanted)
    assert (found[1] == 0).any()


def test_value_clipping_slows_the_critic():
    """With a small reach the critic moves less towards far returns."""
    env = [[100.0] * 4], [[1] * 4]

    def offset(**changes):
        policy = LinearCritic()
        settings = config(max_steps=1, lr=1.0, max_grad_norm=0, training_epochs=20, **changes)
        train(ScriptedEnv(*env), policy, settings, episodes=1, seed=0)
        return policy.offset.item()

    assert offset() > 15.0
    assert offset(value_clip=2.0) < 12.0


def test_kl_stop_ends_an_update():
    """A large step passes the limit in its first epoch that can see it, and no more follow."""
    _, free = trained(lr=0.05, training_epochs=10)
    _, stopped = trained(lr=0.05, training_epochs=10, target_kl=0.02)
    assert stopped[0].updates < free[0].updates
    assert stopped[0].approx_kl > 0.02


def test_kl_stop_keeps_the_epoch_it_saw():
    """The epoch whose KL is too large is finished; the next one is not begun."""
    policy = LinearCritic()
    ones = torch.ones(8)
    batch = Batch(torch.zeros(8, 1, 1, 1), torch.zeros(8).long(), -3 * ones, ones, ones)
    steps, report = update(
        ActorCritic(policy, 2),
        adam(policy, lr=1e-3),
        batch,
        config(batch_size=4, training_epochs=5, target_kl=0.1),
        torch.Generator().manual_seed(0),
    )
    assert steps == 2
    assert report[3] > 0.1


def test_library_policy_begins_orthogonal():
    """Hidden layers are orthogonal with gain sqrt(2), the logits' 0.01, the value's 1."""
    env = grid_goal.create_env(EnvConfig(num_envs=1, max_steps=20))
    policy = SimplePolicy(env.observation_space, env.action_space, hidden=16)
    layers = [(half, 2**0.5) for half in (*policy.first.weight.split(16), *policy.second)]
    layers += [(policy.actor.weight, 0.01), (policy.critic.weight, 1.0)]
    for weight, gain in layers:
        rows = weight @ weight.T if len(weight) <= weight.shape[1] else weight.T @ weight
        torch.testing.assert_close(rows, gain**2 * torch.eye(len(rows)))
    for bias in (policy.first.bias, policy.second_bias, policy.actor.bias, policy.critic.bias):
        assert not bias.any()


def test_fast_tanh():
    """The library's tanh is torch's to 1e-6, and so is its gradient."""
    inputs = torch.linspace(-12, 12, 1001).requires_grad_()
    fast, exact = Tanh()(inputs), inputs.tanh()
    torch.testing.assert_close(fast, exact, rtol=0, atol=1e-6)
    (fast_gradient,) = torch.autograd.grad(fast.sum(), inputs)
    (gradient,) = torch.autograd.grad(exact.sum(), inputs)
    torch.testing.assert_close(fast_gradient, gradient, rtol=0, atol=1e-6)
