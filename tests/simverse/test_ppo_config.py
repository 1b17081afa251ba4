import dataclasses

import pytest

from simverse.training.config import PPOConfig


def test_defaults_of_the_contract():
    """A task of 32 x 20 gets the defaults that candidates are promised."""
    assert dataclasses.asdict(PPOConfig.for_task(num_envs=32, max_steps=20)) == {
        "lr": 3e-4,
        "training_epochs": 2,
        "batch_size": 128,
        "buffer_size": 640,
        "clip_epsilon": 0.2,
        "gamma": 0.99,
        "gae_lambda": 0.95,
        "entropy_coef": 0.01,
        "value_coef": 0.5,
        "max_grad_norm": 0.5,
        "normalize_advantages": True,
        "torch_fastpath": True,
        "max_steps": 20,
        "anneal_lr": False,
        "value_clip": None,
        "target_kl": None,
    }


def test_small_tasks_have_least_sizes():
    """Batches and buffers of a tiny task do not shrink below 32 and 256 transitions."""
    settings = PPOConfig.for_task(num_envs=2, max_steps=5)
    assert (settings.batch_size, settings.buffer_size) == (32, 256)


def test_overrides_win():
    """What a candidate asks for replaces the default."""
    settings = PPOConfig.for_task(num_envs=32, max_steps=20, lr=1e-2, batch_size=7)
    assert (settings.lr, settings.batch_size, settings.gamma) == (1e-2, 7, 0.99)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("lr", 0.0),
        ("lr", -1e-3),
        ("lr", float("nan")),
        ("lr", float("inf")),
        ("lr", "1e-3"),
        ("lr", None),
        ("lr", True),
        ("training_epochs", 0),
        ("training_epochs", 2.0),
        ("batch_size", 0),
        ("batch_size", True),
        ("buffer_size", 1.5),
        ("clip_epsilon", 0.0),
        ("gamma", 1.01),
        ("gamma", -0.1),
        ("gae_lambda", 2),
        ("entropy_coef", -0.01),
        ("value_coef", -1.0),
        ("max_grad_norm", -0.5),
        ("normalize_advantages", 1),
        ("torch_fastpath", "yes"),
        ("anneal_lr", None),
        ("value_clip", 0.0),
        ("target_kl", -0.01),
    ],
)
def test_bad_values_are_named(name, value):
    """A wrong type, a non-finite or an out-of-range value raises ValueError naming its field."""
    with pytest.raises(ValueError, match=f"^{name} must be"):
        PPOConfig.for_task(num_envs=32, max_steps=20, **{name: value})


@pytest.mark.parametrize(
    ("name", "value"),
    [("gamma", 0.0), ("gamma", 1.0), ("gamma", 1), ("entropy_coef", 0), ("batch_size", 1)],
)
def test_edges_are_allowed(name, value):
    """Bounds themselves are in range, and an integer is a number."""
    assert getattr(PPOConfig.for_task(num_envs=2, max_steps=5, **{name: value}), name) == value


def test_every_bad_value_is_named_at_once():
    """Two wrong fields are both in the message."""
    with pytest.raises(ValueError, match=r"lr must be .*; gamma must be"):
        PPOConfig.for_task(num_envs=2, max_steps=5, lr=-1, gamma=2)


def test_unknown_fields_are_refused():
    """A misspelt field is an error, not ignored."""
    with pytest.raises(TypeError, match="learning_rate"):
        PPOConfig.for_task(num_envs=2, max_steps=5, learning_rate=1e-3)
