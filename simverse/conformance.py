"""What the conformance checks of environments and of worlds share: how problems are collected."""

from collections.abc import Callable
from functools import partial
from typing import Any

from torch import Tensor

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
