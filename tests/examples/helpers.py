"""Loading candidates by path and playing them: `candidate` is never installed as a module."""

import importlib.util
from collections.abc import Callable
from functools import cache
from pathlib import Path
from types import ModuleType
from typing import Any

import torch
from torch import Tensor

from simverse.core.config import EnvConfig

ROOT = Path(__file__).resolve().parents[2]
HORIZONS = {"keydoor": 40, "trading": 48, "squad": 40}
EXAMPLES = tuple(HORIZONS)

Policy = Callable[[Tensor], Tensor]
"""Maps `obs [N, C, H, W]` to actions `[N]`."""


def folder(name: str) -> Path:
    """The candidate's folder: an example's, or that of the starter canvas."""
    return ROOT / "candidate" if name == "canvas" else ROOT / "examples" / name / "candidate"


def load(name: str, part: str) -> ModuleType:
    """A fresh copy of a candidate's `env` or `train`, under a module name of its own."""
    return load_file(folder(name) / f"{part}.py", f"_{name}_{part}_under_test")


def load_file(path: Path, name: str) -> ModuleType:
    """A fresh copy of a file, as the module `name`."""
    spec = importlib.util.spec_from_file_location(name, path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@cache
def env_module(name: str) -> ModuleType:
    return load(name, "env")


def make_env(name: str, *, num_envs: int = 32, seed: int = 0, max_steps: int | None = None) -> Any:
    horizon = max_steps or HORIZONS.get(name, 20)
    config = EnvConfig(num_envs=num_envs, max_steps=horizon, seed=seed)
    return env_module(name).create_env(config, num_envs=num_envs)


def random_policy(env: Any, seed: int = 0) -> Policy:
    generator = torch.Generator().manual_seed(seed)
    return lambda obs: torch.randint(env.action_space.n, (len(obs),), generator=generator)


@torch.no_grad()
def play_episodes(env: Any, policy: Policy) -> tuple[Tensor, Tensor]:
    """Return each sub-environment's first episode's return and success, both `[N]`."""
    obs = env.reset()["obs"]
    returns = torch.zeros(env.num_envs)
    succeeded = torch.zeros(env.num_envs, dtype=torch.bool)
    live = torch.ones(env.num_envs, dtype=torch.bool)
    for _ in range(env.max_steps):
        payload, reward, done, info = env.step(policy(obs))
        obs = payload["obs"]
        returns += reward.reshape(-1) * live
        succeeded |= info["success"] & live
        live &= ~done
    assert not live.any(), "an episode outlasts the horizon"
    return returns, succeeded
