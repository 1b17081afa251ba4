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
from simverse.core.world import World
from simverse.worlds.observed import ObservedWorld
from simverse.worlds.perception import Perception

ROOT = Path(__file__).resolve().parents[2]
HORIZONS = {"keydoor": 40, "trading": 48, "squad": 40}
EXAMPLES = tuple(HORIZONS)

Policy = Callable[[Tensor], Tensor]
"""Maps `obs [N, C, H, W]` to actions `[N]`."""


def folder(name: str) -> Path:
    """The candidate's folder: an example's, or that of the starter canvas."""
    return ROOT / "candidate" if name == "canvas" else ROOT / "examples" / name / "candidate"


def world_folder(name: str) -> Path:
    """The workspace's files of an example as a world, or of what a world of one's own begins as."""
    return ROOT / "examples" / name / ("" if name == "blank-world" else "world")


def load(name: str, part: str) -> ModuleType:
    """A fresh copy of a candidate's `env` or `train`, under a module name of its own."""
    return load_file(folder(name) / f"{part}.py")


def load_file(path: Path) -> ModuleType:
    """A fresh copy of a module that is never installed."""
    name = "_".join((*path.relative_to(ROOT).with_suffix("").parts, "under_test"))
    spec = importlib.util.spec_from_file_location(f"_{name}", path)
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


def make_world(name: str, *, num_envs: int = 32, seed: int = 0) -> World:
    config = EnvConfig(num_envs=num_envs, max_steps=5, seed=seed)  # the horizon is the world's
    return load_file(world_folder(name) / "task" / "world.py").create_world(config)


def world_part(name: str, part: str) -> ModuleType:
    """A fresh copy of `env` or `train` of the candidate that goes with a world."""
    return load_file(world_folder(name) / "candidate" / f"{part}.py")


def seen(name: str, *, num_envs: int = 32, seed: int = 0) -> ObservedWorld:
    """The world as training sees it through the shipped candidate's eyes."""
    world = make_world(name, num_envs=num_envs, seed=seed)
    return ObservedWorld(world, Perception.of(world_part(name, "env")))


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
