"""Fused training against torch's: the same to rounding, and to the bit when repeated."""

import contextlib
import math

import numpy as np
import pytest
import torch
from torch import nn

from simverse.checkpoint import CheckpointError
from simverse.core.config import EnvConfig
from simverse.core.distributions import Categorical
from simverse.envs import grid_goal
from simverse.errors import PolicyError
from simverse.policies import SimplePolicy
from simverse.training.actor_critic import ActorCritic
from simverse.training.checkpoints import TrainingCheckpoints
from simverse.training.config import PPOConfig
from simverse.training.fused import fused_learner
from simverse.training.loss import Batch
from simverse.training.ppo import train
from simverse.training.update import update
from simverse.training.utils import adam
from tests.simverse.test_fused_reader import ACTIONS, KNOWN, SHAPE, Base, Scaled

ROWS = 42
LEARNING_RATE = 1e-3


def batch(masked=False, old_values=False):
    """Return transitions whose policy has moved on, some beyond the clip."""
    generator = torch.Generator().manual_seed(7)
    draw = lambda *shape: torch.randn(shape, generator=generator)  # noqa: E731
    actions = torch.randint(ACTIONS, (ROWS,), generator=generator)
    legal = None
    if masked:
        legal = torch.rand((ROWS, ACTIONS), generator=generator) < 0.6
        legal[torch.arange(ROWS), actions] = True
    return Batch(
        obs=draw(ROWS, *SHAPE),
        actions=actions,
        log_probs=-1.1 + 0.3 * draw(ROWS),
        advantages=draw(ROWS),
        returns=draw(ROWS),
        values=draw(ROWS) if old_values else None,
        legal=legal,
    )


def config(**changes):
    return PPOConfig(
        **{"batch_size": 16, "buffer_size": 64, "max_steps": 4, "lr": LEARNING_RATE} | changes
    )


def vector(policy):
    return nn.utils.parameters_to_vector(policy.parameters()).detach().clone()


def made(make):
    torch.manual_seed(5)
    return make()


def by_torch(make, transitions, settings):
    """Return weights and report of one update by autograd and torch's Adam."""
    policy = made(make)
    generator = torch.Generator().manual_seed(11)
    found = update(
        ActorCritic(policy, ACTIONS), adam(policy, lr=settings.lr), transitions, settings, generator
    )
    return vector(policy), found


def fused(make, transitions, settings):
    policy = made(make)
    learner = fused_learner(policy, SHAPE, Categorical(ACTIONS), settings)
    found = learner.update(transitions, torch.Generator().manual_seed(11))
    return vector(policy), found


@pytest.mark.parametrize("make", KNOWN)
def test_an_update_is_torchs(make):
    """Weights after two epochs of minibatches of two sizes, and what is reported, within 1e-6."""
    theirs, (their_steps, their_report) = by_torch(make, batch(), config())
    ours, (steps, report) = fused(make, batch(), config())
    assert steps == their_steps == 6
    assert (theirs - vector(made(make))).abs().max() > LEARNING_RATE  # it has learnt something
    assert (ours - theirs).abs().max() < 1e-6
    assert report == pytest.approx(their_report, abs=1e-5)


@pytest.mark.parametrize(
    "changes",
    [
        {"value_clip": 0.2},
        {"target_kl": 1e-4, "training_epochs": 9},
        {"max_grad_norm": 0.0},
        {"max_grad_norm": 1e-3},
        {"entropy_coef": 0.5, "clip_epsilon": 0.01},
        {"value_coef": 3.0, "batch_size": 1000},
    ],
    ids=str,
)
def test_settings_mean_what_they_mean_to_torch(changes):
    """Each one that the update looks at."""
    transitions, settings = batch(old_values=True), config(**changes)
    theirs, (their_steps, _) = by_torch(Base, transitions, settings)
    ours, (steps, _) = fused(Base, transitions, settings)
    assert steps == their_steps
    assert (ours - theirs).abs().max() < 1e-6


def test_illegal_actions_have_no_gradient():
    """Masks of legal actions are heeded as torch's path heeds them."""
    transitions = batch(masked=True)
    theirs, (_, their_report) = by_torch(Base, transitions, config())
    ours, (_, report) = fused(Base, transitions, config())
    assert (ours - theirs).abs().max() < 1e-6
    assert report == pytest.approx(their_report, abs=1e-5)


def test_an_update_without_transitions_changes_nothing():
    """As with torch: no steps, and nothing to report."""
    policy = made(Base)
    before = vector(policy)
    learner = fused_learner(policy, SHAPE, Categorical(ACTIONS), config())
    empty = batch().each(lambda column: column[:0])
    assert learner.update(empty, torch.Generator()) == (0, [0.0] * 4)
    assert torch.equal(vector(policy), before)


