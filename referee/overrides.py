"""The training settings that a candidate may override, and within which bounds."""

from collections.abc import Mapping
from typing import Any

from referee.records import DEFAULT_MAX_STEPS, MAX_HORIZON, CandidateError, EvaluationRequest
from referee.wire import shown

_NUMBER = (int, float)
_ALLOWED: Mapping[str, tuple[tuple[type, ...], float, float]] = {
    # key: accepted types, smallest, largest value
    "batch_size": ((int,), 1, 10_000_000),
    "buffer_size": ((int,), 1, 100_000_000),
    "clip_epsilon": (_NUMBER, 1e-6, 10.0),
    "entropy_coef": (_NUMBER, 0.0, 10.0),
    "gae_lambda": (_NUMBER, 0.0, 1.0),
    "gamma": (_NUMBER, 0.0, 1.0),
    "lr": (_NUMBER, 1e-12, 10.0),
    "max_grad_norm": (_NUMBER, 0.0, 1e6),
    "normalize_advantages": ((bool,), 0, 1),
    "torch_fastpath": ((bool,), 0, 1),
    "training_epochs": ((int,), 1, 1000),
    "max_steps": ((int,), 1, MAX_HORIZON),
}


def check_overrides(overrides: object) -> dict[str, Any]:
    """Return the candidate's overrides if every one is allowed.

    Raises:
        CandidateError: `invalid`, naming the key that is unknown, of a wrong type or out of range.
    """
    if not isinstance(overrides, dict):
        raise CandidateError("rejected", f"the worker's overrides are {shown(overrides)}")
    for key, value in overrides.items():
        if key not in _ALLOWED:
            allowed = ", ".join(_ALLOWED)
            raise CandidateError(
                "invalid",
                f"training_overrides() key {shown(key)} is not allowed; allowed: {allowed}",
            )
        types, smallest, largest = _ALLOWED[key]
        if type(value) not in types:
            expected = " or ".join(kind.__name__ for kind in types)
            raise CandidateError(
                "invalid",
                f"training_overrides() {key!r} must be {expected}, not {type(value).__name__}",
            )
        if not smallest <= value <= largest:  # false for NaN too
            bounds = f"{smallest:g} to {largest:g}"
            raise CandidateError(
                "invalid", f"training_overrides() {key!r} must be {bounds}, not {shown(value)}"
            )
    return dict(overrides)


def horizon(overrides: Mapping[str, Any], request: EvaluationRequest) -> int:
    """Return the horizon in steps: the request's, else the override, else the default.

    Raises:
        CandidateError: the override contradicts the request.
    """
    max_steps: int = request.max_steps or overrides.get("max_steps", DEFAULT_MAX_STEPS)
    if overrides.get("max_steps", max_steps) != max_steps:
        raise CandidateError(
            "rejected",
            f"training_overrides() asks for a horizon of {overrides['max_steps']} steps, but "
            f"it is pinned to {max_steps} (task.max_steps): return no 'max_steps', or "
            f"{max_steps}",
        )
    return max_steps


def world_horizon(overrides: Mapping[str, Any], max_steps: int) -> int:
    """Return the world's horizon in steps.

    Raises:
        CandidateError: the override contradicts it.
    """
    if overrides.get("max_steps", max_steps) != max_steps:
        raise CandidateError(
            "rejected",
            f"training_overrides() asks for a horizon of {overrides['max_steps']} steps, but the "
            f"world's is {max_steps}: return no 'max_steps'",
        )
    return max_steps


def training_config(
    overrides: Mapping[str, Any], request: EvaluationRequest, max_steps: int
) -> dict[str, Any]:
    """Return the fields of `PPOConfig`: the evaluator's defaults, then the overrides."""
    num_envs = request.num_envs
    defaults = {
        "lr": request.lr,
        "batch_size": max(32, 4 * num_envs),
        "buffer_size": max(num_envs * max_steps, 256),
    }
    return {**defaults, **overrides, "max_steps": max_steps}
