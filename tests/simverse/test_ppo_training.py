import pytest
import torch
from torch import nn

from simverse.core.config import EnvConfig
from simverse.envs import grid_goal
from simverse.errors import EnvironmentContractError, PolicyError
from simverse.policies import RandomPolicy, SimplePolicy
from simverse.training.flat import flatten_parameters
from simverse.training.loss import Batch
from simverse.training.ppo import PPOConfig, segment_lengths, train
from simverse.training.rollout import ActorCritic
from simverse.training.update import update
from simverse.training.utils import adam
from tests.simverse.fakes import ACTIONS, LinearCritic, ScriptedEnv, config


def weights(policy):
    """Return a copy of a policy's parameters as one vector."""
    return nn.utils.parameters_to_vector(policy.parameters()).detach().clone()


def trained(seed=0, env=None, optimizer=None, **changes):
    """Return the weights of a small policy after three episodes of the grid task."""
    torch.manual_seed(1)
    env = env or grid_goal.create_env(EnvConfig(num_envs=8, max_steps=20, seed=3))
    policy = SimplePolicy(env.observation_space, env.action_space, hidden=16)
    made = optimizer(policy) if optimizer else None
    settings = PPOConfig.for_task(num_envs=8, max_steps=20, **changes)
    train(env, policy, settings, episodes=3, seed=seed, optimizer=made)
    return weights(policy)


# -- episodes ------------------------------------------------------------------------------------


def test_returns_count_up_to_the_first_done():
    """A sub-environment's return, length and success are those up to its first done, inclusive."""
    env = ScriptedEnv(
        rewards=[[1.0, 1.0], [2.0, 2.0], [4.0, 4.0], [8.0, 8.0]],
        dones=[[0, 0], [1, 0], [0, 0], [1, 0]],
        success=[[0, 0], [0, 1], [1, 0], [1, 0]],
    )
    (stats,) = train(env, LinearCritic(), config(max_steps=4), episodes=1, seed=0)
    assert stats.mean_return == (3.0 + 15.0) / 2
    assert stats.mean_length == (2 + 4) / 2
    assert stats.solve_rate == 0.5  # the first succeeded only in its second episode
    assert stats.env_steps == 8


def test_returns_add_up_across_segments():
    """Cutting a rollout into segments changes neither its return nor its length."""
    env = ScriptedEnv(
        [[1.0], [2.0], [4.0], [8.0]], [[0], [0], [1], [0]], success=[[0], [0], [1], [0]]
    )
    (stats,) = train(env, LinearCritic(), config(buffer_size=1), episodes=1, seed=0)
    assert (stats.mean_return, stats.mean_length, stats.solve_rate) == (7.0, 3.0, 1.0)


def test_success_at_done_counts():
    """Success in the very step that ends the episode is success; a missing entry is none."""
    rewards, dones = [[0.0, 0.0]], [[1, 1]]
    with_success = ScriptedEnv(rewards, dones, success=[[1, 0]])
    settings = config(max_steps=1)
    assert train(with_success, LinearCritic(), settings, episodes=1, seed=0)[0].solve_rate == 0.5
    without = ScriptedEnv(rewards, dones)
    assert train(without, LinearCritic(), settings, episodes=1, seed=0)[0].solve_rate == 0.0


def test_every_episode_starts_with_a_reset():
    """Each episode plays the environment from its first state, and reports are in order."""
    env = ScriptedEnv([[1.0], [2.0]], [[0], [0]])
    seen = []
    history = train(
        env, LinearCritic(), config(max_steps=2), episodes=3, seed=0, on_episode=seen.append
    )
    assert [stats.episode for stats in history] == [0, 1, 2]
    assert [stats.mean_return for stats in history] == [3.0, 3.0, 3.0]
    assert seen == history


def test_frozen_batch_ends_the_episode():
    """No more segments are collected once every sub-environment is frozen."""
    marked = [[0], [1]] + [[1]] * 9
    env = ScriptedEnv([[1.0]] * 10, marked[1:], marked=marked)
    (stats,) = train(env, LinearCritic(), config(max_steps=10, buffer_size=1), episodes=1, seed=0)
    assert stats.env_steps == 2
    assert stats.updates == 2  # one live segment of two epochs; the masked one teaches nothing


# -- segments ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("max_steps", "buffer_size", "num_envs", "lengths"),
    [
        (20, 640, 32, [20]),
        (20, 10_000, 32, [20]),
        (20, 256, 32, [8, 8, 4]),
        (20, 255, 32, [7, 7, 6]),
        (3, 1, 32, [1, 1, 1]),
    ],
)
def test_segment_lengths(max_steps, buffer_size, num_envs, lengths):
    """Segments hold at most `buffer_size` transitions, at least a step, and cover the horizon."""
    settings = config(max_steps=max_steps, buffer_size=buffer_size)
    assert segment_lengths(settings, num_envs) == lengths


