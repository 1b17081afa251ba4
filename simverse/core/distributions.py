"""Action distributions: what a policy's first output means, chosen by the action space.

==================  ==============================================  ===========================
action space        the policy's first output                       actions that `step` gets
==================  ==============================================  ===========================
`Discrete(n)`       logits `[B, n]`                                 int64 `[N]`
`MultiDiscrete`     the logits of each component, one after the     int64 `[N, k]`
                    other, `[B, sum(nvec)]`
`Box` of shape (d)  means, then log standard deviations `[B, 2d]`   float32 `[N, d]`, in the box
==================  ==============================================  ===========================

A Gaussian's action is clipped to the box on its way to the environment. If the policy has a true
attribute `squashed`, it is squashed into the box by tanh instead (Haarnoja et al. 2018, "Soft
actor-critic", appendix C). A log standard deviation that does not depend on the observation is a
parameter `[d]` that the policy appends to its means, as `SimplePolicy` does.

Logits of minus infinity make an action impossible; at least one of a component's must be finite.
"""

from typing import Any

import torch

from simverse.core.categorical import ActionDistribution, Categorical, MultiCategorical
from simverse.core.checks import MAX_ACTIONS, discrete_actions, whole_number
from simverse.core.gaussian import DiagonalGaussian, SquashedGaussian
from simverse.errors import EnvironmentContractError

__all__ = [
    "ActionDistribution",
    "Categorical",
    "DiagonalGaussian",
    "MultiCategorical",
    "SquashedGaussian",
    "action_distribution",
    "distribution_of",
]


def action_distribution(space: Any, policy: Any = None) -> ActionDistribution:
    """Return the distribution over a space's actions that a policy's first output describes.

    Args:
        space: Gymnasium's `Discrete`, `MultiDiscrete` or `Box`, or anything with their `.n`,
            `.nvec`, or `.low` and `.high`.
        policy: a true attribute `squashed` of its asks for tanh where the space is a box.

    Raises:
        EnvironmentContractError: the space is none of these.
    """
    if hasattr(space, "n"):
        return Categorical(discrete_actions(space))
    if hasattr(space, "nvec"):
        return _multi_categorical(space)
    if hasattr(space, "low") and hasattr(space, "high"):
        return _gaussian(space, squashed=bool(getattr(policy, "squashed", False)))
    raise EnvironmentContractError(
        "action_space must be discrete (.n), MultiDiscrete (.nvec) or a Box (.low and .high), "
        f"got {type(space).__name__}"
    )


def _multi_categorical(space: Any) -> MultiCategorical:
    nvec = [whole_number(size) for size in space.nvec]
    sizes = tuple(size for size in nvec if size is not None and size > 0)
    if not sizes or len(sizes) < len(nvec) or sum(sizes) > MAX_ACTIONS:
        raise EnvironmentContractError(
            "action_space.nvec must be one row of whole numbers from 1, in all at most "
            f"{MAX_ACTIONS:,}, got {' '.join(str(space.nvec).split()):.60}"
        )
    return MultiCategorical(sizes)


def _gaussian(space: Any, *, squashed: bool) -> DiagonalGaussian:
    low, high = (torch.as_tensor(bound, dtype=torch.float32) for bound in (space.low, space.high))
    if low.dim() != 1 or low.shape != high.shape or not len(low) or not bool((low < high).all()):
        raise EnvironmentContractError(
            f"a Box of actions must have the shape (d,) and .low below .high, got {space!r:.60}: "
            "flatten it in the environment"
        )
    if not squashed:
        return DiagonalGaussian(low, high)
    if not bool((low.isfinite() & high.isfinite()).all()):
        raise EnvironmentContractError(
            f"a squashed policy needs an action space with finite bounds, got {space!r:.60}"
        )
    return SquashedGaussian(low, high)


def distribution_of(actions: ActionDistribution | int) -> ActionDistribution:
    """Return a distribution, given as it is or as the number of actions to choose from."""
    return actions if isinstance(actions, ActionDistribution) else Categorical(int(actions))
