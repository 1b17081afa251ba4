"""Quantiles of Student's t distribution."""

import math
from statistics import NormalDist

_NORMAL = NormalDist()


def t_quantile(probability: float, degrees_of_freedom: float) -> float:
    """Return a quantile of Student's t, to about a percent."""
    return t_from_normal_quantile(_NORMAL.inv_cdf(probability), degrees_of_freedom)


def t_from_normal_quantile(z: float, degrees_of_freedom: float) -> float:
    """Return the quantile of Student's t at the probability whose normal quantile is `z`.

    Exact for 1 and 2 degrees of freedom, else the expansion of Abramowitz and Stegun (1964),
    26.7.5.
    """
    if degrees_of_freedom == 1:
        return math.tan(math.pi * (_NORMAL.cdf(z) - 0.5))
    if degrees_of_freedom == 2:
        probability = _NORMAL.cdf(z)
        return (2 * probability - 1) / math.sqrt(2 * probability * (1 - probability))
    first = (z**3 + z) / 4
    second = (5 * z**5 + 16 * z**3 + 3 * z) / 96
    third = (3 * z**7 + 19 * z**5 + 17 * z**3 - 15 * z) / 384
    return (
        z
        + first / degrees_of_freedom
        + second / degrees_of_freedom**2
        + third / degrees_of_freedom**3
    )