def test_each_segment_has_its_own_update():
    """A rollout longer than the buffer is trained on in segments, one update after each."""
    env = ScriptedEnv([[1.0, 1.0]] * 5, [[0, 0]] * 5)
    seen = []

    class Watched(LinearCritic):
        def forward(self, obs):
            if not torch.is_grad_enabled():
                seen.append(self.offset.item())
            return super().forward(obs)

    policy = Watched()
    settings = config(max_steps=5, buffer_size=4, training_epochs=3)
    (stats,) = train(env, policy, settings, episodes=1, seed=0)
    # Segments of 2, 2 and 1 steps, each followed by its bootstrap, under unchanged weights.
    segments = [seen[0:3], seen[3:6], seen[6:8]]
    assert [len(set(part)) for part in segments] == [1, 1, 1]
    assert len({part[0] for part in segments}) == 3
    assert stats.updates == 3 * 3


# -- updates -------------------------------------------------------------------------------------


def test_minibatches_are_dealt_out_evenly():
    """No minibatch exceeds `batch_size`, and none is a leftover much smaller than the others."""
    sizes = []

    class Watched(LinearCritic):
        def forward(self, obs):
            if torch.is_grad_enabled():
                sizes.append(len(obs))
            return super().forward(obs)

    env = ScriptedEnv([[1.0] * 13] * 5, [[0] * 13] * 5)  # 65 transitions
    settings = config(max_steps=5, batch_size=32, training_epochs=1)
    train(env, Watched(), settings, episodes=1, seed=0)
    assert sizes == [22, 22, 21]


def test_every_transition_is_used_once_an_epoch():
    """An epoch's minibatches hold every live transition once."""
    seen = []

    class Watched(LinearCritic):
        def forward(self, obs):
            if torch.is_grad_enabled():
                seen.extend(obs.flatten().tolist())
            return super().forward(obs)

    env = ScriptedEnv([[1.0]] * 7, [[0]] * 7)
    settings = config(max_steps=7, batch_size=2, training_epochs=2)
    train(env, Watched(), settings, episodes=1, seed=0)
    assert sorted(seen[:7]) == sorted(seen[7:]) == [0.0, 1.0, 2.0, 3.0, 4.0, 5.0, 6.0]
    assert seen[:7] != seen[7:]


def test_gradients_are_clipped_to_the_norm():
    """A step of plain gradient descent is `max_grad_norm` long when the gradient is longer."""
    env = ScriptedEnv([[1000.0]] * 4, [[0]] * 4)
    policy = LinearCritic()
    before = weights(policy)
    settings = config(training_epochs=1, max_grad_norm=0.25)
    descent = torch.optim.SGD(policy.parameters(), lr=1.0)
    train(env, policy, settings, episodes=1, seed=0, optimizer=descent)
    assert (weights(policy) - before).norm().item() == pytest.approx(0.25, rel=1e-4)


def test_batch_without_live_transitions_changes_nothing():
    """An update on nothing takes no step, not even one of Adam's momentum."""
    policy = LinearCritic()
    before = weights(policy)
    empty = Batch(torch.zeros(0, 1, 1, 1), torch.zeros(0).long(), *[torch.zeros(0)] * 3)
    generator = torch.Generator().manual_seed(0)
    actor_critic = ActorCritic(policy, ACTIONS)
    result = update(actor_critic, adam(policy, lr=1.0), empty, config(), generator)
    assert result == (0, [0.0] * 4)
    assert torch.equal(weights(policy), before)


def test_the_critic_learns_the_return():
    """Trained on a reward of 100 that ends the episode, the critic comes to say 100."""
    env = ScriptedEnv([[100.0] * 4], [[1] * 4])
    policy = LinearCritic()
    settings = config(max_steps=1, lr=1.0, max_grad_norm=1e9, training_epochs=20)
    train(env, policy, settings, episodes=20, seed=0)
    assert policy.offset.item() == pytest.approx(100.0, abs=1.0)


def test_closed_form_and_autograd_train_alike():
    """`torch_fastpath` changes the time an update takes, not where it leads."""
    fast, slow = trained(torch_fastpath=True), trained(torch_fastpath=False)
    torch.testing.assert_close(fast, slow, rtol=1e-3, atol=1e-4)


