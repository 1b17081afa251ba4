"""What a candidate writes for a world: how views become observations, and what training pays.

A candidate's `env.py` defines `observation_space(view_spaces)` and either `observe(view)` or a
class `Observer`, and may define `shape_reward(before, actions, after, reward, done)`, whose `done`
is terminal: where `info["truncated"]` says that an episode was cut short it is false.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from types import ModuleType
from typing import Any, Protocol

import torch
from torch import Tensor

from simverse.core.legal import check_mask, require_legal_action
from simverse.core.views import DONE, View, ViewLayout
from simverse.core.world import World
from simverse.errors import EnvironmentContractError


class Observer(Protocol):
    """Turns views into observations, and may remember: a frame stack, visited cells."""

    def reset(self, view: View, mask: Tensor) -> None:
        """Forget the sub-environments in `mask`, bool `[N]`: an episode begins with this view."""

    def __call__(self, view: View) -> Any:
        """Return the observations `[N, C, H, W]`, or these and a mask of legal actions `[N, n]`."""


class _Stateless:
    """`observe(view)` as an observer."""

    def __init__(self, observe: Callable[[View], Any]) -> None:
        self._observe = observe

    def reset(self, view: View, mask: Tensor) -> None:
        pass

    def __call__(self, view: View) -> Any:
        return self._observe(view)


@dataclass(frozen=True)
class Perception:
    """The functions of a candidate's `env.py` in a workspace that has a world."""

    observation_space: Callable[[Mapping[str, Any]], Any]
    new_observer: Callable[[], Observer]
    shape_reward: Callable[..., Any] | None = None
    remembers: bool = True
    """Whether its observer has to be told where episodes begin."""

    @classmethod
    def of(cls, module: ModuleType) -> "Perception":
        """Take them from a module; `EnvironmentContractError` says what is missing or too much."""
        if hasattr(module, "create_env"):
            raise EnvironmentContractError(
                "candidate/env.py defines create_env(), but this task has a world of its own "
                "(task/world.py): define observation_space(view_spaces) and observe(view) instead"
            )
        observe, observer = getattr(module, "observe", None), getattr(module, "Observer", None)
        if (observe is None) == (observer is None):
            what = "neither observe(view) nor" if observe is None else "both observe(view) and"
            raise EnvironmentContractError(
                f"candidate/env.py defines {what} a class Observer: define one of them"
            )
        stateless = None if observe is None else _function(module, "observe")
        return cls(
            observation_space=_function(module, "observation_space"),
            new_observer=_function(module, "Observer")
            if stateless is None
            else lambda: _Stateless(stateless),
            shape_reward=_function(module, "shape_reward")
            if hasattr(module, "shape_reward")
            else None,
            remembers=stateless is None,
        )

    def space(self, world: World, layout: ViewLayout) -> Any:
        """Return the observation space for a world's views."""
        return self.observation_space(dict(world.view_spaces or layout.spaces))


def _function(module: ModuleType, name: str) -> Callable[..., Any]:
    value: Callable[..., Any] | None = getattr(module, name, None)
    if value is None:
        raise EnvironmentContractError(f"candidate/env.py lacks {name}()")
    if not callable(value):
        raise EnvironmentContractError(f"candidate/env.py: {name} is no function")
    return value


def observed(observer: Observer, view: View) -> Tensor:
    """Return an observer's observations of a view, without the mask that may come with them.

    Raises `EnvironmentContractError` if they are none.
    """
    return _pair(observer(view))[0]


def observed_with_mask(
    observer: Observer, view: View, num_actions: int
) -> tuple[Tensor, Tensor | None]:
    """Return an observer's observations and, if it gives one, its mask of legal actions.

    Args:
        observer: the candidate's.
        view: of `N` sub-environments.
        num_actions: `n` of the mask, bool `[N, n]`.

    Raises:
        EnvironmentContractError: they are none, or a sub-environment that is not marked done in
            the view has no legal action.
    """
    obs, mask = _pair(observer(view))
    if mask is None:
        return obs, None
    mask = check_mask(mask, len(next(iter(view.values()))), num_actions)
    require_legal_action(mask, view.get(DONE))
    return obs, mask


def _pair(found: Any) -> tuple[Tensor, Any]:
    obs, mask = found if isinstance(found, tuple) and len(found) == 2 else (found, None)
    if not isinstance(obs, Tensor):
        raise EnvironmentContractError(
            "observe(view) must return a tensor [N, C, H, W], or (obs, mask), got a "
            f"{type(obs).__name__}"
        )
    return obs, mask


def shaped(found: Any, reward: Tensor) -> tuple[Tensor, dict[str, Tensor]]:
    """Return the reward `[N]` that training sees, and its parts by name if it has any.

    Args:
        found: what `shape_reward` returned.
        reward: the world's own, `[N]`.

    Raises:
        EnvironmentContractError: it is neither a tensor `[N]` nor a dict of them.
    """
    parts = found if isinstance(found, Mapping) else {"reward": found}
    if not parts:
        raise EnvironmentContractError("shape_reward() returned a dict without a part")
    for name, part in parts.items():
        if not isinstance(part, Tensor) or part.shape != reward.shape:
            shape = list(part.shape) if isinstance(part, Tensor) else type(part).__name__
            raise EnvironmentContractError(
                f"shape_reward() must return a tensor {list(reward.shape)} or a dict of them, got "
                f"{shape} for {name!r:.60}"
            )
    total = sum(parts.values(), torch.zeros_like(reward))
    return total, dict(parts) if found is parts else {}
