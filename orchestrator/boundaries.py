"""When a test may look at its data several times: boundaries of a group sequential test. Pure.

Looking again and again until something shows keeps too much. A group sequential test (Jennison and
Turnbull 2000) divides its error among planned looks: at look k it rejects when its z statistic is
above b[k], chosen so that the chance ever to reject, where there is nothing, is `alpha` in all.
"""

import functools
import math
from collections.abc import Sequence
from statistics import NormalDist

import numpy as np

_NORMAL = NormalDist()
_SPENDING = -4.0
"""Hwang, Shih and DeCani's gamma: little is spent early, as in O'Brien and Fleming's test."""
_REACH, _POINTS = 8.0, 641
"""The grid of the recursion: this many standard deviations of the last look each way."""


@functools.lru_cache(maxsize=256)
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
    spent = [_spent(fraction, alpha) for fraction in fractions]
    grid = np.linspace(-_REACH, _REACH, _POINTS)
    # `density` is that of the sum process at the last look, where no look has rejected so far.
    found, density, before = [], np.zeros(0), 0.0
    for k, fraction in enumerate(fractions):
        if k == 0:
            bound = _NORMAL.inv_cdf(1 - spent[0]) * math.sqrt(fraction)
            density = _normal_density(grid, fraction)
        else:
            step = fraction - before
            bound = _exit(grid, density, step, spent[k] - spent[k - 1])
            kernel = _normal_density(grid[:, None] - grid[None, :], step)
            density = kernel @ (density * _weights(grid))
        found.append(bound / math.sqrt(fraction))
        density, before = np.where(grid > bound, 0.0, density), fraction
    return tuple(found)


def fractions(looks: Sequence[int], reference: int) -> tuple[float, ...]:
    """Return the information fractions of a comparison of two means.

    Args:
        looks: samples of the one side at each look.
        reference: samples of the other side, the same at every look.
    """
    last = 1 / looks[-1] + 1 / reference
    return tuple(last / (1 / n + 1 / reference) for n in looks)


def _spent(fraction: float, alpha: float) -> float:
    return alpha * math.expm1(_SPENDING * -fraction) / math.expm1(-_SPENDING)


def _exit(grid: np.ndarray, density: np.ndarray, step: float, probability: float) -> float:
    """Return the bound above which the next look lies with `probability`, by bisection."""
    weight = density * _weights(grid)
    low, high = 0.0, _REACH
    for _ in range(40):
        middle = (low + high) / 2
        above = _survival((middle - grid) / math.sqrt(step))
        low, high = (middle, high) if float(above @ weight) > probability else (low, middle)
    return (low + high) / 2


def _weights(grid: np.ndarray) -> np.ndarray:
    """Return the weights of Simpson's rule."""
    weights = np.full(len(grid), 2.0)
    weights[1::2] = 4.0
    weights[[0, -1]] = 1.0
    weights *= (grid[1] - grid[0]) / 3
    return weights


def _normal_density(x: np.ndarray, variance: float) -> np.ndarray:
    density: np.ndarray = np.exp(-(x**2) / (2 * variance)) / math.sqrt(2 * math.pi * variance)
    return density


def _survival(x: np.ndarray) -> np.ndarray:
    return np.array([0.5 * math.erfc(value / math.sqrt(2)) for value in x])
