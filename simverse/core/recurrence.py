"""Recurrent policies: a state is carried from step to step and begins anew with each episode.

Such a policy has `initial_state(batch)`, which returns a tensor `[B, ...]` or a tuple of them, and
`forward(obs [B, C, H, W], state)`, which returns `(logits [B, n], value [B, 1], state)`.
"""

import inspect
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from simverse.errors import PolicyError

FEED_FORWARD_ONLY = (
    "build_policy() returned a recurrent policy (initial_state() beside forward(obs, state)): a "
    "candidate's forward takes observations alone"
)
"""Why a candidate is refused."""

State = Tensor | tuple[Tensor, ...]
"""Tensors `[B, ...]`, as the policy's `initial_state` returns them."""


def is_recurrent(policy: Any) -> bool:
    """Return whether a policy has `initial_state` and a `forward` that takes a state."""
    if not callable(getattr(policy, "initial_state", None)):
        return False
    try:
        inspect.signature(policy.forward).bind(None, None)
    except TypeError:
        return False
    return True


def initial_state(policy: Any, batch: int) -> State:
    """Return the state of `batch` episodes that begin; `PolicyError` if it is none."""
    found = policy.initial_state(batch)
    found = tuple(found) if isinstance(found, list) else found
    parts = found if isinstance(found, tuple) else (found,)
    if not parts or not all(isinstance(p, Tensor) and p.shape[:1] == (batch,) for p in parts):
        raise PolicyError(
            f"initial_state({batch}) must return a tensor [{batch}, ...] or a tuple of such, got "
            f"{_kind(found)}"
        )
    state: State = found
    return state


def restarted(policy: Any, state: State, ended: Tensor) -> State:
    """Return the state with the initial one where an episode has `ended`, bool `[B]`."""

    def choose(now: Tensor, first: Tensor) -> Tensor:
        return torch.where(ended.view(-1, *[1] * (now.dim() - 1)), first, now)

    return mapped(choose, state, initial_state(policy, len(ended)))


def recurrent_forward(policy: Any, obs: Tensor, state: State) -> tuple[tuple[Any, Any], State]:
    """Return a policy's `(logits, value)`, unchecked, and the next state.

    Raises `PolicyError` unless that has the shapes of the last one.
    """
    output = policy(obs, state)
    if not isinstance(output, tuple | list) or len(output) != 3:
        raise PolicyError(
            f"a recurrent policy must return (logits, value, state), got {_kind(output)}"
        )
    logits, value, found = output
    found = tuple(found) if isinstance(found, list) else found
    if _kind(found) != _kind(state):
        raise PolicyError(f"the policy's state must stay {_kind(state)}, got {_kind(found)}")
    return (logits, value), mapped(lambda now, before: now.to(before.dtype), found, state)


def mapped(change: Callable[..., Tensor], *states: State) -> State:
    """Return the state that `change` makes of the corresponding tensors of states."""
    if all(isinstance(state, Tensor) for state in states):
        return change(*states)
    return tuple(change(*parts) for parts in zip(*states, strict=True))


def _kind(found: Any) -> str:
    if isinstance(found, Tensor):
        return f"a tensor {list(found.shape)}"
    if isinstance(found, tuple):
        return f"({', '.join(map(_kind, found))})"
    return f"a {type(found).__name__}"
