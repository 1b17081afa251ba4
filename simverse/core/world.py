"""Worlds: tasks that only their user writes, apart from what a policy sees of them.

`N` is `num_envs`, the sub-environments stepped in lockstep.
"""

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple, Self

import torch
from torch import Tensor, nn

from simverse.core.checks import check_num_envs, num_actions
from simverse.core.episodes import StartFlags
from simverse.core.views import DONE, View, ViewLayout
from simverse.errors import EnvironmentContractError

__all__ = [
    "EpisodeStarts",
    "View",
    "World",
    "WorldStep",
    "check_world_step",
    "checked_horizon",
]


class World(nn.Module, ABC):
    """Base class of worlds; state lives in buffers, so `.to()` moves all of it.

    A subclass sets `num_envs`, `max_steps` (the horizon, in steps) and `action_space` (discrete,
    with `.n`), and implements `reset` and `step`. All that it draws comes from a generator of its
    own, seeded with `config.seed`.

    ======================= =====================  =============================================
    value                   shape                  dtype
    ======================= =====================  =============================================
    a view's fields         `[N, ...]`             bool, float32, or whole numbers up to 2**24;
                                                   finite; may alias live buffers
    `view["done"]`          `[N]`, optional        bool: over, and frozen until `reset`
    actions                 `[N]`                  int64
    reward                  `[N]`                  floating, finite: what the task is worth
    done                    `[N]`                  bool
    `info["success"]`       `[N]`                  bool; without it nothing succeeds
    `info["truncated"]`     `[N]`, optional        bool; needs `info["final_view"]`
    `info["final_view"]`    a view, optional       that before a reset inside `step`
    ======================= =====================  =============================================

    `render_layers(index)` is optional, and draws one sub-environment (`simverse.core.layers`).

    A finished sub-environment either resets itself inside `step`, so that the view is the first of
    its next episode, or stays frozen with `view["done"]` set until `reset`.
    """

    num_envs: int = 1
    max_steps: int = 20
    reward_bound: float | None = None
    """Largest magnitude of a step's reward, if it has one."""
    view_spaces: Mapping[str, Any] | None = None
    """The space of each of a view's fields, without the sub-environments; None for what their
    dtypes say."""

    def __init__(
        self, device: str | torch.device = "cpu", dtype: torch.dtype = torch.float32
    ) -> None:
        super().__init__()
        self.device = torch.device(device)
        self.dtype = dtype

    @abstractmethod
    def reset(self) -> View:
        """Start a fresh episode in every sub-environment and return the first view."""

    @abstractmethod
    def step(self, actions: Tensor) -> tuple[View, Tensor, Tensor, dict[str, Any]]:
        """Advance every sub-environment; return `(view, reward, done, info)` as in the table."""

    @property
    def name(self) -> str:
        """What it is called."""
        return type(self).__name__

    def describe(self) -> str:
        """Say in one line what the task is, for people and agents."""
        return type(self).__name__

    def close(self) -> None:
        """Release whatever the world holds; the default holds nothing."""

    def _apply(self, fn: Callable[[Tensor], Tensor], recurse: bool = True) -> Self:
        """Keep `device` and `dtype` true after `.to()` and the like, as `SimEnv` does."""
        super()._apply(fn, recurse)  # type: ignore[no-untyped-call, unused-ignore]
        probe = fn(torch.empty(0, device=self.device, dtype=self.dtype))
        self.device, self.dtype = probe.device, probe.dtype
        return self


class WorldStep(NamedTuple):
    """One step of a world, checked."""

    view: View
    reward: Tensor
    """`[N]`."""
    done: Tensor
    """`[N]` bool."""
    success: Tensor
    """`[N]` bool."""
    truncated: Tensor | None
    """`[N]` bool."""
    final_view: View | None
    """The view that ended the episodes just over, and of the others the view itself."""


WORLD_MEMBERS = ("reset", "step", "action_space", "max_steps")
"""What a world has beside `num_envs`."""


def checked_horizon(world: Any, num_envs: int) -> int:
    """Return a world's horizon in steps; `EnvironmentContractError` if it can't be played."""
    for name in WORLD_MEMBERS:
        if not hasattr(world, name):
            raise EnvironmentContractError(f"create_world() returned a world without {name!r}")
    if not isinstance(world, World):
        raise EnvironmentContractError(
            f"create_world() must return a simverse.core.world.World, got a {type(world).__name__}"
        )
    check_num_envs(world, num_envs)
    num_actions(world)
    return horizon(world)


def horizon(world: Any) -> int:
    """Return a world's horizon in steps; `EnvironmentContractError` if it is no such number."""
    found = world.max_steps
    if isinstance(found, bool) or not isinstance(found, int) or found < 1:
        raise EnvironmentContractError(
            f"the world's max_steps must be a whole number of steps, got {found!r:.60}"
        )
    return found


def check_world_step(result: Any, layout: ViewLayout, num_envs: int) -> WorldStep:
    """Return what a world's `step` gave; `EnvironmentContractError` names what is wrong.

    Whether rewards are finite is left to the caller, who can look at many steps at once.
    """
    if not isinstance(result, tuple) or len(result) != 4:
        raise EnvironmentContractError(
            f"the world's step() must return (view, reward, done, info), got {_kind(result)}"
        )
    view, reward, done, info = result
    if not isinstance(reward, Tensor) or reward.shape != (num_envs,):
        raise EnvironmentContractError(
            f"the world's reward must be a tensor [{num_envs}], got {_kind(reward)}"
        )
    if reward.dtype == torch.bool or reward.is_complex():
        raise EnvironmentContractError(f"the world's reward must be a number, got {reward.dtype}")
    if not isinstance(info, Mapping):
        raise EnvironmentContractError(f"the world's info must be a dict, got {_kind(info)}")
    truncated, final_view = None, None
    if info.get("truncated") is not None:
        truncated = _flags("info['truncated']", info["truncated"], num_envs)
        if info.get("final_view") is None:
            raise EnvironmentContractError("info['truncated'] needs info['final_view'] beside it")
    if info.get("final_view") is not None:
        final_view = layout.check(info["final_view"], num_envs)
    done = _flags("done", done, num_envs)
    success = info.get("success")
    return WorldStep(
        view=layout.check(view, num_envs),
        reward=reward,
        done=done,
        success=torch.zeros_like(done)
        if success is None
        else _flags("info['success']", success, num_envs),
        truncated=truncated,
        final_view=final_view,
    )


class EpisodeStarts:
    """Tells with which views episodes begin, step by step."""

    def __init__(self) -> None:
        self._flags = StartFlags()

    def reset(self, view: View) -> None:
        """Note the first view."""
        self._flags.reset(view.get(DONE))

    def after(self, step: WorldStep) -> Tensor:
        """Return which sub-environments begin an episode with a step's view, bool `[N]`."""
        return self._flags.after(step.done, step.view.get(DONE))


def _flags(name: str, value: Any, num_envs: int) -> Tensor:
    if not isinstance(value, Tensor) or value.dtype != torch.bool or value.shape != (num_envs,):
        raise EnvironmentContractError(
            f"the world's {name} must be bool [{num_envs}], got {_kind(value)}"
        )
    return value


def _kind(value: Any) -> str:
    if isinstance(value, Tensor):
        return f"{value.dtype} {list(value.shape)}"
    return f"a {type(value).__name__}" + (f" of {len(value)}" if isinstance(value, tuple) else "")