def test_flat_parameters_train_like_separate_ones():
    """Adam over one vector of all parameters leads where Adam over each of them does."""
    flat, separate = trained(), trained(optimizer=lambda policy: adam(policy, lr=3e-4))
    torch.testing.assert_close(flat, separate, rtol=1e-3, atol=1e-4)


def test_flat_parameters_keep_their_values():
    """Flattening moves values and gradients into one vector without changing a value."""
    layer = nn.Linear(3, 2)
    before = {name: value.clone() for name, value in layer.state_dict().items()}
    flat = flatten_parameters(list(layer.parameters()))
    assert all(torch.equal(before[name], value) for name, value in layer.state_dict().items())
    layer(torch.ones(1, 3)).sum().backward()
    assert flat.grad.tolist() == [1.0] * 8
    flat.data.zero_()
    assert layer(torch.ones(1, 3)).tolist() == [[0.0, 0.0]]
    layer.load_state_dict(before)
    assert flat[:6].tolist() == before["weight"].flatten().tolist()


def test_frozen_parameters_stay_as_they_are():
    """A parameter that asks for no gradient is not trained."""
    env = ScriptedEnv([[1.0]] * 4, [[0]] * 4)
    policy = LinearCritic(scale=0.5)
    policy.scale.requires_grad_(False)
    train(env, policy, config(), episodes=2, seed=0)
    assert policy.scale.item() == 0.5
    assert policy.offset.item() != 0.0


def test_bf16_keeps_weights_in_float32():
    """Under bf16 the policy computes in half the bits, learns, and stays float32."""
    env = grid_goal.create_env(EnvConfig(num_envs=8, max_steps=20, seed=3))
    policy = SimplePolicy(env.observation_space, env.action_space, hidden=16)
    before = weights(policy)
    settings = PPOConfig.for_task(num_envs=8, max_steps=20)
    train(env, policy, settings, episodes=1, seed=0, precision="bf16")
    after = weights(policy)
    assert after.dtype == torch.float32
    assert bool(after.isfinite().all())
    assert not torch.equal(after, before)


# -- determinism ---------------------------------------------------------------------------------


def test_same_seed_same_weights():
    """The same seed gives the same weights to the bit, another seed others."""
    assert torch.equal(trained(seed=4), trained(seed=4))
    assert not torch.equal(trained(seed=4), trained(seed=5))


def test_global_generator_does_not_matter():
    """Draws from torch's global generator disturb neither actions nor the order of minibatches."""

    class Greedy(grid_goal.GridGoal):
        def step(self, actions):
            torch.rand(17)
            return super().step(actions)

    settings = EnvConfig(num_envs=8, max_steps=20, seed=3)
    assert torch.equal(trained(), trained(env=Greedy(settings)))


# -- faults --------------------------------------------------------------------------------------


def test_policy_without_parameters():
    """A policy with nothing to train is named as such."""
    env = ScriptedEnv([[1.0]], [[0]])
    with pytest.raises(PolicyError, match="no trainable parameters"):
        train(env, RandomPolicy(env.action_space), config(), episodes=1, seed=0)


def test_diverging_training_is_noticed():
    """Weights that leave the numbers raise PolicyError instead of training on."""
    env = ScriptedEnv([[1e30]] * 4, [[0]] * 4)
    with pytest.raises(PolicyError, match="finite"):
        train(env, LinearCritic(), config(), episodes=2, seed=0)


def test_observation_space_must_have_three_axes():
    """An observation space that is not (C, H, W) is refused before any step."""

    class Flat(ScriptedEnv):
        @property
        def observation_space(self):
            return torch.zeros(4)

    with pytest.raises(EnvironmentContractError, match=r"\(C, H, W\), got .*\[4\]"):
        train(Flat([[1.0]], [[0]]), LinearCritic(), config(), episodes=1, seed=0)


@pytest.mark.parametrize("fastpath", [True, False])
def test_a_constant_value_head_trains(fastpath):
    """A policy whose value does not depend on its weights learns by the policy loss alone."""

    class Fixed(nn.Module):
        def __init__(self):
            super().__init__()
            self.logits = nn.Linear(50, 4)

        def forward(self, obs):
            return self.logits(obs.flatten(1)), torch.zeros(len(obs), 1)

    policy = Fixed()
    before = policy.logits.weight.detach().clone()
    env = grid_goal.create_env(EnvConfig(num_envs=4, max_steps=8, seed=1))
    settings = PPOConfig.for_task(num_envs=4, max_steps=8, torch_fastpath=fastpath)
    train(env, policy, settings, episodes=1, seed=1)
    assert not torch.equal(policy.logits.weight, before)
