"""Conformance checks that every environment and every world can run, its author's tests above all.

`check_env` plays random actions in fresh environments and reports every way in which they differ
from the contract (see `SimEnv`), not only the first; `check_world` does the same for worlds.
"""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any

import torch
from torch import Tensor

from simverse.conformance import (
    ConformanceError,
    attempt,
    description_of,
    drawing_problems,
    freezing_notes,
    problems_of,
    reproducibility,
    require,
    reward_problems,
)
from simverse.core.checks import (
    check_observation,
    check_step,
    num_actions,
    observation_shape,
    reward_part_problems,
)
from simverse.core.config import EnvConfig
from simverse.core.distributions import (
    ActionDistribution,
    Categorical,
    DiagonalGaussian,
    action_distribution,
)
from simverse.core.legal import check_mask
from simverse.errors import EnvironmentContractError
from simverse.trace import CreateEnv, Trace, TracedTask
from simverse.world_testing import WorldReport, check_world

__all__ = ["ConformanceError", "ConformanceReport", "WorldReport", "check_env", "check_world"]


@dataclass(frozen=True, kw_only=True)
class ConformanceReport:
    """What was seen of an environment that keeps its contract."""

    name: str
    description: str
    """What the environment says of itself, in one line."""
    observation_shape: tuple[int, ...]
    """`(C, H, W)`."""
    num_actions: int | None
    """None where they are not `Discrete`."""
    actions: str
    """The actions in a few words."""
    steps: int
    """Steps played, of each sub-environment."""
    finished: int
    """Sub-environments that finished an episode within them."""
    reward_range: tuple[float, float]
    """Least and greatest reward seen."""
    notes: tuple[str, ...]
    """What is allowed but may not be meant, one line each."""


def check_env(
    create_env: CreateEnv,
    *,
    num_envs: int = 8,
    max_steps: int = 20,
    seed: int = 0,
    reward_bound: float = 1.0,
    device: str = "cpu",
    steps: int | None = None,
    is_candidate: bool = False,
) -> ConformanceReport:
    """Play random actions in a few environments and report what was seen.

    `steps` are played, `max_steps` by default, the horizon that the environments are made for.
    A candidate's actions must be `Discrete`.

    Raises `ConformanceError` with every problem found: shapes, dtypes, spaces, rewards that are not
    finite or exceed `reward_bound` in size, a seed that does not decide what happens, `done` still
    set after `reset`. An exception of the environment's own is a problem too. What the contract
    allows but may not be meant is a note.
    """
    config = EnvConfig(num_envs=num_envs, max_steps=max_steps, seed=seed)
    task = TracedTask(create_env, config, device, max_steps if steps is None else steps)
    env = attempt("create_env()", task.make)
    actions_of = num_actions if is_candidate else _actions
    problems = attempt("an attribute", partial(_declaration_problems, env, num_envs, actions_of))
    if not _is_playable(env, num_envs, actions_of):
        raise ConformanceError(problems)
    if wrong := _border_problems(task, reward_bound):
        raise ConformanceError(problems + wrong)
    trace = Trace()
    wrong = problems_of("a rollout", partial(task.play, trace, global_seed=seed))
    difference, notes = ([], []) if wrong else reproducibility(task, trace)
    problems += [] if wrong else problems_of("reset()", env.reset) + drawing_problems(env)
    require(problems + difference + wrong + _trace_problems(trace, reward_bound))
    actions = _actions(env)
    return ConformanceReport(
        name=type(env).__name__,
        description=description_of(env),
        observation_shape=observation_shape(env),
        num_actions=getattr(actions, "n", None),
        actions=actions.describe(),
        steps=task.steps,
        finished=int(trace.all("done").any(dim=0).sum()),
        reward_range=(float(trace.all("reward").min()), float(trace.all("reward").max())),
        notes=(
            *notes,
            *_horizon_notes(trace),
            *_freezing_notes(trace),
            *_action_shape_notes(task),
            *_mask_notes(task),
        ),
    )


def _declaration_problems(env: Any, num_envs: int, actions_of: Callable[..., Any]) -> list[str]:
    """Return what is wrong with what an environment says of itself."""
    names = ("reset", "step", "action_space", "observation_space")
    problems = [f"the environment has no {name}" for name in names if not hasattr(env, name)]
    problems += [
        f"{name} must be {expected}, got {getattr(env, name, None)!r}"
        for name, expected in (("num_envs", num_envs), ("num_agents", 1))
        if getattr(env, name, None) != expected
    ]
    return problems + _space_problems(env, actions_of)


def _space_problems(env: Any, actions_of: Callable[..., Any]) -> list[str]:
    problems = []
    for read in (actions_of, observation_shape):
        try:
            read(env)
        except EnvironmentContractError as error:
            problems.append(str(error))
    return problems


def _actions(env: Any) -> ActionDistribution:
    return action_distribution(getattr(env, "action_space", None))


