"""A conformance check that every environment can run, its author's tests above all.

`check_env` plays random actions in fresh environments and reports every way in which they differ
from the contract (see `SimEnv`), not only the first.
"""

import random
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import numpy as np
import torch
from torch import Tensor

from simverse.core.checks import check_observation, check_step
from simverse.core.config import EnvConfig
from simverse.errors import EnvironmentContractError, SimverseError

CreateEnv = Callable[..., Any]
"""`create_env(config, *, num_envs, device, dtype)`, as a candidate defines it."""


class ConformanceError(SimverseError):
    """The environment breaks its contract; `problems` says how, one line each."""

    def __init__(self, problems: list[str]) -> None:
        self.problems = tuple(dict.fromkeys(problems))
        super().__init__("\n".join(self.problems))


@dataclass(frozen=True, kw_only=True)
class ConformanceReport:
    """What was seen of an environment that keeps its contract."""

    name: str
    observation_shape: tuple[int, ...]
    """`(C, H, W)`."""
    num_actions: int
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
) -> ConformanceReport:
    """Play `max_steps` random actions in a few environments and report what was seen.

    Raises `ConformanceError` with every problem found: shapes, dtypes, spaces, rewards that are not
    finite or exceed `reward_bound` in size, a seed that does not decide what happens, `done` still
    set after `reset`. An exception of the environment's own is a problem too. What the contract
    allows but may not be meant is a note.
    """
    config = EnvConfig(num_envs=num_envs, max_steps=max_steps, seed=seed)
    task = _Task(create_env, config, device)
    env = _attempt("create_env()", task.make)
    _require(_declaration_problems(env, num_envs))
    _require(_border_problems(task))
    trace = task.play(global_seed=seed)
    difference, notes = _reproducibility(task, trace)
    _require(difference + _trace_problems(trace, reward_bound))
    return ConformanceReport(
        name=type(env).__name__,
        observation_shape=_observation_shape(env),
        num_actions=int(env.action_space.n),
        steps=max_steps,
        finished=int(trace.all("done").any(dim=0).sum()),
        reward_range=(float(trace.all("reward").min()), float(trace.all("reward").max())),
        notes=(*notes, *_horizon_notes(trace), *_action_shape_notes(task)),
    )


@dataclass
class _Trace:
    """What an environment did: `(what, step, value)`, copied because it may be a live buffer."""

    events: list[tuple[str, int, Tensor]] = field(default_factory=list)
    marked_after_reset: bool = False

    def add(self, what: str, step: int, value: Tensor | None) -> None:
        if value is not None:
            self.events.append((what, step, value.detach().clone()))

    def all(self, what: str) -> Tensor:
        """Return one kind of value at every step `[T, N, ...]`."""
        return torch.stack([value for name, _, value in self.events if name == what])

    def difference(self, other: "_Trace") -> str | None:
        """Return where two traces first differ, if they do."""
        for (what, step, mine), (kind, _, theirs) in zip(self.events, other.events, strict=False):
            same = torch.allclose(mine, theirs, rtol=0.0, atol=0.0, equal_nan=True)
            if kind != what or not same:
                return f"{what} at step {step}"
        return None


@dataclass(frozen=True)
class _Task:
    """How the environments of one check are made and played."""

    create_env: CreateEnv
    config: EnvConfig
    device: str

    def make(self) -> Any:
        return self.create_env(
            self.config, num_envs=self.config.num_envs, device=self.device, dtype=torch.float32
        )

    def actions(self, env: Any) -> Tensor:
        """Return the actions of every step `[T, N]`: the same ones in each environment."""
        generator = torch.Generator().manual_seed(self.config.seed)
        shape = (self.config.max_steps, self.config.num_envs)
        return torch.randint(int(env.action_space.n), shape, generator=generator).to(self.device)

    def play(self, *, global_seed: int) -> _Trace:
        """Return what a fresh environment does, the global generators seeded."""
        with _global_generators(global_seed), torch.no_grad():
            trace: _Trace = _attempt("a rollout", self._trace)
        return trace

    def _trace(self) -> _Trace:
        env = self.make()
        num_envs, shape = self.config.num_envs, _observation_shape(env)
        trace = _Trace()
        trace.add("obs", 0, check_observation(env.reset(), num_envs, shape)[0])
        for step, actions in enumerate(self.actions(env), start=1):
            result = check_step(env.step(actions.clone()), num_envs, shape)
            trace.add("reward", step, result.reward)
            trace.add("done", step, result.done)
            trace.add("success", step, result.success)
            trace.add("obs", step, result.obs)
        _, marked = check_observation(env.reset(), num_envs, shape)
        trace.marked_after_reset = marked is not None and bool(marked.any())
        return trace


