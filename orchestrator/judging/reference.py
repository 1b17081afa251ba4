"""Seed lists, the standard deviation across seeds, and the correlation of returns on one seed.

The *reference* is the incumbent's returns on seeds that did not choose it. Pure functions.
"""

import math
import statistics
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from orchestrator.core.evaluations import FRESH_SEEDS
from orchestrator.judging.student_t import t_quantile

_CONFIDENCE = 0.95

LEAST_REFERENCE = 8
"""Reference returns below which their standard deviation is too uncertain for a verdict."""
SPREAD_SEEDS = 16
"""Reference returns from which the standard deviation is estimated, if there are so many."""
_SEEDS_EACH = 10_000
_GOLDEN_RATIO = (math.sqrt(5) - 1) / 2

_PRIOR_SEEDS, _PRIOR = 8, 0.5
"""Weight of the priors on the correlation, in seeds, and mean of the optimistic one."""
_STEPS = 20
"""Correlations are rounded to so many steps: for each, boundaries have to be integrated."""


# -- seeds -----------------------------------------------------------------------------------------


def default_seeds(count: int) -> tuple[int, ...]:
    """Return the evaluator's first `count` seeds, the same for every candidate."""
    return tuple(101 + 37 * index for index in range(count))


def reference_seeds(n: int, count: int) -> tuple[int, ...]:
    """Return the first reference seeds of the candidate that experiment `n` scored."""
    return tuple(FRESH_SEEDS + _SEEDS_EACH * n + index for index in range(count))


def confirm_seeds(n: int, scored_by: int, measured: int, count: int) -> tuple[int, ...]:
    """Return the seeds that may confirm experiment `n`: those of its incumbent's reference.

    Both candidates are then measured on the same seeds, so that the shared part of their returns
    cancels. Each challenger begins at another of these seeds, or the run would overfit the first
    few. Seeds on which the incumbent is not measured yet come last.

    Args:
        n: the challenger.
        scored_by: the experiment that scored the incumbent.
        measured: how many seeds its reference has.
        count: how many are wanted.
    """
    seeds = reference_seeds(scored_by, max(count, measured))
    reference, others = seeds[:measured], seeds[measured:]
    # Multiples of the golden ratio: neighbours begin far apart, and every start is as frequent.
    first = int(n * _GOLDEN_RATIO % 1 * measured)
    return (*reference[first:], *reference[:first], *others)[:count]


# -- the mean --------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Validated:
    """A mean over seeds that did not choose the candidate, with its confidence interval."""

    score: float
    low: float
    high: float
    seeds: int


def validate(returns: Sequence[float]) -> Validated | None:
    """Return a reference's mean and its 95 % interval by Student's t; None for less than two."""
    if len(returns) < 2:
        return None
    mean = statistics.fmean(returns)
    error = statistics.stdev(returns) / math.sqrt(len(returns))
    half = t_quantile((1 + _CONFIDENCE) / 2, len(returns) - 1) * error
    return Validated(mean, mean - half, mean + half, len(returns))


# -- the standard deviation ------------------------------------------------------------------------


@dataclass(frozen=True)
class Spread:
    """The standard deviation across seeds, as estimated."""

    sd: float = 0.0
    """Standard deviation of one seed's return; 0 without any data."""
    degrees_of_freedom: int = 0


def spread(references: Iterable[Sequence[float]]) -> Spread:
    """Estimate the standard deviation across seeds from the incumbent's reference.

    While that is short, earlier incumbents' references are pooled with it, if the pooled estimate
    is larger: a candidate that learnt nothing hardly varies, and too small an estimate would let
    noise pass the test. For the same reason discarded candidates are never used.

    Args:
        references: the incumbent's, then those of the incumbents before it, the latest first.
    """
    groups: list[Sequence[float]] = []
    for reference in references:
        if sum(map(len, groups)) >= SPREAD_SEEDS:
            break
        if len(reference) > 1:
            groups.append(reference)
    own, pooled = _pooled(groups[:1]), _pooled(groups)
    return pooled if pooled.sd > own.sd else own


def _pooled(groups: Sequence[Sequence[float]]) -> Spread:
    """Return the pooled standard deviation within groups, of which each has a mean of its own."""
    degrees_of_freedom = sum(len(group) - 1 for group in groups)
    if not degrees_of_freedom:
        return Spread()
    squares = sum(statistics.variance(group) * (len(group) - 1) for group in groups)
    return Spread(math.sqrt(squares / degrees_of_freedom), degrees_of_freedom)


# -- the correlation -------------------------------------------------------------------------------


@dataclass(frozen=True)
class SeedCorrelation:
    """The correlation of two candidates' returns on the same seed.

    A seed determines the starts and the randomness of its environments as well as the first
    weights. Where returns depend mostly on these, a difference on one seed tells more than the
    difference of two independent means.
    """

    observed: float = 0.0
    """Correlation of challengers' and their incumbents' returns, as measured."""
    seeds: int = 0
    """Effective number of seeds that the measured value rests on."""

    @property
    def optimistic(self) -> float:
        """Estimate shrunk towards one half, used by the screening."""
        weight = self._weight
        estimate = weight * self.observed + (1 - weight) * _PRIOR
        return min(round(estimate * _STEPS), _STEPS - 1) / _STEPS

    @property
    def conservative(self) -> float:
        """Estimate shrunk towards 0, used by the test."""
        return min(math.floor(self._weight * self.observed * _STEPS), _STEPS - 1) / _STEPS

    @property
    def _weight(self) -> float:
        """Weight of the measured value against the prior."""
        return self.seeds / (self.seeds + _PRIOR_SEEDS)


UNCORRELATED = SeedCorrelation()


def seed_correlation(pairs: Iterable[tuple[int, int, float, float]]) -> SeedCorrelation:
    """Measure the correlation of challengers' and incumbents' returns on the same seeds.

    Args:
        pairs: challenger, seed, its return there, and its incumbent's.
    """
    groups: dict[int, list[tuple[float, float]]] = {}
    seeds = set()
    for challenger, seed, own, incumbent in pairs:
        groups.setdefault(challenger, []).append((own, incumbent))
        seeds.add(seed)
    # Each group loses one pair to the estimation of its two means.
    effective = min(len(seeds), sum(len(group) - 1 for group in groups.values()))
    own_squares = squares = products = 0.0
    for group in groups.values():
        own_mean, mean = (statistics.fmean(side) for side in zip(*group, strict=True))
        for own, incumbent in group:
            own_squares += (own - own_mean) ** 2
            squares += (incumbent - mean) ** 2
            products += (own - own_mean) * (incumbent - mean)
    if not own_squares * squares:  # the product is 0 too where both are tiny
        return SeedCorrelation()
    # The slope of the regression of the challenger's on the incumbent's, but no more than the
    # correlation.
    observed = min(products / squares, products / math.sqrt(own_squares * squares))
    return SeedCorrelation(max(observed, 0.0), effective)