def _is_playable(env: Any, num_envs: int, actions_of: Callable[..., Any]) -> bool:
    """Can it be played, whatever else is wrong with what it says of itself?"""
    if not (hasattr(env, "reset") and hasattr(env, "step")):
        return False
    return getattr(env, "num_envs", None) == num_envs and not _space_problems(env, actions_of)


@torch.no_grad()
def _border_problems(task: TracedTask, reward_bound: float) -> list[str]:
    """Return what is wrong with the values of the first `reset` and `step`."""
    env = task.make()
    num_envs, shape = task.config.num_envs, observation_shape(env)
    try:
        payload = attempt("reset()", env.reset)
    except ConformanceError as error:
        return list(error.problems)
    problems = problems_of("reset()", partial(check_observation, payload, num_envs, shape))
    try:
        result = attempt("step()", partial(env.step, task.actions(env)[0]))
    except ConformanceError as error:
        return problems + list(error.problems)
    for variant in _one_at_a_time(result, num_envs, shape):
        problems += problems_of("step()", partial(check_step, variant, num_envs, shape))
    is_step = isinstance(result, tuple) and len(result) == 4
    if is_step and isinstance(result[3], Mapping) and result[3].get("success") is None:
        problems.append("step(): info['success'] is missing")
    if problems and is_step and isinstance(result[3], Mapping):
        problems += reward_part_problems(result[3].get("reward_parts"), num_envs)
    if problems and is_step:  # else a whole trace shows it
        problems += _value_problems(_only(result[0], "obs").get("obs"), result[1], reward_bound)
    return problems


def _one_at_a_time(result: Any, num_envs: int, shape: tuple[int, ...]) -> Iterator[Any]:
    """Yield steps that each have one value of `result` and are beyond reproach otherwise.

    So a wrong value does not hide another.
    """
    if not isinstance(result, tuple) or len(result) != 4:
        yield result
        return
    payload, reward, done, info = result
    obs = {"obs": torch.zeros((num_envs, *shape))}
    fine = torch.zeros(num_envs), torch.zeros(num_envs, dtype=torch.bool)
    yield _without(payload, "done"), *fine, {}
    yield obs | _only(payload, "done"), *fine, {}
    yield obs, reward, fine[1], {}
    yield obs, fine[0], done, {}
    if not isinstance(info, Mapping):
        yield obs, *fine, info
    yield obs, *fine, _only(info, "success")
    yield obs, *fine, _only(info, "truncated", "final_obs")


def _only(payload: Any, *names: str) -> dict[str, Any]:
    found = payload if isinstance(payload, Mapping) else {}
    return {name: found[name] for name in names if name in found}


def _without(payload: Any, name: str) -> Any:
    if not isinstance(payload, Mapping):
        return payload
    return {key: value for key, value in payload.items() if key != name}


def _trace_problems(trace: Trace, reward_bound: float) -> list[str]:
    problems = []
    if trace.events:
        obs = trace.all("obs")
        if not obs.is_floating_point():
            problems.append(f"obs must be floating, got {obs.dtype}")
        rewards = trace.all("reward") if len(obs) > 1 else None
        problems += _value_problems(obs, rewards, reward_bound)
    if trace.marked_after_reset:
        problems.append("the observation's 'done' is still set after reset()")
    return problems + trace.part_problems


def _value_problems(obs: Any, rewards: Any, reward_bound: float) -> list[str]:
    """Return what is wrong with the values of tensors, whatever their shapes."""
    is_wrong = isinstance(obs, Tensor) and not bool(obs.isfinite().all())
    return (["obs is not finite"] if is_wrong else []) + reward_problems(rewards, reward_bound)


def _horizon_notes(trace: Trace) -> list[str]:
    dones = trace.all("done")
    unfinished = int((~dones.any(dim=0)).sum())
    if not unfinished:
        return []
    steps, num_envs = dones.shape
    return [f"{unfinished} of {num_envs} sub-environments were not done within {steps} steps"]


def _freezing_notes(trace: Trace) -> list[str]:
    obs, rewards = trace.all("obs"), trace.all("reward")
    marks = trace.all("mark") if trace.has("mark") else obs[:0]
    return freezing_notes(marks, rewards, [obs]) if len(marks) == len(obs) else []


@torch.no_grad()
def _mask_notes(task: TracedTask) -> list[str]:
    """Return whether an observation's `mask` is something else than one of legal actions."""
    env = task.make()
    payload, count = env.reset(), task.config.num_envs
    found = payload.get("mask")
    if found is None:
        return []
    actions = _actions(env)
    wrong = problems_of("", lambda: check_mask(found, count, actions.width))
    if isinstance(actions, DiagonalGaussian):
        wrong = [": its actions are numbers"]
    return [f"the observation's 'mask' is not used{line}" for line in wrong]


@torch.no_grad()
def _action_shape_notes(task: TracedTask) -> list[str]:
    env = task.make()
    if not isinstance(_actions(env), Categorical):
        return []
    env.reset()
    return problems_of(
        "step() with actions [N, 1]", lambda: env.step(task.actions(env)[0, :, None])
    )
