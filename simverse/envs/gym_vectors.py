"""Many of one environment of Gymnasium's: in this process, or each in a process of its own."""

import os
import statistics
import time
from collections.abc import Mapping, Sequence
from typing import Any

import gymnasium
from gymnasium.envs.registration import EnvSpec

from simverse.arguments import did_you_mean
from simverse.core.random_state import numpy_state, set_numpy_state
from simverse.envs.gym_names import MakeWrapper

SYNC, ASYNC, AUTO, ITS_OWN = MODES = ("sync", "async", "auto", "vector_entry_point")
ASYNC_PAYS_S = 0.0005
"""Seconds of a step of one sub-environment that are worth a message to its process and back, which
costs 0.0002 of processor time: with two cores such steps take 0.7 of the time, with more less."""
_PROBE_STEPS, _PROBE_S = 50, 0.5
_FAULTS = (gymnasium.error.Error, ImportError, TypeError, ValueError, AttributeError)


def make_vector(
    spec: EnvSpec,
    num_envs: int,
    *,
    mode: str = SYNC,
    wrappers: Sequence[MakeWrapper] = (),
    options: Mapping[str, Any],
) -> gymnasium.vector.VectorEnv:
    """Return a vector environment that resets itself in the step, where this Gymnasium can.

    Args:
        spec: what is registered.
        num_envs: sub-environments.
        mode: one of `MODES`. `async` has a process for each sub-environment; `auto` is `async`
            where a step takes `ASYNC_PAYS_S` and there is more than one core, else `sync`; the
            course of episodes is the same in either. `vector_entry_point` is the environment's own.
        wrappers: what wraps each sub-environment, the innermost first.
        options: of its constructor.

    Raises:
        ValueError: in one line, what Gymnasium says.
    """
    if mode not in MODES:
        hint = did_you_mean(str(mode), MODES)
        raise ValueError(f"vectorization_mode is one of {', '.join(MODES)}, got {mode!r}{hint}")
    try:
        if mode == AUTO:
            mode = _faster(spec, wrappers, options)
        return _made(spec, num_envs, mode, wrappers, options)
    except _FAULTS as error:
        raise ValueError(f"Gymnasium cannot make {spec.id!r}: {error}") from error


def _made(
    spec: EnvSpec,
    num_envs: int,
    mode: str,
    wrappers: Sequence[MakeWrapper],
    options: Mapping[str, Any],
) -> gymnasium.vector.VectorEnv:
    settings: dict[str, Any] = {}
    if hasattr(gymnasium.vector, "AutoresetMode") and mode != ITS_OWN:  # not in 1.0
        settings["autoreset_mode"] = gymnasium.vector.AutoresetMode.SAME_STEP
    make = {"vectorization_mode": mode, "wrappers": wrappers, **options}
    try:
        return gymnasium.make_vec(spec, num_envs, vector_kwargs=settings, **make)
    except ValueError as error:
        if mode != ASYNC or not isinstance(error.__cause__, gymnasium.error.CustomSpaceError):
            raise
    # Observations of a space that has no place in shared memory are sent.
    settings["shared_memory"] = False
    return gymnasium.make_vec(spec, num_envs, vector_kwargs=settings, **make)


def _faster(spec: EnvSpec, wrappers: Sequence[MakeWrapper], options: Mapping[str, Any]) -> str:
    if (os.cpu_count() or 1) < 2:
        return SYNC
    env = gymnasium.make(spec, **options)
    for wrap in wrappers:
        env = wrap(env)
    try:
        return ASYNC if step_seconds(env) >= ASYNC_PAYS_S else SYNC
    finally:
        env.close()


def step_seconds(env: gymnasium.Env[Any, Any]) -> float:
    """Return the median seconds of a step: of 50 random ones, or what half a second has."""
    env.action_space.seed(0)
    env.reset(seed=0)
    seconds: list[float] = []
    while len(seconds) < _PROBE_STEPS and sum(seconds) < _PROBE_S:
        action, started_s = env.action_space.sample(), time.perf_counter()
        _, _, terminated, truncated, _ = env.step(action)
        seconds.append(time.perf_counter() - started_s)
        if terminated or truncated:
            env.reset()
    return statistics.median(seconds)


def random_states(vector_env: gymnasium.vector.VectorEnv) -> list[str]:
    """Return the states of the sub-environments' `np_random`, none where they can't be read."""
    try:
        return [numpy_state(found) for found in vector_env.get_attr("np_random")]
    except _FAULTS:
        return []


def set_random_states(vector_env: gymnasium.vector.VectorEnv, states: Sequence[str]) -> None:
    """Set the states of the sub-environments' `np_random`; `ValueError` if they do not fit."""
    if not states:
        return
    generators = list(vector_env.get_attr("np_random"))
    if len(generators) != len(states):
        raise ValueError(f"random states of {len(states)} sub-environments, not {len(generators)}")
    for generator, state in zip(generators, states, strict=True):
        set_numpy_state(generator, state)
    # In this process they are the same objects; from other ones they came as copies.
    vector_env.set_attr("np_random", generators)
