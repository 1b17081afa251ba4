import math
from dataclasses import dataclass, fields
from typing import Any, Self

# The open or closed interval each number must lie in: (least, least allowed, most).
_POSITIVE = (0.0, False, math.inf)
_NOT_NEGATIVE = (0.0, True, math.inf)
_FRACTION = (0.0, True, 1.0)
_COUNT = (1, True, math.inf)
_RANGES: dict[str, tuple[float, bool, float]] = {
    "lr": _POSITIVE,
    "training_epochs": _COUNT,
    "batch_size": _COUNT,
    "buffer_size": _COUNT,
    "clip_epsilon": _POSITIVE,
    "gamma": _FRACTION,
    "gae_lambda": _FRACTION,
    "entropy_coef": _NOT_NEGATIVE,
    "value_coef": _NOT_NEGATIVE,
    "max_grad_norm": _NOT_NEGATIVE,
    "max_steps": _COUNT,
    "value_clip": _POSITIVE,
    "target_kl": _POSITIVE,
}


@dataclass(frozen=True, kw_only=True)
class PPOConfig:
    """Hyperparameters of PPO (Schulman et al. 2017), named as in the public simverse.

    Raises `ValueError` naming every field with a wrong type or value.
    """

    lr: float = 3e-4
    """Adam's step size."""
    training_epochs: int = 2
    """Passes over each update's transitions."""
    batch_size: int
    """Transitions in a minibatch, at most; an update's are dealt out evenly."""
    buffer_size: int
    """Transitions per update, over all sub-environments; a longer rollout is cut into segments."""
    clip_epsilon: float = 0.2
    """How far from 1 the probability ratio may move the objective (eq. 7)."""
    gamma: float = 0.99
    """Discount per step."""
    gae_lambda: float = 0.95
    """Bias-variance trade-off of the advantage estimate (Schulman et al. 2016, eq. 16)."""
    entropy_coef: float = 0.01
    """Weight of the entropy bonus, in nats (eq. 9)."""
    value_coef: float = 0.5
    """Weight of the value loss (eq. 9), which is half the mean squared error."""
    max_grad_norm: float = 0.5
    """Longest gradient (Euclidean norm over all parameters); a longer one is scaled down to it.
    0 for no limit, as in the public library."""
    normalize_advantages: bool = True
    """Whether an update's advantages are shifted and scaled to mean 0 and deviation 1."""
    torch_fastpath: bool = True
    """Whether the loss's gradient is written out in closed form instead of left to autograd, which
    gives the same numbers to rounding and takes less time. Autograd still differentiates the
    policy itself, and the loss where the actions are not `Discrete`."""
    max_steps: int
    """Horizon of a rollout, in steps of each sub-environment."""
    anneal_lr: bool = False
    """Whether the step size falls linearly to 0 over the training's updates (Huang et al. 2022,
    detail 4), the first of which has it whole."""
    value_clip: float | None = None
    """How far a value may move from what it was when acting before the value loss stops asking for
    more (Huang et al. 2022, detail 9, in the units of returns); None for no limit."""
    target_kl: float | None = None
    """No further epoch of an update follows one whose mean KL(old || new), in nats, is above this
    (Dossa et al. 2021, "An empirical investigation of early stopping optimizations in proximal
    policy optimization"); None for no such stop."""

    def __post_init__(self) -> None:
        problems = [
            problem
            for field in fields(self)
            if (problem := _problem(field.name, field.type, getattr(self, field.name)))
        ]
        if problems:
            raise ValueError("; ".join(problems))

    @classmethod
    def for_task(cls, *, num_envs: int, max_steps: int, **overrides: Any) -> Self:
        """Return the defaults for a task of this size, with `overrides` on top."""
        sizes = {
            "batch_size": max(32, 4 * num_envs),
            "buffer_size": max(num_envs * max_steps, 256),
        }
        return cls(max_steps=max_steps, **(sizes | overrides))


def _problem(name: str, kind: Any, value: object) -> str | None:
    """Return what is wrong with a field's value, if anything."""
    if kind == float | None and value is None:
        return None
    if kind is bool:
        return None if isinstance(value, bool) else f"{name} must be true or false, got {value!r}"
    wanted = int if kind is int else (int, float)
    if isinstance(value, bool) or not isinstance(value, wanted):
        return f"{name} must be {'an integer' if kind is int else 'a number'}, got {value!r}"
    least, least_allowed, most = _RANGES[name]
    number = float(value)
    fits = math.isfinite(number) and (number >= least if least_allowed else number > least)
    if fits and number <= most:
        return None
    bound = f"{'at least' if least_allowed else 'above'} {least:g}"
    upper = "" if most == math.inf else f" and at most {most:g}"
    return f"{name} must be finite, {bound}{upper}, got {value!r}"
