"""The candidate's two modules, inside a worker: placed, imported, called. Imports torch."""

import contextlib
import importlib
import random
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import torch

from simverse.core.checks import check_num_envs, num_actions, observation_shape
from simverse.core.config import EnvConfig
from simverse.core.world import World, checked_horizon
from simverse.errors import EnvironmentContractError

_MOST_BITS = 63
"""Of an override: what a message to the referee can hold."""


class CandidateContractError(Exception):
    """The candidate lacks something or returns the wrong kind of thing, before any training."""


def seed_everything(seed: int, device: str = "cpu") -> None:
    """Seed every global generator a candidate may draw from (Python's, numpy's, torch's).

    Those of GPUs only where the device is one: asking torch for them takes milliseconds.
    """
    random.seed(seed)
    np.random.seed(seed)  # noqa: NPY002 - candidates may use the legacy global generator
    if device == "cpu":
        torch.default_generator.manual_seed(seed)
    else:
        torch.manual_seed(seed)


def place(files: Mapping[str, str]) -> Path:
    """Write the candidate's files to a folder below the working directory, and return it."""
    folder = Path.cwd() / "candidate"
    folder.mkdir()
    for name, text in files.items():
        (folder / name).write_text(text, encoding="utf-8", newline="")
    return folder


def place_world(files: Mapping[str, str]) -> Path:
    """Write the user's world below the working directory, read-only; return its main file."""
    folder = Path.cwd() / "task"
    folder.mkdir()
    for name, text in files.items():
        (folder / name).write_text(text, encoding="utf-8", newline="")
        (folder / name).chmod(0o444)
    folder.chmod(0o555)
    return folder / "world.py"


def make_world(
    create: Callable[..., Any], *, num_envs: int, max_steps: int, seed: int, device: str
) -> World:
    """Return the user's world, as its `create_world` makes it.

    Raises:
        EnvironmentContractError: it can't be played.
    """
    config = EnvConfig(num_envs=num_envs, max_steps=max_steps, seed=seed)
    world = create(config, num_envs=num_envs, device=device, dtype=torch.float32)
    checked_horizon(world, num_envs)
    made: World = world
    return made


def load_candidate(candidate_dir: Path, name: str) -> ModuleType:
    """Import `candidate.<name>` from any folder, whatever that folder is called."""
    if "candidate" not in sys.modules:
        package = ModuleType("candidate")
        package.__path__ = [str(candidate_dir)]
        sys.modules["candidate"] = package
    return importlib.import_module(f"candidate.{name}")


def function(module: ModuleType, name: str) -> Callable[..., Any]:
    """Return a function that the contract asks for."""
    value = getattr(module, name, None)
    if value is None and name == "create_env" and hasattr(module, "observation_space"):
        raise CandidateContractError(
            "candidate/env.py says what is seen of a world, but there is no task/world.py here: "
            "put it back, or define create_env()"
        )
    if not callable(value):
        raise CandidateContractError(f"{module.__name__.replace('.', '/')}.py lacks {name}()")
    required: Callable[..., Any] = value
    return required


def create_env(module: ModuleType, *, num_envs: int, max_steps: int, seed: int, device: str) -> Any:
    """Return the candidate's environment, if it has what the contract asks for."""
    config = EnvConfig(num_envs=num_envs, max_steps=max_steps, seed=seed)
    env = function(module, "create_env")(
        config, num_envs=num_envs, device=device, dtype=torch.float32
    )
    for name in ("reset", "step", "action_space", "observation_space"):
        if not hasattr(env, name):
            raise CandidateContractError(f"create_env() returned an environment without `{name}`")
    try:
        check_num_envs(env, num_envs)
        num_actions(env)
        observation_shape(env)
    except EnvironmentContractError as error:
        raise CandidateContractError(str(error)) from error
    return env


def plain_override(key: str, value: object) -> object:
    """Return a value of `training_overrides()` as a plain number or bool."""
    if isinstance(value, np.generic):
        value = value.item()
    if not isinstance(value, bool | int | float):
        raise CandidateContractError(
            f"training_overrides()[{key!r}] must be a number or a bool, not {type(value).__name__}"
        )
    if isinstance(value, int) and value.bit_length() > _MOST_BITS:
        raise CandidateContractError(
            f"training_overrides()[{key!r}] is a number of {value.bit_length()} bits: out of range"
        )
    return value


WithoutGradients = Callable[[], contextlib.AbstractContextManager[Any]]


def without_gradients(files: Mapping[str, str]) -> WithoutGradients:
    """Return the context in which code that learns nothing runs: torch's inference mode.

    It saves up to a third of a step of many small tensors, and changes no result by a bit. What is
    made in it can't be written to outside of it, so that an environment lives in it from its
    creation to its end. Code that asks for gradients would fail in it: a candidate whose text has
    the word somewhere runs without them in the ordinary way.
    """
    learns = any("grad" in text or "backward" in text for text in files.values())
    return torch.no_grad if learns else torch.inference_mode


class Untrained:
    """An environment whose `reset` and `step` run in such a context, for a policy's training."""

    def __init__(self, env: Any, quiet: WithoutGradients) -> None:
        self._env = env
        self._quiet = quiet

    def __getattr__(self, name: str) -> Any:
        return getattr(self._env, name)

    def reset(self) -> Any:
        """Reset the environment."""
        with self._quiet():
            return self._env.reset()

    def step(self, actions: Any) -> Any:
        """Step the environment."""
        with self._quiet():
            return self._env.step(actions)


def close(env: Any) -> None:
    """Close an environment, if it can be closed."""
    close_env = getattr(env, "close", None)
    if callable(close_env):
        close_env()
