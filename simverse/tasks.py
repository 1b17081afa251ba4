"""What there is to train on, by name or by folder: environment, policy and settings together."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from torch import nn

from simverse.core.config import EnvConfig
from simverse.envs import registry
from simverse.errors import SimverseError
from simverse.policies import SimplePolicy


class CandidateError(SimverseError):
    """Code of a candidate's raised while it was loaded or built."""


@dataclass(frozen=True, kw_only=True)
class Task:
    """An environment that can be made again, a policy for it, and settings to train it with."""

    name: str
    make: Callable[..., Any]
    """`make(num_envs=, max_steps=, seed=, device=)`; `ValueError` for what it cannot make."""
    build_policy: Callable[[Any], nn.Module]
    """Takes the environment."""
    max_steps: int
    episodes: int
    num_envs: int
    settings: Mapping[str, Any]
    """Fields of `PPOConfig`, but for `max_steps`."""


def named_task(name: str) -> Task:
    """Return a task of the registry; `ValueError` for an unknown name."""
    entry = registry.entry(name)
    return Task(
        name=name,
        make=lambda **options: registry.make(name, **options),
        build_policy=lambda env: SimplePolicy(env.observation_space, env.action_space),
        max_steps=entry.max_steps,
        episodes=entry.episodes,
        num_envs=entry.num_envs,
        settings=entry.settings,
    )


def candidate_task(folder: Path, *, episodes: int = 12, num_envs: int = 32) -> Task:
    """Return the task of a candidate's folder, with its own policy and overrides if it has any.

    The defaults are the evaluator's. Raises `ValueError` if there is no `env.py`, `CandidateError`
    if its code raises.
    """
    _guarded(folder, lambda: registry.load_candidate(folder, "env"))
    overrides = _guarded(folder, lambda: registry.candidate_overrides(folder, num_envs=num_envs))
    max_steps = overrides.pop("max_steps", EnvConfig.max_steps)

    def make(**options: Any) -> Any:
        return _guarded(folder, lambda: registry.make_candidate(folder, **options))

    def build_policy(env: Any) -> nn.Module:
        if not registry.has_part(folder, "train"):
            return SimplePolicy(env.observation_space, env.action_space)
        build = registry.load_candidate(folder, "train").build_policy
        policy = _guarded(folder, lambda: build(env.observation_space, env.action_space))
        if not isinstance(policy, nn.Module):
            raise CandidateError(f"build_policy() returned a {type(policy).__name__}")
        return policy

    return Task(
        name=_candidate_name(folder),
        make=make,
        build_policy=build_policy,
        max_steps=max_steps,
        episodes=episodes,
        num_envs=num_envs,
        settings=overrides,
    )


def _candidate_name(folder: Path) -> str:
    """Return the folder's name, or its parent's where the folder is just called `candidate`."""
    resolved = folder.resolve()
    return resolved.parent.name if resolved.name == "candidate" else resolved.name


def _guarded(folder: Path, call: Callable[[], Any]) -> Any:
    """Call code of a candidate's; what it raises becomes one line that names the folder."""
    try:
        return call()
    except (ValueError, SimverseError):
        raise
    except Exception as error:
        raise CandidateError(f"{folder}: {type(error).__name__}: {error}") from error
