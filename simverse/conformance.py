"""What the conformance checks of environments and of worlds share: how problems are collected."""

from collections.abc import Callable, Iterable
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn

from simverse.core.layers import METHOD, has_layers, layers_of
from simverse.errors import EnvironmentContractError, SimverseError
from simverse.trace import Trace, TracedTask


class ConformanceError(SimverseError):
    """The environment breaks its contract; `problems` says how, one line each."""

    def __init__(self, problems: list[str]) -> None:
        self.problems = tuple(dict.fromkeys(problems))
        super().__init__("\n".join(self.problems))


def require(problems: list[str]) -> None:
    """Raise `ConformanceError` with these problems, if there are any."""
    if problems:
        raise ConformanceError(problems)


def attempt(what: str, call: Callable[[], Any]) -> Any:
    """Call code of the environment's; whatever it raises becomes a `ConformanceError`."""
    try:
        return call()
    except EnvironmentContractError as error:
        raise ConformanceError([f"{what}: {error}"]) from error
    except Exception as error:
        raise ConformanceError([f"{what} raised {type(error).__name__}: {error}"]) from error


def problems_of(what: str, call: Callable[[], Any]) -> list[str]:
    """Return what is wrong with what a call of the environment's does, nothing if it works."""
    try:
        attempt(what, call)
    except ConformanceError as error:
        return list(error.problems)
    return []


def description_of(thing: Any) -> str:
    """Return what an environment or a world says of itself, in one line; else its class."""
    describe = getattr(thing, "describe", None)
    found = attempt("describe()", describe) if callable(describe) else type(thing).__name__
    return " ".join(str(found).split())


def drawing_problems(env: Any) -> list[str]:
    """Return what is wrong with how an environment or a world, after `reset`, draws itself."""
    if not has_layers(env):
        return []
    before = _state(env)
    problems = problems_of(f"{METHOD}()", partial(layers_of, env, 0))
    after = _state(env)
    changed = [
        name
        for name, value in before.items()
        if name not in after or not torch.equal(value, after[name])
    ]
    return problems + [f"{METHOD}() changes {name}: it must change nothing" for name in changed]


def _state(env: Any) -> dict[str, Tensor]:
    """Return copies of an environment's buffers, and of its generators' states."""
    buffers = dict(env.named_buffers()) if isinstance(env, nn.Module) else {}
    own = getattr(env, "__dict__", {})
    generators = {name: v for name, v in own.items() if isinstance(v, torch.Generator)}
    return {name: value.clone() for name, value in buffers.items()} | {
        name: generator.get_state() for name, generator in generators.items()
    }


def reproducibility(task: TracedTask, trace: Trace) -> tuple[list[str], list[str]]:
    """Return problems and notes about what decides the environment's draws.

    Args:
        task: what is checked.
        trace: what it did with the global generators seeded with `config.seed`.
    """
    seed, other, same = task.config.seed, Trace(), Trace()
    if problems := problems_of("a rollout", partial(task.play, other, global_seed=seed + 1)):
        return problems, []
    if trace.difference(other) is None:
        return [], []
    if problems := problems_of("a rollout", partial(task.play, same, global_seed=seed)):
        return problems, []
    difference = trace.difference(same)
    if difference is None:
        return [], ["draws from a global generator: its own seed does not decide its course"]
    return [f"the same seed and actions led to different courses, first in {difference}"], []


def reward_problems(rewards: Any, reward_bound: float | None) -> list[str]:
    """Return what is wrong with the values of rewards, whatever their shape; None is no bound."""
    if not isinstance(rewards, Tensor) or not rewards.numel() or rewards.is_complex():
        return []
    if not bool(rewards.isfinite().all()):
        return ["reward is not finite"]
    if reward_bound is not None and float(rewards.double().abs().max()) > reward_bound:
        worst = float(rewards.flatten()[rewards.double().abs().argmax()])
        return [f"reward {worst:g} exceeds the bound of {reward_bound:g}"]
    return []


def freezing_notes(marks: Tensor, rewards: Tensor, seen: Iterable[Tensor]) -> list[str]:
    """Return a note where training would take for frozen what goes on.

    A rollout ends when two observations in a row are marked done everywhere, as they are by what
    stays as it is until `reset`. Where episodes take one step each and begin anew by themselves,
    they must not be marked.

    Args:
        marks: the observations' `done`, bool `[T + 1, N]`, that of `reset` first.
        rewards: of the steps, `[T, N]`.
        seen: the observations, or their parts, each `[T + 1, N, ...]`.
    """
    over = marks.all(dim=1)
    in_a_row = (over[1:] & over[:-1]).nonzero().flatten().tolist()
    if not in_a_row:
        return []
    stop = in_a_row[0] + 1  # steps that are taken before the rollout ends
    later = [marks[stop:], rewards[stop:], *(each[stop:] for each in seen)]
    if not any(bool((values != values[:1]).any()) for values in later):
        return []
    return [
        "'done' is set twice in a row for all sub-environments, and yet they go on: training takes "
        f"them for frozen and ends each rollout after {stop} steps; where episodes begin anew "
        "inside step(), leave 'done' out of what it returns as the observation"
    ]
