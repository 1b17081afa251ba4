"""Numbers of a rollout that must be finite."""

from torch import Tensor

from simverse.core.distributions import ActionDistribution
from simverse.errors import PolicyError, SimverseError


def require_finite(name: str, numbers: Tensor, error: type[SimverseError]) -> None:
    """Raise for the first slot and sub-environment whose numbers `[T, N, ...]` are not finite."""
    # A sum is finite only if every term is, and costs a fraction of asking each.
    if not bool(numbers.sum().isfinite()):
        _require_none(f"{name} is not finite", ~numbers.isfinite(), error)


def require_usable(
    distribution: ActionDistribution, outputs: Tensor, legal: Tensor | None
) -> Tensor | None:
    """Return which actions are legal `[T, N, w]`, those with a logit of minus infinity not.

    None if all are.

    Args:
        distribution: what the outputs describe.
        outputs: the policy's, `[T, N, w]`.
        legal: the environment's masks, bool `[T, N, w]`, if there are any.

    Raises:
        PolicyError: no action can be drawn from an output.
    """
    if bool(outputs.sum().isfinite()):
        return legal
    told = f"the policy's {distribution.name}"
    wrong = distribution.unusable(outputs, legal)
    _require_none(f"{told} is not finite", wrong, PolicyError)
    possible = ~outputs.isneginf()
    if bool(possible.all()):  # the sum alone was too large
        return legal
    return possible if legal is None else possible & legal


def _require_none(told: str, wrong: Tensor, error: type[SimverseError]) -> None:
    where = wrong.nonzero()
    if len(where):
        slot, sub_env = where[0, :2].tolist()
        raise error(f"{told} at step {slot} of sub-environment {sub_env}")
