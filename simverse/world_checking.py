"""`sim check` of a world, and of the candidate that plays in it."""

import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from torch import nn

from simverse.conformance import ConformanceError, attempt, problems_of, reward_problems
from simverse.core.checks import check_observation, check_policy_output, num_actions
from simverse.core.config import EnvConfig
from simverse.core.distributions import Categorical
from simverse.core.recurrence import FEED_FORWARD_ONLY, is_recurrent
from simverse.envs import registry
from simverse.errors import EnvironmentContractError, PolicyError
from simverse.outcome import NUM_ENVS, Outcome, blame, caught
from simverse.testing import ConformanceReport, WorldReport, check_env, check_world
from simverse.training.config import PPOConfig
from simverse.worlds.observed import ObservedWorld
from simverse.worlds.workspace import WorldPlace, load_perception, load_world, make_world

_MOST_STEPS = 100
"""What a candidate makes of a world shows soon."""


def check_place(place: WorldPlace, *, reward_bound: float | None, seed: int) -> Outcome:
    """Check a world, and then the candidate beside it if there is one.

    `reward_bound` is for the world's own reward, beside the one that the world declares.
    """
    problems: list[str] = []
    report = caught(problems, lambda: _check_world(place, seed))
    if report is not None:
        problems += reward_problems(torch.tensor(report.reward_range), reward_bound)
    if problems or report is None:
        outcome = blame(str(place.file), problems)
        waits = [] if place.candidate is None else [f"{place.candidate}: not checked yet"]
        return Outcome(False, outcome.lines + waits)
    low, high = report.reward_range
    lines = [
        f"{place.file}: keeps its contract",
        f"  {report.description:.200}",
        f"  views of {report.fields}; {report.num_actions} actions, horizon "
        f"{report.max_steps}; {report.steps} random steps, {report.finished} of {NUM_ENVS} "
        f"episodes ended, {report.succeeded} succeeded, rewards {low:g} to {high:g}",
        *(f"  note: {note}" for note in report.notes),
    ]
    if place.candidate is None:
        return Outcome(True, lines)
    found = _check_candidate(place, place.candidate, report.max_steps, seed)
    return Outcome(found.is_good, lines + found.lines)


def _check_world(place: WorldPlace, seed: int) -> WorldReport:
    return check_world(_imported(place.file.name, lambda: load_world(place.file)), seed=seed)


def _imported(name: str, load: Callable[[], Any]) -> Any:
    """Import a file; what its code raises becomes a `ConformanceError` that names the file."""
    try:
        return load()
    except EnvironmentContractError as error:  # which names the file
        raise ConformanceError([str(error)]) from error
    except Exception as error:
        raise ConformanceError([f"{name}: {type(error).__name__}: {error}"]) from error


def _check_candidate(place: WorldPlace, folder: Path, max_steps: int, seed: int) -> Outcome:
    """Check what the candidate makes of a world that keeps its contract."""
    problems: list[str] = []
    env = caught(problems, lambda: _observed(place, max_steps, seed))
    report = None
    if env is not None:
        found: list[str] = []
        report = caught(found, lambda: _played(place, max_steps, seed))
        problems += [f"candidate/env.py: {line}" for line in found]
    if registry.has_part(folder, "train"):
        playable = None if report is None else env
        caught(problems, lambda: _check_training(folder, playable, max_steps, problems))
    if problems or report is None:
        return blame(str(folder), problems)
    shape = " x ".join(map(str, report.observation_shape))
    low, high = report.reward_range
    lines = [
        f"{folder}: keeps its contract",
        f"  observations {shape}; {report.steps} random steps, rewards in training {low:g} to "
        f"{high:g}",
    ]
    return Outcome(True, lines)


def _observed(place: WorldPlace, max_steps: int, seed: int) -> ObservedWorld:
    """Return the world as the candidate sees it; `ConformanceError` says why it can't be."""
    perception = _imported("candidate/env.py", lambda: load_perception(place))
    config = EnvConfig(num_envs=NUM_ENVS, max_steps=max_steps, seed=seed)
    world = make_world(place.file, config, num_envs=NUM_ENVS)
    found: ObservedWorld = attempt("candidate/env.py", lambda: ObservedWorld(world, perception))
    return found


def _played(place: WorldPlace, max_steps: int, seed: int) -> ConformanceReport:
    """Play random actions in it; raises as `check_env`."""
    perception = load_perception(place)

    def create_env(config: EnvConfig, **options: Any) -> ObservedWorld:
        return ObservedWorld(make_world(place.file, config, **options), perception)

    return check_env(
        create_env,
        num_envs=NUM_ENVS,
        max_steps=max_steps,
        seed=seed,
        steps=min(max_steps, _MOST_STEPS),
        reward_bound=math.inf,
        is_candidate=True,
    )


def _check_training(folder: Path, env: Any, max_steps: int, problems: list[str]) -> None:
    """Add what is wrong with `train.py`; without an environment no policy is built.

    Raises `ConformanceError` if it can't be imported.
    """
    name = "candidate/train.py"
    module = _imported(name, lambda: registry.load_candidate(folder, "train"))

    def read_overrides() -> None:
        overrides = registry.candidate_overrides(folder, num_envs=NUM_ENVS)
        asked = overrides.pop("max_steps", None)
        if asked is not None and asked != max_steps:
            raise EnvironmentContractError(
                f"asks for a horizon of {asked!r:.60} steps, but the world's is {max_steps}: "
                "return no 'max_steps'"
            )
        try:
            PPOConfig.for_task(num_envs=NUM_ENVS, max_steps=max_steps, **overrides)
        except (TypeError, ValueError) as error:
            raise EnvironmentContractError(
                str(error).removeprefix("PPOConfig.__init__() ")
            ) from error

    @torch.no_grad()
    def build() -> None:
        policy = module.build_policy(env.observation_space, env.action_space)
        if not isinstance(policy, nn.Module):
            raise EnvironmentContractError(f"build_policy() returned a {type(policy).__name__}")
        if is_recurrent(policy):
            raise EnvironmentContractError(FEED_FORWARD_ONLY)
        obs, _ = check_observation(env.reset(), NUM_ENVS, tuple(env.observation_space.shape))
        try:
            logits, value = check_policy_output(policy(obs.float()), NUM_ENVS, num_actions(env))
        except PolicyError as error:
            raise EnvironmentContractError(str(error)) from error
        wrong = Categorical(num_actions(env)).unusable(logits) | ~value.isfinite()
        if bool(wrong.any()):
            raise EnvironmentContractError("the policy's output is not finite")

    problems += problems_of(f"{name}: training_overrides()", read_overrides)
    if env is not None:
        problems += problems_of(f"{name}: build_policy()", build)
