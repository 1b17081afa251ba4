"""Masks of legal actions, bool `[N, n]`: checked, and applied to a policy's logits."""

from typing import Any

import torch
from torch import Tensor

from simverse.errors import EnvironmentContractError

_ILLEGAL_LOGIT = torch.finfo(torch.float32).min
"""Its probability is 0. Not minus infinity, whose product with a probability of 0 is no number."""


def legal_actions(
    found: Any, marked: Tensor | None, num_envs: int, num_actions: int
) -> Tensor | None:
    """Return an observation dict's `mask` if it is one of legal actions, bool `[N, n]`.

    An environment may have something else by that name, which is left alone.

    Args:
        found: the dict's `mask`, None if it has none.
        marked: its `done`, bool `[N]`, None if it has none.
        num_envs: `N`.
        num_actions: `n`.

    Raises:
        EnvironmentContractError: a sub-environment that is not marked done has no legal action.
    """
    if not _is_mask(found, num_envs, num_actions):
        return None
    mask: Tensor = found
    require_legal_action(mask, marked)
    return mask


def check_mask(found: Any, num_envs: int, num_actions: int) -> Tensor:
    """Return a mask of legal actions; `EnvironmentContractError` if it is no bool `[N, n]`."""
    if _is_mask(found, num_envs, num_actions):
        mask: Tensor = found
        return mask
    kind = (
        f"{found.dtype} {list(found.shape)}" if isinstance(found, Tensor) else type(found).__name__
    )
    raise EnvironmentContractError(
        f"the mask of legal actions must be bool [{num_envs}, {num_actions}], got {kind}"
    )


def _is_mask(found: Any, num_envs: int, num_actions: int) -> bool:
    is_flags = isinstance(found, Tensor) and found.dtype == torch.bool
    return is_flags and found.shape == (num_envs, num_actions)


def require_legal_action(mask: Tensor, marked: Tensor | None) -> None:
    """Raise `EnvironmentContractError` where a row that is not `marked` done has none."""
    has_one = mask.any(dim=1)
    if marked is not None:
        has_one = has_one | marked.to(mask.device)
    if bool(has_one.all()):
        return
    first = int((~has_one).nonzero()[0])
    raise EnvironmentContractError(
        f"the mask leaves sub-environment {first} no legal action: at least one is needed until "
        "its episode is done"
    )


def legal_logits(logits: Tensor, mask: Tensor | None) -> Tensor:
    """Return logits `[..., n]` under which illegal actions have probability 0.

    Without a mask `[..., n]` they are returned as they are. Gradients are finite, and 0 at illegal
    actions (Huang & Ontañón 2022, "A closer look at invalid action masking in policy gradient
    algorithms").
    """
    return logits if mask is None else torch.where(mask, logits, _ILLEGAL_LOGIT)


def greedy_actions(scores: Tensor, mask: Tensor | None = None) -> Tensor:
    """Return the legal action of the highest score, int64 `[N]`; of scores and mask `[N, n]`."""
    if mask is None:
        return scores.argmax(dim=-1)
    return scores.masked_fill(~mask, -torch.inf).argmax(dim=-1)
