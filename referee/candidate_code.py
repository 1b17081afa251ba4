"""The candidate's two modules, inside a worker: placed, imported, called. Imports torch."""

import importlib
import random
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import torch

from simverse.core.config import EnvConfig


class CandidateContractError(Exception):
    """The candidate lacks something or returns the wrong kind of thing, before any training."""


def seed_everything(seed: int) -> None:
    """Seed every global generator a candidate may draw from (Python's, numpy's, torch's)."""
    random.seed(seed)
    np.random.seed(seed)  # noqa: NPY002 - candidates may use the legacy global generator
    torch.manual_seed(seed)


def place(files: Mapping[str, str]) -> Path:
    """Write the candidate's files to a folder below the working directory, and return it."""
    folder = Path.cwd() / "candidate"
    folder.mkdir()
    for name, text in files.items():
        (folder / name).write_text(text, encoding="utf-8", newline="")
    return folder


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
    if len(tuple(env.observation_space.shape)) != 3:
        raise CandidateContractError(
            f"observation_space.shape must be (C, H, W), not {tuple(env.observation_space.shape)}"
        )
    if int(env.action_space.n) < 1:
        raise CandidateContractError("action_space.n must be at least 1")
    return env


def close(env: Any) -> None:
    """Close an environment, if it can be closed."""
    close_env = getattr(env, "close", None)
    if callable(close_env):
        close_env()
