"""What crosses the border between our loops and code we were given, checked as it crosses."""

from collections.abc import Mapping
from typing import Any, NamedTuple

import torch
from torch import Tensor

from simverse.errors import EnvironmentContractError, PolicyError


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
    )


def check_policy_output(output: Any, num_envs: int, num_actions: int) -> tuple[Tensor, Tensor]:
    """Return logits `[B, n]` and values `[B]` of a policy's `(logits [B, n], value [B, 1])`.

    Raises `PolicyError` naming what came and what was expected.
    """
    if not isinstance(output, tuple | list) or len(output) != 2:
        raise PolicyError(f"the policy must return (logits, value), got {_kind(output)}")
    logits, value = output
    for name, tensor, expected in (
        ("logits", logits, (num_envs, num_actions)),
        ("value", value, (num_envs, 1)),
    ):
        if not isinstance(tensor, Tensor) or tuple(tensor.shape) != expected:
            raise PolicyError(f"{name} must be a tensor {list(expected)}, got {_kind(tensor)}")
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