@contextmanager
def _global_generators(seed: int) -> Iterator[None]:
    """Seed Python's, numpy's and torch's global generators, and put them back afterwards."""
    states = random.getstate(), np.random.get_state()  # noqa: NPY002 - an environment may use it
    with torch.random.fork_rng(devices=[]):
        random.seed(seed)
        np.random.seed(seed)  # noqa: NPY002
        torch.manual_seed(seed)
        try:
            yield
        finally:
            random.setstate(states[0])
            np.random.set_state(states[1])  # noqa: NPY002


def _require(problems: list[str]) -> None:
    if problems:
        raise ConformanceError(problems)


def _attempt(what: str, call: Callable[[], Any]) -> Any:
    """Call code of the environment's; whatever it raises becomes a `ConformanceError`."""
    try:
        return call()
    except EnvironmentContractError as error:
        raise ConformanceError([f"{what}: {error}"]) from error
    except Exception as error:
        raise ConformanceError([f"{what} raised {type(error).__name__}: {error}"]) from error


def _problems(what: str, call: Callable[[], Any]) -> list[str]:
    try:
        _attempt(what, call)
    except ConformanceError as error:
        return list(error.problems)
    return []


def _declaration_problems(env: Any, num_envs: int) -> list[str]:
    """Return what is wrong with what an environment says of itself."""
    names = ("reset", "step", "action_space", "observation_space")
    problems = [f"the environment has no {name}" for name in names if not hasattr(env, name)]
    problems += [
        f"{name} must be {expected}, got {getattr(env, name, None)!r}"
        for name, expected in (("num_envs", num_envs), ("num_agents", 1))
        if getattr(env, name, None) != expected
    ]
    actions = getattr(getattr(env, "action_space", None), "n", None)
    if actions is None or int(actions) < 1:
        problems.append(f"action_space.n must be at least 1, got {actions!r}")
    shape = getattr(getattr(env, "observation_space", None), "shape", None)
    if shape is None or len(shape) != 3 or min(shape) < 1:
        problems.append(f"observation_space.shape must be (C, H, W), got {shape!r}")
    return problems


@torch.no_grad()
def _border_problems(task: _Task) -> list[str]:
    """Return what is wrong with the values of the first `reset` and `step`."""
    env = task.make()
    num_envs, shape = task.config.num_envs, _observation_shape(env)
    payload = _attempt("reset()", env.reset)
    result = _attempt("step()", partial(env.step, task.actions(env)[0]))
    problems = _problems("reset()", partial(check_observation, payload, num_envs, shape))
    for variant in _one_at_a_time(result, num_envs, shape):
        problems += _problems("step()", partial(check_step, variant, num_envs, shape))
    if not problems and result[3].get("success") is None:
        problems.append("step(): info['success'] is missing")
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


def _reproducibility(task: _Task, trace: _Trace) -> tuple[list[str], list[str]]:
    """Return problems and notes about what decides the environment's draws."""
    seed = task.config.seed
    if trace.difference(task.play(global_seed=seed + 1)) is None:
        return [], []
    difference = trace.difference(task.play(global_seed=seed))
    if difference is None:
        return [], ["draws from a global generator: its own seed does not decide its course"]
    return [f"the same seed and actions led to different courses, first in {difference}"], []


def _trace_problems(trace: _Trace, reward_bound: float) -> list[str]:
    problems = []
    obs, rewards = trace.all("obs"), trace.all("reward")
    if not obs.is_floating_point():
        problems.append(f"obs must be floating, got {obs.dtype}")
    if not bool(obs.isfinite().all()):
        problems.append("obs is not finite")
    if not bool(rewards.isfinite().all()):
        problems.append("reward is not finite")
    elif float(rewards.abs().max()) > reward_bound:
        worst = float(rewards.flatten()[rewards.abs().argmax()])
        problems.append(f"reward {worst:g} exceeds the bound of {reward_bound:g}")
    if trace.marked_after_reset:
        problems.append("the observation's 'done' is still set after reset()")
    return problems


def _horizon_notes(trace: _Trace) -> list[str]:
    dones = trace.all("done")
    unfinished = int((~dones.any(dim=0)).sum())
    if not unfinished:
        return []
    steps, num_envs = dones.shape
    return [f"{unfinished} of {num_envs} sub-environments were not done within {steps} steps"]


@torch.no_grad()
def _action_shape_notes(task: _Task) -> list[str]:
    env = task.make()
    env.reset()
    return _problems("step() with actions [N, 1]", lambda: env.step(task.actions(env)[0, :, None]))


def _observation_shape(env: Any) -> tuple[int, ...]:
    return tuple(int(size) for size in env.observation_space.shape)
