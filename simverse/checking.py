"""`sim check`: the conformance check of what is named as in `sim train`, or of a world's file."""

import math
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

from simverse.cli_parts import UsageError
from simverse.core.config import EnvConfig
from simverse.envs import registry
from simverse.errors import SimverseError
from simverse.outcome import NUM_ENVS, Outcome, blame, caught
from simverse.tasks import candidate_source
from simverse.testing import ConformanceReport, check_env
from simverse.world_checking import check_place
from simverse.worlds.workspace import find_world

_CANDIDATE_BOUND = 1.0


@dataclass
class _Subject:
    """What is checked."""

    name: str
    create_env: Callable[..., Any]
    max_steps: int
    reward_bound: float
    is_candidate: bool = False
    problems: list[str] = field(default_factory=list)
    """What was found wrong before its environment was made."""


def check_named(text: str, *, reward_bound: float | None, seed: int) -> Outcome:
    """Check the environment or the world that a text names: a name, `gym:ID`, a folder or a file.

    Raises:
        UsageError: there is no such thing.
    """
    if not _is_named(text) and (place := find_world(Path(text).expanduser())) is not None:
        return check_place(place, reward_bound=reward_bound, seed=seed)
    subject = _subject(text)
    bound = subject.reward_bound if reward_bound is None else reward_bound
    report = caught(
        subject.problems,
        lambda: check_env(
            subject.create_env, num_envs=NUM_ENVS, max_steps=subject.max_steps, seed=seed,
            reward_bound=bound, is_candidate=subject.is_candidate,
        ),
    )  # fmt: skip
    if subject.problems or report is None:
        return blame(subject.name, subject.problems)
    return Outcome(True, _praise(subject, report))


def _praise(subject: _Subject, report: ConformanceReport) -> list[str]:
    shape = " x ".join(map(str, report.observation_shape))
    low, high = report.reward_range
    is_gym = subject.name.startswith(registry.GYM_PREFIX)
    return [
        f"{subject.name}: keeps its contract",
        *([f"  {report.description}"] if is_gym else []),
        f"  {report.name}: observations {shape}, {report.actions}; {report.steps} "
        f"random steps, {report.finished} of {NUM_ENVS} episodes ended, rewards {low:g} to "
        f"{high:g}",
        *(f"  note: {note}" for note in report.notes),
    ]


def _is_named(text: str) -> bool:
    return text in registry.ENTRIES or text.startswith(registry.GYM_PREFIX)


def _subject(text: str) -> _Subject:
    path = Path(text).expanduser()
    try:
        if _is_named(text) or not (path.exists() or "/" in text or text.endswith(".py")):
            entry = registry.entry(text)
            return _Subject(text, partial(registry.make, text), entry.max_steps, math.inf)
        return _candidate(path)
    except ValueError as error:
        raise UsageError(str(error)) from error


def _candidate(path: Path) -> _Subject:
    folder, part = candidate_source(path)
    if not registry.has_part(folder, part):
        raise ValueError(f"no {part}.py in {folder} or {folder / 'candidate'}")

    def create_env(config: EnvConfig, **options: Any) -> Any:
        return registry.candidate_create_env(folder, part)(config, **options)

    subject = _Subject(str(path), create_env, EnvConfig.max_steps, _CANDIDATE_BOUND, True)
    try:
        overrides = registry.candidate_overrides(folder, num_envs=NUM_ENVS)
        subject.max_steps = int(overrides.get("max_steps", subject.max_steps))
    except SimverseError as error:
        subject.problems.append(f"train.py: {error}")
    except (Exception, SystemExit) as error:  # noqa: BLE001 - code of the candidate's: whatever it raises
        subject.problems.append(
            f"train.py: training_overrides() raised {type(error).__name__}: {error}"
        )
    return subject
