"""What crosses the border between our loops and code we were given, checked as it crosses."""

import operator
from collections.abc import Mapping
from itertools import islice
from typing import Any, NamedTuple

import torch
from torch import Tensor

from simverse.errors import EnvironmentContractError, PolicyError
from simverse.part_names import MAX_NAME_CHARS, MAX_PARTS, is_part_name

MAX_ACTIONS = 2**16
"""Most actions to choose from."""


class _Key:
    """A key of `info` that no environment has by chance: it is this object and no text."""

    def __repr__(self) -> str:
        return "WORLD_REWARD"


WORLD_REWARD = _Key()


class StepResult(NamedTuple):
    """One step of `N` sub-environments, in the one form the contract's variants share."""

    obs: Tensor
    """`[N, C, H, W]`."""
    marked: Tensor | None
    """`[N]` bool: the observation dict's `done` entry, if it has one."""
    reward: Tensor
    """`[N]`."""
    done: Tensor
    """`[N]` bool."""
    success: Tensor | None
    """`[N]` bool: `info["success"]`, if there."""
    truncated: Tensor | None
    """`[N]` bool: `info["truncated"]`, if there."""
    final_obs: Tensor | None
    """`[N, C, H, W]`: `info["final_obs"]`, there whenever `truncated` is."""
    reward_parts: Any
    """`info["reward_parts"]` as it is, unchecked: it is only shown (`reward_part_problems`)."""
    world_reward: Tensor | None = None
    """`[N]`: `info[WORLD_REWARD]`, what the world pays where training sees a shaped reward."""
    mask: Any = None
    """The observation dict's `mask` as it is, unchecked (`simverse.core.legal`)."""

    @property
    def earned(self) -> Tensor:
        """`[N]`: what counts towards a return, the world's reward where there is one."""
        return self.reward if self.world_reward is None else self.world_reward


def num_actions(env: Any) -> int:
    """Return how many actions an environment has.

    Raises `EnvironmentContractError` if its action space is none of the discrete ones with `.n`.
    """
    return discrete_actions(getattr(env, "action_space", None))


def discrete_actions(space: Any) -> int:
    """Return how many actions a space has.

    Raises `EnvironmentContractError` if it is none of the discrete ones with `.n`.
    """
    number = whole_number(getattr(space, "n", None))
    # A space of `n` flags at once has an `n` too, and the shape `(n,)`.
    if number is None or _sizes(space) == (number,):
        raise EnvironmentContractError(
            "action_space must be discrete with a whole number of actions .n, got "
            f"{type(space).__name__} with .n {_brief(getattr(space, 'n', None))}"
        )
    if number < 1:
        raise EnvironmentContractError(f"action_space.n must be at least 1, got {number}")
    if number > MAX_ACTIONS:
        raise EnvironmentContractError(
            f"action_space.n must be at most {MAX_ACTIONS:,}, got {_brief(number)}"
        )
    return number


def check_num_envs(env: Any, asked: int) -> None:
    """Raise `EnvironmentContractError` unless an environment has `asked` sub-environments."""
    number = getattr(env, "num_envs", None)
    if whole_number(number) != asked:
        raise EnvironmentContractError(f"env.num_envs must be {asked}, got {_brief(number)}")


def observation_shape(env: Any) -> tuple[int, int, int]:
    """Return the shape of one observation.

    Raises `EnvironmentContractError` if it is not `(C, H, W)`.
    """
    space = getattr(env, "observation_space", None)
    sizes = _sizes(space)
    if sizes is None or len(sizes) != 3 or min(sizes) < 1:
        shape = getattr(space, "shape", None)
        cure = (
            "; simverse.FlattenObservation makes one of parts" if hasattr(space, "spaces") else ""
        )
        raise EnvironmentContractError(
            f"observation_space.shape must be (C, H, W), got {_brief(shape)} of "
            f"{type(space).__name__}{cure}"
        )
    return sizes[0], sizes[1], sizes[2]


def _sizes(space: Any) -> tuple[int, ...] | None:
    """Return a space's shape, None if it has none of whole numbers."""
    try:
        sizes = [whole_number(size) for size in space.shape]
    except (AttributeError, TypeError):
        return None
    return None if None in sizes else tuple(size for size in sizes if size is not None)


def whole_number(value: Any) -> int | None:
    """Return a whole number of any type (numpy's and torch's too), None if it is none."""
    is_flag = isinstance(value, bool | Tensor) and getattr(value, "dtype", torch.bool) == torch.bool
    try:
        return None if is_flag else operator.index(value)
    except (TypeError, ValueError, RuntimeError):
        return None


def _brief(value: Any) -> str:
    return f"{value!r:.60}"


def check_observation(
    payload: Any, num_envs: int, shape: tuple[int, ...]
) -> tuple[Tensor, Tensor | None]:
    """Return `obs` `[N, *shape]` and the `done` entry, if any, of an observation dict.

    Raises `EnvironmentContractError` naming what is wrong.
    """
    if not isinstance(payload, Mapping) or "obs" not in payload:
        raise EnvironmentContractError(
            f"reset() and step() must return an observation dict with 'obs', got {_kind(payload)}"
        )
    obs = _tensor("obs", payload["obs"], (num_envs, *shape))
    marked = payload.get("done")
    return obs, None if marked is None else _flags("the observation's 'done'", marked, num_envs)


