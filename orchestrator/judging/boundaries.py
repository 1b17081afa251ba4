"""Boundaries of a group sequential test, which may look at its data several times. Pure.

Repeating an ordinary test until it rejects inflates the error rate. A group sequential test
(Jennison and Turnbull 2000) divides the error among planned looks: at look k it rejects when its z
statistic is above b[k], chosen so that the probability to reject at any look under the null
hypothesis is `alpha`.
"""

import functools
import math
import operator
from collections.abc import Sequence
from statistics import NormalDist

_NORMAL = NormalDist()
_SPENDING = -4.0
"""Hwang, Shih and DeCani's gamma: little error is spent early, as by O'Brien and Fleming."""
_REACH, _HALF = 6.0, 120
"""Grid of the integration: standard deviations of the last look to each side, and points."""
_WIDTH = _REACH / _HALF
_FARTHEST = 8.0
"""Standard deviations of a step beyond which its density is taken as 0."""
_GRID = tuple(_WIDTH * index for index in range(-_HALF, _HALF + 1))


@functools.lru_cache(maxsize=4096)
def boundaries(fractions: tuple[float, ...], alpha: float) -> tuple[float, ...]:
    """Return the z value above which each look rejects, one-sided.

    The z statistics of the looks are distributed like a Brownian motion with drift, observed at the
    information fractions (Jennison and Turnbull 2000, ch. 3 and 11). The error spent by each look
    is Hwang, Shih and DeCani's function (1990) of the actual fraction (Lan and DeMets 1983); the
    integrals are computed recursively (Armitage, McPherson and Rowe 1969).

    Args:
        fractions: share of the last look's information at each look, rising to 1.
        alpha: probability to reject at any look if there is no gain.
    """
    bounds: list[float] = []
    # Density of the process at a look where none has rejected so far, times the grid width.
    density = [1.0 if x == 0 else 0.0 for x in _GRID]
    before = spent = 0.0
    for fraction in fractions:
        step = fraction - before
        bound = _exit(density, step, _spent(fraction, alpha) - spent)
        density = _moved(density, step, bound)
        bounds.append(bound / math.sqrt(fraction))
        before, spent = fraction, _spent(fraction, alpha)
    return tuple(bounds)


def fractions(variances: Sequence[float]) -> tuple[float, ...]:
    """Return the information fractions of an estimate, from its variance at each look."""
    return tuple(variances[-1] / variance for variance in variances)


def _spent(fraction: float, alpha: float) -> float:
    """Return the error that may be spent up to an information fraction."""
    return alpha * math.expm1(_SPENDING * -fraction) / math.expm1(-_SPENDING)


def _exit(density: Sequence[float], step: float, probability: float) -> float:
    """Return the bound that the process exceeds at the next look with `probability`."""
    scale = 1 / math.sqrt(2 * step)
    weighted = [(x, weight) for x, weight in zip(_GRID, density, strict=True) if weight]
    low, high = 0.0, _REACH  # by bisection
    for _ in range(32):
        middle = (low + high) / 2
        above = sum(weight * 0.5 * math.erfc((middle - x) * scale) for x, weight in weighted)
        low, high = (middle, high) if above > probability else (low, middle)
    return (low + high) / 2


def _moved(density: Sequence[float], step: float, bound: float) -> list[float]:
    """Return the density after a normal step, truncated above the bound.

    A grid cell that the bound divides keeps the share below it, which makes the sum accurate to
    second order in the grid width.
    """
    height = _WIDTH / math.sqrt(2 * math.pi * step)
    reach = min(math.ceil(_FARTHEST * math.sqrt(step) / _WIDTH), len(_GRID))
    offsets = range(-reach, reach + 1)
    kernel = [height * math.exp(-((_WIDTH * i) ** 2) / (2 * step)) for i in offsets]
    # For steps that are small beside the grid the sum of the kernel exceeds 1.
    scale = 1 / max(sum(kernel), 1.0)
    kernel = [weight * scale for weight in kernel]
    moved = []
    for i, x in enumerate(_GRID):
        share = min(max((bound - x) / _WIDTH + 0.5, 0.0), 1.0)
        first = max(i - reach, 0)
        near = map(operator.mul, density[first : i + reach + 1], kernel[first - i + reach :])
        moved.append(share * sum(near) if share else 0.0)
    return moved
