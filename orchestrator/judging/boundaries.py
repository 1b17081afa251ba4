"""When a test may look at its data several times: boundaries of a group sequential test. Pure.

Looking again and again until something shows keeps too much. A group sequential test (Jennison and
Turnbull 2000) divides its error among planned looks: at look k it rejects when its z statistic is
above b[k], chosen so that the chance ever to reject, where there is nothing, is `alpha` in all.
"""

import functools
import math
import operator
from collections.abc import Sequence
from statistics import NormalDist

_NORMAL = NormalDist()
_SPENDING = -4.0
"""Hwang, Shih and DeCani's gamma: little is spent early, as in O'Brien and Fleming's test."""
_REACH, _HALF = 6.0, 120
"""The grid of the recursion: standard deviations of the last look each way, and points."""
_WIDTH = _REACH / _HALF
_FARTHEST = 8.0
"""Standard deviations of a step beyond which nothing moves."""
_GRID = tuple(_WIDTH * index for index in range(-_HALF, _HALF + 1))


@functools.lru_cache(maxsize=4096)
def boundaries(fractions: tuple[float, ...], alpha: float) -> tuple[float, ...]:
    """Return the z value above which each look rejects, one-sided.

    Whatever the gain, the z statistics of the looks behave like a Brownian motion with drift seen
    at the information fractions (Jennison and Turnbull 2000, ch. 3 and 11). How much of `alpha` is
    spent by each is Hwang, Shih and DeCani's function (1990), with the fractions as they turn out
    (Lan and DeMets 1983); the integrals are done step by step (Armitage, McPherson and Rowe 1969).

    Args:
        fractions: share of the last look's information at each look, rising to 1.
        alpha: chance to reject at any look where there is no gain.
    """
    found: list[float] = []
    # Where the sum process is at a look, if none has rejected so far: density times grid width.
    density = [1.0 if x == 0 else 0.0 for x in _GRID]
    before = spent = 0.0
    for fraction in fractions:
        step = fraction - before
        bound = _exit(density, step, _spent(fraction, alpha) - spent)
        density = _moved(density, step, bound)
        found.append(bound / math.sqrt(fraction))
        before, spent = fraction, _spent(fraction, alpha)
    return tuple(found)


def fractions(variances: Sequence[float]) -> tuple[float, ...]:
    """Return the information fractions of an estimate, from its variance at each look."""
    return tuple(variances[-1] / variance for variance in variances)


def _spent(fraction: float, alpha: float) -> float:
    return alpha * math.expm1(_SPENDING * -fraction) / math.expm1(-_SPENDING)


def _exit(density: Sequence[float], step: float, probability: float) -> float:
    """Return the bound above which the next look lies with `probability`, by bisection."""
    scale = 1 / math.sqrt(2 * step)
    known = [(x, weight) for x, weight in zip(_GRID, density, strict=True) if weight]
    low, high = 0.0, _REACH
    for _ in range(32):
        middle = (low + high) / 2
        above = sum(weight * 0.5 * math.erfc((middle - x) * scale) for x, weight in known)
        low, high = (middle, high) if above > probability else (low, middle)
    return (low + high) / 2


def _moved(density: Sequence[float], step: float, bound: float) -> list[float]:
    """Return the density a normal step later, cut off above the bound.

    A cell that the bound divides keeps the share below it, so that the sum is right to the second
    order of the width.
    """
    height = _WIDTH / math.sqrt(2 * math.pi * step)
    reach = min(math.ceil(_FARTHEST * math.sqrt(step) / _WIDTH), len(_GRID))
    offsets = range(-reach, reach + 1)
    kernel = [height * math.exp(-((_WIDTH * i) ** 2) / (2 * step)) for i in offsets]
    # Steps too small for the grid would make something out of nothing.
    scale = 1 / max(sum(kernel), 1.0)
    kernel = [weight * scale for weight in kernel]
    moved = []
    for i, x in enumerate(_GRID):
        share = min(max((bound - x) / _WIDTH + 0.5, 0.0), 1.0)
        first = max(i - reach, 0)
        near = map(operator.mul, density[first : i + reach + 1], kernel[first - i + reach :])
        moved.append(share * sum(near) if share else 0.0)
    return moved