def check_step(result: Any, num_envs: int, shape: tuple[int, ...]) -> StepResult:
    """Return what `step` gave in one form; `EnvironmentContractError` names what is wrong.

    Whether rewards are finite is left to the caller, who can look at many steps at once.
    """
    if not isinstance(result, tuple) or len(result) != 4:
        raise EnvironmentContractError(
            f"step() must return (obs, reward, done, info), got {_kind(result)}"
        )
    payload, reward, done, info = result
    obs, marked = check_observation(payload, num_envs, shape)
    if not isinstance(reward, Tensor) or tuple(reward.shape) not in {(num_envs,), (num_envs, 1)}:
        raise EnvironmentContractError(
            f"reward must be a tensor [{num_envs}] or [{num_envs}, 1], got {_kind(reward)}"
        )
    if reward.dtype == torch.bool or reward.is_complex():
        raise EnvironmentContractError(f"reward must be a number, got {reward.dtype}")
    if not isinstance(info, Mapping):
        raise EnvironmentContractError(f"info must be a dict, got {_kind(info)}")
    truncated = _optional_flags("truncated", info, num_envs)
    final_obs = None
    if truncated is not None:
        if "final_obs" not in info:
            raise EnvironmentContractError("info['truncated'] needs info['final_obs'] beside it")
        final_obs = _tensor("info['final_obs']", info["final_obs"], (num_envs, *shape))
    return StepResult(
        obs=obs,
        marked=marked,
        reward=reward.reshape(num_envs),
        done=_flags("done", done, num_envs),
        success=_optional_flags("success", info, num_envs),
        truncated=truncated,
        final_obs=final_obs,
        reward_parts=info.get("reward_parts"),
        world_reward=info.get(WORLD_REWARD),
        mask=payload.get("mask"),
    )


def reward_part_problems(parts: Any, num_envs: int) -> list[str]:
    """Return what is wrong with `info["reward_parts"]`, one line each; None is none of it."""
    name = "info['reward_parts']"
    if parts is None:
        return []
    if not isinstance(parts, Mapping):
        return [f"{name} must be a dict of tensors [{num_envs}], got {_kind(parts)}"]
    problems = []
    if len(parts) > MAX_PARTS:
        problems.append(f"{name} has {len(parts)} parts, at most {MAX_PARTS} are allowed")
    for key, value in islice(parts.items(), MAX_PARTS):
        if not is_part_name(key):
            problems.append(
                f"{name} must be named by printable texts of 1 to {MAX_NAME_CHARS} characters, got "
                f"{_brief(key)}"
            )
        elif not isinstance(value, Tensor) or tuple(value.shape) != (num_envs,):
            problems.append(f"{name}[{key!r}] must be a tensor [{num_envs}], got {_kind(value)}")
        elif value.is_complex():
            problems.append(f"{name}[{key!r}] must be a number, got {value.dtype}")
        elif not bool(value.isfinite().all()):
            problems.append(f"{name}[{key!r}] is not finite")
    return problems


def check_policy_output(
    output: Any, num_envs: int, width: int, *, name: str = "logits"
) -> tuple[Tensor, Tensor]:
    """Return logits `[B, n]` and values `[B]` of a policy's `(logits [B, n], value [B, 1])`.

    `width` is `n`; `name` is what the first output is called where it is not logits
    (`simverse.core.distributions`). Raises `PolicyError` naming what came and what was expected.
    """
    if not isinstance(output, tuple | list) or len(output) != 2:
        raise PolicyError(f"the policy must return ({name}, value), got {_kind(output)}")
    logits, value = output
    for what, tensor, expected in (
        (name, logits, (num_envs, width)),
        ("value", value, (num_envs, 1)),
    ):
        if not isinstance(tensor, Tensor) or tuple(tensor.shape) != expected:
            raise PolicyError(f"{what} must be a tensor {list(expected)}, got {_kind(tensor)}")
    return logits, value.squeeze(1)


def _tensor(name: str, value: Any, shape: tuple[int, ...]) -> Tensor:
    if not isinstance(value, Tensor) or tuple(value.shape) != shape:
        raise EnvironmentContractError(f"{name} must be a tensor {list(shape)}, got {_kind(value)}")
    return value


def _flags(name: str, value: Any, num_envs: int) -> Tensor:
    tensor = _tensor(name, value, (num_envs,))
    if tensor.dtype != torch.bool:
        raise EnvironmentContractError(f"{name} must be bool, got {tensor.dtype}")
    return tensor


def _optional_flags(key: str, info: Mapping[str, Any], num_envs: int) -> Tensor | None:
    value = info.get(key)
    return None if value is None else _flags(f"info[{key!r}]", value, num_envs)


def _kind(value: Any) -> str:
    """Describe a value by its shape if it is a tensor, else by its type."""
    if isinstance(value, Tensor):
        return f"a tensor {list(value.shape)}"
    return f"a {type(value).__name__}" + (f" of {len(value)}" if isinstance(value, tuple) else "")
