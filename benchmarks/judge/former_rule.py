"""The rule of version 0.1, for comparison alone: every single step is proven before it is taken.

The default seeds screen; then a group sequential test on fresh seeds compares the challenger with
the incumbent's reference, which has 12 seeds first and one more for each challenger, up to 48. The
correlation of returns on one seed is left out, for there is none in the simulated worlds.
"""

import math
import statistics
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from statistics import NormalDist

from orchestrator.judging.boundaries import boundaries, fractions
from orchestrator.judging.student_t import t_from_normal_quantile

_NORMAL = NormalDist()
ALPHA, SCREEN, FUTILITY, HOPELESS = 0.002, 0.3, 0.1, 0.02
FIRST_REFERENCE, MOST_REFERENCE = 12, 48
_SPREAD_SEEDS = 16
_SCREENED = 2
_LOOKS = (*range(4, 38, 4), 38)


@dataclass(frozen=True)
class Judged:
    """What became of a challenger."""

    is_kept: bool
    seeds: int
    is_hopeless: bool = False
    """Its first seed lay two standard deviations below what is needed."""


def spread(references: Sequence[Sequence[float]]) -> tuple[float, int]:
    """Return the standard deviation of a seed and its degrees of freedom.

    Args:
        references: the incumbent's, then those before it; these count while it is short, if more.
    """
    groups: list[Sequence[float]] = []
    for reference in references:
        if sum(map(len, groups)) >= _SPREAD_SEEDS:
            break
        groups.append(reference)
    return max(_pooled(groups[:1]), _pooled(groups))


def _pooled(groups: Sequence[Sequence[float]]) -> tuple[float, int]:
    freedom = sum(len(group) - 1 for group in groups)
    squares = math.fsum((x - statistics.fmean(g)) ** 2 for g in groups for x in g)
    return math.sqrt(squares / freedom), freedom


def judge(draw: Callable[[], float], reference: Sequence[float], sd: float, freedom: int) -> Judged:
    """Measure a challenger seed by seed until the rule has decided.

    Args:
        draw: returns the challenger's return on its next seed.
        reference: the incumbent's returns.
        sd: of one seed, as estimated.
        freedom: degrees of freedom of that.
    """
    mean, error = statistics.fmean(reference), sd / math.sqrt(len(reference))
    needed = _NORMAL.inv_cdf(1 - SCREEN) * math.hypot(sd / math.sqrt(_SCREENED), error)
    first = draw() - mean
    if _NORMAL.cdf((first - needed) / (sd / math.sqrt(2))) < HOPELESS:
        return Judged(is_kept=False, seeds=1, is_hopeless=first < -2 * math.hypot(sd, error))
    if (first + draw() - mean) / 2 <= needed:
        return Judged(is_kept=False, seeds=_SCREENED)
    information = fractions([1 / look + 1 / len(reference) for look in _LOOKS])
    normal = boundaries(information, ALPHA)
    bounds = [
        t_from_normal_quantile(bound, freedom + look - 1)
        for bound, look in zip(normal, _LOOKS, strict=True)
    ]
    fresh: list[float] = []
    for look, bound, z_bound, share in zip(_LOOKS, bounds, normal, information, strict=True):
        fresh += [draw() for _ in range(look - len(fresh))]
        statistic, widened = _statistic(fresh, reference, sd, freedom, z_bound)
        if statistic > max(bound, widened):
            return Judged(is_kept=True, seeds=_SCREENED + look)
        if share < 1 and _power(statistic, share, bounds[-1]) < FUTILITY:
            break
    return Judged(is_kept=False, seeds=_SCREENED + len(fresh))


def _statistic(
    fresh: Sequence[float], reference: Sequence[float], sd: float, freedom: int, bound: float
) -> tuple[float, float]:
    """Return the gain in standard errors, and the boundary where the challenger varies more."""
    count = len(fresh)
    mean = statistics.fmean(fresh)
    variance = math.fsum((value - mean) ** 2 for value in fresh) / (count - 1)
    assumed = sd**2 * (1 / count + 1 / len(reference))
    excess = max(variance - sd**2, 0.0) / count
    share = excess / (assumed + excess)
    own = 1 / ((1 - share) ** 2 / (freedom + count - 1) + share**2 / (count - 1))
    widened = t_from_normal_quantile(bound, max(own, 1.0)) if excess else 0.0
    return (mean - statistics.fmean(reference)) / math.sqrt(assumed + excess), widened


def _power(statistic: float, share: float, last_bound: float) -> float:
    """Return the probability that the last look rejects (Spiegelhalter et al. 1994)."""
    drift = statistic / math.sqrt(share) - last_bound
    return _NORMAL.cdf(drift / math.sqrt(1 / share - 1))
