"""Environments by name, candidates by folder."""

import importlib
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path
from types import MappingProxyType
from typing import Any

from simverse.arguments import did_you_mean
from simverse.core.config import EnvConfig
from simverse.core.env import SimEnv
from simverse.envs.candidate_files import (
    candidate_create_env,
    candidate_overrides,
    has_part,
    load_candidate,
)

__all__ = [
    "ENTRIES",
    "GYM_HORIZON",
    "GYM_PREFIX",
    "EnvEntry",
    "candidate_create_env",
    "candidate_overrides",
    "entry",
    "has_part",
    "load_candidate",
    "make",
    "make_candidate",
    "names",
]

GYM_PREFIX = "gym:"
GYM_HORIZON = 500  # of an environment that names none


@dataclass(frozen=True, kw_only=True)
class EnvEntry:
    """One environment of the registry."""

    name: str
    module: str
    """Under `simverse.envs`; it has a `create_env`."""
    summary: str
    """One line for `sim envs`."""
    max_steps: int
    """Its own horizon, in steps."""
    episodes: int = 30
    """PPO episodes that `sim train` runs."""
    num_envs: int = 64
    """Sub-environments that `sim train` runs."""
    settings: MappingProxyType[str, Any] = field(default_factory=lambda: MappingProxyType({}))
    """Fields of `PPOConfig` that suit it."""


def _entry(name: str, max_steps: int, summary: str, **training: Any) -> EnvEntry:
    sizes = {key: training.pop(key) for key in ("episodes", "num_envs") if key in training}
    return EnvEntry(
        name=name,
        module=name,
        summary=summary,
        max_steps=max_steps,
        settings=MappingProxyType(training),
        **sizes,
    )


ENTRIES = {
    entry.name: entry
    for entry in (
        _entry(
            "battle_grid",
            60,
            "lead three units against three on a grid; one leader or two",
            episodes=20,
            lr=2e-3,
            training_epochs=4,
            batch_size=512,
            gamma=0.97,
        ),
        _entry(
            "cartpole",
            500,
            "CartPole-v1 in torch, gymnasium's to the digit",
            episodes=8,
            num_envs=32,
            lr=1e-3,
            training_epochs=6,
            batch_size=256,
            buffer_size=2048,
            gae_lambda=0.9,
            entropy_coef=0.0,
        ),
        _entry(
            "farming",
            60,
            "sow and reap on plots of good and poor soil",
            lr=4e-3,
            training_epochs=4,
            batch_size=512,
            gamma=0.97,
        ),
        _entry(
            "grid_goal",
            20,
            "walk to a random goal on a 5 x 5 grid",
            episodes=60,
            lr=3e-3,
            training_epochs=4,
            gamma=0.95,
        ),
        _entry(
            "gym",
            GYM_HORIZON,
            "any environment of Gymnasium's, as gym:ID or gym:PACKAGE:ID",
            episodes=12,
            num_envs=16,
            lr=1e-3,
            training_epochs=6,
            batch_size=256,
            buffer_size=2048,
            gae_lambda=0.9,
        ),
        _entry(
            "maze_race",
            40,
            "find the goal of a new maze; one racer or two",
            lr=2e-3,
            training_epochs=4,
            batch_size=512,
            gamma=0.97,
        ),
        _entry(
            "snake",
            60,
            "eat, grow, and hit neither the wall nor yourself",
            episodes=25,
            lr=4e-3,
            training_epochs=4,
            batch_size=512,
            gamma=0.95,
        ),
    )
}


def names() -> list[str]:
    """Return the names `make` knows, in alphabetical order."""
    return sorted(ENTRIES)


def entry(name: str) -> EnvEntry:
    """Return what is known of an environment; `gym:ID` is `gym` with that ID's own horizon.

    For `gym:PACKAGE:ID` the package is imported. Raises `ValueError` for an unknown name.
    """
    if name.startswith(GYM_PREFIX):
        found = replace(ENTRIES["gym"], name=name)
        return replace(found, max_steps=_gym_horizon(name.removeprefix(GYM_PREFIX)))
    if name not in ENTRIES:
        known = ", ".join(names())
        hint = did_you_mean(name, names())
        raise ValueError(f"no environment {name!r}; known: {known}, {GYM_PREFIX}ID{hint}")
    return ENTRIES[name]


def make(name: str, config: Any = None, **options: Any) -> SimEnv:
    """Return an environment by name: `make("snake", num_envs=64, seed=1)`, `make("gym:Taxi-v3")`.

    Of Gymnasium's the name may have options too (`simverse.envs.gym.create_env`):
    `make("gym:minigrid:MiniGrid-Empty-5x5-v0?wrappers=ImgObsWrapper&scale=10")`.

    `options` may hold fields of `EnvConfig` (unless `config` is given; `max_steps` is then the
    environment's own horizon), `device`, `dtype` and whatever else its `create_env` takes. Raises
    `ValueError` for an unknown name or option value.
    """
    known = entry(name)
    if name.startswith(GYM_PREFIX):
        options["env_id"] = name.removeprefix(GYM_PREFIX)
    module = importlib.import_module(f"simverse.envs.{known.module}")
    env: SimEnv = _create(module.create_env, config, known.max_steps, options)
    return env


def make_candidate(folder: Path, config: Any = None, *, part: str = "env", **options: Any) -> Any:
    """Return the environment of a candidate's folder (`env.py`), or of one that has `candidate/`.

    `part` names another file of the folder that defines it. Its horizon is `max_steps`, else the
    one its `train.py` overrides, else 20. In a workspace with a world it is that world, as the
    candidate sees it.
    """
    from simverse.worlds.workspace import find_world, make_observed

    if (place := find_world(folder)) is not None:
        return make_observed(place, config, **options)
    if config is None and "max_steps" not in options:
        count = int(options.get("num_envs") or EnvConfig.num_envs)
        options["max_steps"] = candidate_overrides(folder, num_envs=count).get("max_steps", 20)
    return _create(candidate_create_env(folder, part), config, 20, options)


def _create(
    create_env: Callable[..., Any], config: Any, max_steps: int, options: dict[str, Any]
) -> Any:
    if config is None:
        fields = EnvConfig.__dataclass_fields__
        chosen = {name: options.pop(name) for name in list(options) if name in fields}
        config = EnvConfig(**({"max_steps": max_steps} | chosen))
    return create_env(config, **options)


def _gym_horizon(text: str) -> int:
    from simverse.envs.gym_names import GymName

    name = GymName.parse(text)
    return int(
        name.options.get("max_episode_steps") or name.spec().max_episode_steps or GYM_HORIZON
    )
