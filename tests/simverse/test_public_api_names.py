"""The names that scripts for the public simverse import, and the small functions among them."""

import logging
import os
import subprocess
import sys

import pytest
import torch
from torch import nn

import simverse
import simverse.core
import simverse.training
from simverse.training import utils
from simverse.training.logging import TrainingLogger, configure_logging, get_logger
from simverse.training.utils import PolicySpec, compile_policy_models, resolve_rollout_dtype

CORE = {"SimAgent", "SimEnv", "Simulator", "Trainer"}
TRAINING = {
    "Checkpointer", "DEFAULT_WANDB_PROJECT", "PPOTrainer", "TrainingStats",
    "build_adam_optimizers", "build_ppo_training_config", "compile_policy_models",
    "configure_logging", "configure_torch_backend", "get_logger", "resolve_rollout_dtype",
    "resolve_torch_device", "run_ippo_training", "run_mappo_training", "run_ppo_training",
    "training_logger",
}  # fmt: skip
PACKAGE = CORE | {"CentralizedCritic", "RandomPolicy", "SimplePolicy", "quicktrain"}


@pytest.mark.parametrize(
    ("package", "names"),
    [(simverse, PACKAGE), (simverse.core, CORE), (simverse.training, TRAINING)],
    ids=lambda value: getattr(value, "__name__", ""),
)
def test_the_public_names_are_exported(package, names):
    """Each is in `__all__`, and can be had from the package."""
    assert names <= set(package.__all__)
    for name in package.__all__:
        assert getattr(package, name) is not None


@pytest.mark.parametrize("package", [simverse.core, simverse.training, utils])
def test_other_names_are_attribute_errors(package):
    """As of any module."""
    with pytest.raises(AttributeError, match=f"{package.__name__!r} has no attribute 'nothing'"):
        _ = package.nothing


@pytest.mark.parametrize("name", ["run_ppo_training", "run_ippo_training", "run_mappo_training"])
def test_runs_are_found_where_scripts_look(name):
    """`simverse.training.utils` has them too, and they are the same."""
    assert getattr(utils, name) is getattr(simverse.training, name)


@pytest.mark.parametrize(
    ("name", "game"),
    [("SnakeEnv", "snake"), ("FarmtilaConfig", "farming"), ("GymTorchEnv", "gym:ID")],
)
def test_a_missing_game_names_ours(name, game):
    """The public library's environments are not here; the error says what is."""
    with pytest.raises(AttributeError, match=rf"{name}.*simverse\.make\('{game}'\)"):
        getattr(simverse, name)


@pytest.mark.system
@pytest.mark.parametrize("package", ["simverse.core", "simverse.training"])
def test_packages_cost_nothing_to_import(package):
    """Torch comes with the first name that needs it."""
    code = f"import sys, {package}; print([m for m in ('torch', 'numpy') if m in sys.modules])"
    result = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True,
        env=os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)},
    )  # fmt: skip
    assert result.stdout.strip() == "[]"


def test_quicktrain_plays_at_random():
    """It returns the mean and the best return of so many episodes of at most so many steps."""
    found = simverse.quicktrain("CartPole-v1", episodes=3, max_steps=5)
    assert found == {"env_id": "CartPole-v1", "episodes": 3, "mean_reward": 5.0, "max_reward": 5.0}
    assert simverse.quicktrain(episodes=0)["mean_reward"] == 0.0


def test_quicktrain_plays_what_it_is_given():
    """A policy class is called with the space, and its actions are the ones taken."""

    class Idles:
        """Lets the car roll, which costs one a step."""

        def __init__(self, space):
            assert int(space.n) == 3

        def act(self, obs):
            return 1

    found = simverse.quicktrain("MountainCar-v0", episodes=2, max_steps=4, policy_cls=Idles)
    assert (found["mean_reward"], found["max_reward"]) == (-4.0, -4.0)


def test_rollout_dtypes():
    """Half precision where there is an accelerator, float32 on a processor, or as asked."""
    assert resolve_rollout_dtype("cuda") == torch.float16
    assert resolve_rollout_dtype("cuda:0") == torch.float16
    assert resolve_rollout_dtype("mps") == torch.bfloat16
    assert resolve_rollout_dtype("cpu") == torch.float32
    assert resolve_rollout_dtype("cpu", cpu_dtype=torch.bfloat16) == torch.bfloat16


def test_policies_are_compiled_on_cuda_alone():
    """Elsewhere the models themselves come back."""
    specs = [PolicySpec("a", nn.Linear(1, 1)), PolicySpec(name="b", model=nn.Linear(1, 1))]
    models = compile_policy_models(specs, use_compile=True, device="cpu")
    assert all(model is spec.model for model, spec in zip(models, specs, strict=True))


def test_logs_go_to_a_file(tmp_path):
    """A file that is named gets the lines, whoever logs them; its folder is made."""
    root = logging.getLogger()
    before, level = list(root.handlers), root.level
    try:
        configure_logging(logging.INFO, str(tmp_path / "new" / "run.log"))
        get_logger("somebody").warning("hello")
    finally:
        for handler in set(root.handlers) - set(before):
            root.removeHandler(handler)
            handler.close()
        root.setLevel(level)
    assert "WARNING somebody: hello" in (tmp_path / "new" / "run.log").read_text()


def test_the_training_logger_writes_lines(caplog):
    """One line each, at the level that fits; steps and epochs only for debugging."""
    log = TrainingLogger("test")
    with caplog.at_level(logging.DEBUG, logger="test"):
        log.header("a run")
        log.section("settings")
        log.config({"lr": 0.1, "gamma": 0.9})
        log.start_training(2)
        log.start_episode(1)
        log.log_step(3, 10, {"rewards": 0.5})
        log.log_epoch(0, 4, policy_loss=0.25, value_loss=1.5)
        log.end_episode(1, total_reward=2.0, avg_reward=0.2, steps=10)
        log.metric("speed", 1234.5, "steps/s")
        log.success("good")
        log.warning("careful")
        log.error("bad")
        log.finish({"best": 2.0})
    lines = [(record.levelname, record.getMessage()) for record in caplog.records]
    assert lines == [
        ("INFO", "a run"),
        ("INFO", "settings"),
        ("INFO", "lr=0.1, gamma=0.9"),
        ("INFO", "training for 2 episodes"),
        ("DEBUG", "episode 1 of 2"),
        ("DEBUG", "step 3 of 10: rewards 0.5"),
        ("DEBUG", "epoch 1 of 4: policy_loss 0.25, value_loss 1.5"),
        ("INFO", "episode 1 of 2: return 2, reward 0.2, steps 10"),
        ("INFO", "speed 1234 steps/s"),
        ("INFO", "good"),
        ("WARNING", "careful"),
        ("ERROR", "bad"),
        ("INFO", "done: best 2"),
    ]
