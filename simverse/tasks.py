"""What there is to train on, by name or by folder: environment, policy and settings together."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from torch import nn

from simverse.core.config import EnvConfig
from simverse.envs import registry
from simverse.errors import SimverseError
from simverse.policies import SimplePolicy
from simverse.worlds.observed import ObservedWorld
from simverse.worlds.workspace import WorldPlace, find_world, load_perception, make_world


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


def find_task(text: str) -> Task:
    """Return the task that a text names: a name of the registry, `gym:ID`, a folder or a file.

    A name comes first: `./snake` is the folder beside you. Raises `ValueError` if there is no such
    thing, `CandidateError` if its code raises.
    """
    if text in registry.ENTRIES or text.startswith(registry.GYM_PREFIX):
        return named_task(text)
    path = Path(text).expanduser()
    if path.exists():
        return candidate_task(path)
    if "/" in text or text.endswith(".py"):
        raise ValueError(f"there is no folder or file {text}")
    return named_task(text)  # which names those it knows


def candidate_source(path: Path) -> tuple[Path, str]:
    """Return the folder of a candidate, and which of its files defines the environment.

    A folder's is `env.py`; any other file of Python may be named by itself. Raises `ValueError` if
    the file is no such file.
    """
    if not path.is_file():
        return path, "env"
    if path.suffix != ".py" or not path.stem.isidentifier():
        raise ValueError(f"{path} is no file of Python that can be imported")
    return path.parent, "env" if path.stem == "train" else path.stem


def candidate_task(path: Path, *, episodes: int = 12, num_envs: int = 32) -> Task:
    """Return the task of a candidate's folder, with its own policy and overrides if it has any.

    Or of one file that defines its environment. In a workspace with a world it is played in that
    world, whose horizon it is. The defaults are the evaluator's. Raises `ValueError` if there is
    no such file, `CandidateError` if its code raises.
    """
    place, horizon = find_world(path), None
    if place is None:
        folder, part = candidate_source(path)
        _guarded(folder, lambda: registry.load_candidate(folder, part))
        make = partial(_make_candidate, folder, part)
    else:
        folder, make = place.candidate or place.file.parent, partial(_make_observed, place)
        horizon = make(num_envs=1).max_steps
    overrides = _guarded(folder, lambda: registry.candidate_overrides(folder, num_envs=num_envs))
    max_steps = overrides.pop("max_steps", EnvConfig.max_steps)

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
        max_steps=max_steps if horizon is None else horizon,
        episodes=episodes,
        num_envs=num_envs,
        settings=overrides,
    )


def _make_candidate(folder: Path, part: str, **options: Any) -> Any:
    return _guarded(folder, lambda: registry.make_candidate(folder, part=part, **options))


def _make_observed(place: WorldPlace, *, num_envs: int, device: str = "cpu", **fields: Any) -> Any:
    """Make a world as its candidate sees it; each error names the one of the two that raised."""
    folder = place.candidate or place.file.parent
    perception = _guarded(folder, lambda: load_perception(place))
    config = EnvConfig(num_envs=num_envs, **fields)
    world = _guarded(
        place.file, lambda: make_world(place.file, config, num_envs=num_envs, device=device)
    )
    return _guarded(folder.parent, lambda: ObservedWorld(world, perception))


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
    except (Exception, SystemExit) as error:
        raise CandidateError(f"{folder}: {type(error).__name__}: {error}") from error