def test_a_loss_that_is_not_finite_is_named():
    """And numpy says nothing of its own."""
    learner = fused_learner(made(Base), SHAPE, Categorical(ACTIONS), config())
    broken = batch()._replace(advantages=torch.full((ROWS,), math.inf))
    with np.errstate(all="raise"), pytest.raises(PolicyError, match="no longer finite"):
        learner.update(broken, torch.Generator())


def task():
    return grid_goal.create_env(EnvConfig(num_envs=8, max_steps=20, seed=3))


def trained(path="fused", policy=None, **changes):
    """Return weights and records of four episodes of the grid task."""
    env = task()
    torch.manual_seed(1)
    policy = policy or SimplePolicy(env.observation_space, env.action_space, hidden=16)
    settings = PPOConfig.for_task(num_envs=8, max_steps=20, **changes)
    history = train(env, policy, settings, episodes=4, seed=2, path=path)
    return vector(policy), history


def test_training_repeats_to_the_bit():
    """Weights and every number of every episode."""
    (weights, history), (again, second) = trained(), trained()
    assert [episode.path for episode in history] == ["fused"] * 4
    assert torch.equal(weights, again)
    numbers = [[vars(e) | {"seconds": 0} for e in records] for records in (history, second)]
    assert numbers[0] == numbers[1]


def test_training_is_torchs_to_rounding():
    """Four episodes with annealing and segments, policy and rollouts included."""
    changes = {"anneal_lr": True, "buffer_size": 80, "batch_size": 32, "value_clip": 0.5}
    (ours, history), (theirs, their_history) = trained(**changes), trained("torch", **changes)
    assert their_history[-1].path == "torch"
    assert (ours - theirs).abs().max() < 1e-4
    for ours_, theirs_ in zip(history, their_history, strict=True):
        assert ours_.mean_return == pytest.approx(theirs_.mean_return, abs=1e-4)
        assert ours_.value_loss == pytest.approx(theirs_.value_loss, abs=1e-4)


def test_weights_are_the_policys_own():
    """After a training the module itself computes what the fused network did."""
    torch.manual_seed(1)
    env = task()
    policy = SimplePolicy(env.observation_space, env.action_space, hidden=16)
    settings = PPOConfig.for_task(num_envs=8, max_steps=20)
    train(env, policy, settings, episodes=1, seed=2)
    obs = torch.randn(5, *env.observation_space.shape)
    actions = Categorical(int(env.action_space.n))
    learner = fused_learner(policy, env.observation_space.shape, actions, settings)
    with torch.no_grad():
        for ours, module in zip(learner(obs), policy(obs), strict=True):
            assert (ours - module.view(ours.shape)).abs().max() < 1e-6
    copied = SimplePolicy(env.observation_space, env.action_space, hidden=16)
    copied.load_state_dict(policy.state_dict())
    assert torch.equal(vector(copied), vector(policy))


class Interrupt(Exception):
    """Stops a training where it is."""


def resumed(file, path, *, stop_after=None):
    """Return the weights of four episodes, kept in a file after each."""

    def interrupt(stats):
        if stats.episode == stop_after:
            raise Interrupt

    env = grid_goal.create_env(EnvConfig(num_envs=8, max_steps=20, seed=3))
    torch.manual_seed(1)
    policy = SimplePolicy(env.observation_space, env.action_space, hidden=16)
    settings = PPOConfig.for_task(num_envs=8, max_steps=20, anneal_lr=True)
    with contextlib.suppress(Interrupt):
        train(
            env, policy, settings, episodes=4, seed=2, path=path, on_episode=interrupt,
            checkpoints=TrainingCheckpoints(file),
        )  # fmt: skip
    return vector(policy)


def test_an_interrupted_training_continues_to_the_bit(tmp_path):
    """Both moments, the steps taken and the step size are kept; another optimiser's are refused."""
    whole = resumed(tmp_path / "whole.pt", "fused")
    resumed(tmp_path / "parts.pt", "fused", stop_after=2)
    assert torch.equal(resumed(tmp_path / "parts.pt", "fused"), whole)
    resumed(tmp_path / "torch.pt", "torch", stop_after=2)
    with pytest.raises(CheckpointError, match="not trained fused"):
        resumed(tmp_path / "torch.pt", "fused")


@pytest.mark.parametrize(
    "changes", [{"torch_fastpath": False}, {"path": "torch"}], ids=["override", "path"]
)
def test_it_can_be_turned_off(changes):
    """By a candidate's own setting, and by whoever calls."""
    assert trained(**changes)[1][0].path == "torch"


def test_other_policies_train_as_before():
    """One that scales its observation, whose records say so."""
    env = task()

    class Other(Scaled):
        def __init__(self):
            super().__init__()
            self.body[1] = nn.LazyLinear(8)
            self.actor = nn.Linear(8, env.action_space.n)

    policy = Other()
    policy(env.reset()["obs"])
    assert trained(policy=policy)[1][-1].path == "torch"
