"""Traces: what a fresh environment does under fixed random actions, for the conformance check."""

import random
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from torch import Tensor

from simverse.core.checks import (
    check_observation,
    check_step,
    observation_shape,
    reward_part_problems,
)
from simverse.core.config import EnvConfig
from simverse.core.distributions import action_distribution

CreateEnv = Callable[..., Any]
"""`create_env(config, *, num_envs, device, dtype)`, as a candidate defines it."""


@dataclass
class Trace:
    """What an environment did: `(what, step, value)`, copied because it may be a live buffer."""

    events: list[tuple[str, int, Tensor]] = field(default_factory=list)
    marked_after_reset: bool = False
    part_problems: list[str] = field(default_factory=list)
    """What is wrong with `info["reward_parts"]`."""
    has_success: bool = False
    """Whether `info["success"]` was ever there, of a world."""

    def add(self, what: str, step: int, value: Tensor | None) -> None:
        """Add a value, if there is one."""
        if value is not None:
            self.events.append((what, step, value.detach().clone()))

    def has(self, what: str) -> bool:
        """Return whether there is a value of this kind."""
        return any(name == what for name, _, _ in self.events)

    def all(self, what: str) -> Tensor:
        """Return one kind of value at every step `[T, N, ...]`."""
        return torch.stack([value for name, _, value in self.events if name == what])

    def difference(self, other: "Trace") -> str | None:
        """Return where two traces first differ, if they do."""
        for (what, step, mine), (kind, _, theirs) in zip(self.events, other.events, strict=False):
            same = torch.allclose(mine, theirs, rtol=0.0, atol=0.0, equal_nan=True)
            if kind != what or not same:
                return f"{what} at step {step}"
        return None


@dataclass(frozen=True)
class TracedTask:
    """How the environments of one check are made and played."""

    create_env: CreateEnv
    config: EnvConfig
    device: str
    steps: int
    """Steps of one play."""

    def make(self) -> Any:
        """Return a fresh environment."""
        return self.create_env(
            self.config, num_envs=self.config.num_envs, device=self.device, dtype=torch.float32
        )

    def actions(self, env: Any) -> Tensor:
        """Return the actions of every step `[T, N, ...]`: the same ones in each environment."""
        generator = torch.Generator().manual_seed(self.config.seed)
        steps, count = self.steps, self.config.num_envs
        drawn = action_distribution(env.action_space).uniform(steps * count, generator)
        return drawn.view(steps, count, *drawn.shape[1:]).to(self.device)

    def play(self, trace: Trace, *, global_seed: int) -> None:
        """Add to a trace what a fresh environment does, the global generators seeded.

        Raises whatever the environment does, and `EnvironmentContractError`.
        """
        with global_generators(global_seed), torch.no_grad():
            env = self.make()
            num_envs, shape = self.config.num_envs, observation_shape(env)
            obs, marked = check_observation(env.reset(), num_envs, shape)
            trace.add("obs", 0, obs)
            trace.add("mark", 0, marked)
            for step, actions in enumerate(self.actions(env), start=1):
                result = check_step(env.step(actions.clone()), num_envs, shape)
                trace.add("reward", step, result.reward)
                trace.add("done", step, result.done)
                trace.add("success", step, result.success)
                trace.part_problems += reward_part_problems(result.reward_parts, num_envs)
                trace.add("obs", step, result.obs)
                trace.add("mark", step, result.marked)
            _, marked = check_observation(env.reset(), num_envs, shape)
            trace.marked_after_reset = marked is not None and bool(marked.any())


@contextmanager
def global_generators(seed: int) -> Iterator[None]:
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
