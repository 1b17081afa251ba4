"""The gain of one candidate over another, with its standard error. Pure.

Each side's own spread counts (Welch 1947). Few seeds tell little of a spread, so each side's is
shrunk towards the run's, which is that of all candidates it has measured repeatedly; with a single
seed it is the run's.
"""

import math
import statistics
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from statistics import NormalDist

PRIOR_WEIGHT = 4.0
"""Degrees of freedom with which the run's spread counts beside a candidate's own."""
SPREAD_SEEDS = 32
"""Seeds from which the run's spread is estimated, if there are so many: the latest candidates'."""
_ROUNDING = 1e-9
"""Differences below this share of a return are rounding errors."""
_NORMAL = NormalDist()


@dataclass(frozen=True)
class Spread:
    """The standard deviation across seeds within candidates, as the run has shown it."""

    sd: float = 0.0
    """Standard deviation of one seed's return; 0 without any data."""
    degrees_of_freedom: float = 0.0


NO_SPREAD = Spread()
"""Nothing is known of it yet."""


def pooled_spread(groups: Iterable[Sequence[float]]) -> Spread:
    """Return the pooled standard deviation within candidates, of which each has its own mean.

    Args:
        groups: each candidate's returns, the latest first; no more are used than are needed.
    """
    squares = freedom = 0.0
    for group in groups:
        if freedom >= SPREAD_SEEDS:
            break
        if len(group) > 1:
            squares += _squares(group)
            freedom += len(group) - 1
    return Spread(math.sqrt(squares / freedom), freedom) if freedom else NO_SPREAD


@dataclass(frozen=True)
class Gain:
    """How much more one candidate earns than another, as estimated."""

    value: float
    standard_error: float
    degrees_of_freedom: float
    """Of the standard error (Welch and Satterthwaite); infinite where that is exact."""

    @property
    def z(self) -> float:
        """The gain in standard errors; infinite where there is no noise at all."""
        if not self.standard_error:
            return math.copysign(math.inf, self.value) if self.value else 0.0
        return self.value / self.standard_error

    def shrunk(self, prior_sd: float) -> "Gain":
        """Return the posterior gain under a normal prior of mean 0: what looks best is lucky too.

        The prior is as wide as the gain itself makes most likely (empirical Bayes), or it would
        halve a large gain that is known well; but no narrower than this:

        Args:
            prior_sd: least standard deviation of what changes bring; one seed's is a fair guess.
        """
        if not self.standard_error:
            return self
        prior_sd = max(prior_sd, math.sqrt(max(0.0, self.value**2 - self.standard_error**2)))
        if not prior_sd:
            return self
        weight = prior_sd**2 / (prior_sd**2 + self.standard_error**2)
        error = math.sqrt(weight) * self.standard_error
        return Gain(weight * self.value, error, self.degrees_of_freedom)

    @property
    def probability(self) -> float:
        """Probability that the gain is positive, as if its standard error were known."""
        return _NORMAL.cdf(self.z)

    def __str__(self) -> str:
        return f"{self.value:+.4f} ± {self.standard_error:.4f}"


def variance_of_mean(returns: Sequence[float], spread: Spread) -> tuple[float, float]:
    """Return the variance of a mean return and its degrees of freedom."""
    own = len(returns) - 1
    prior = min(PRIOR_WEIGHT, spread.degrees_of_freedom)
    if not own + prior:
        return 0.0, 0.0
    squares = prior * spread.sd**2
    if own:
        squares += _squares(returns)
    return squares / (own + prior) / len(returns), own + prior


def paired_gain(
    challenger: Mapping[int, float],
    other: Mapping[int, float],
    spread: Spread,
    correlation: float,
) -> Gain:
    """Return the gain of one candidate over another that was measured on some of the same seeds.

    On these, the other's returns tell how easy the seeds are, as far as returns are correlated: it
    is expected to have earned `mean + correlation * (return - mean)` there. Without correlation, or
    without common seeds, this is `gain`.

    Args:
        challenger: its return by seed.
        other: likewise.
        spread: that of the run.
        correlation: of two candidates' returns on one seed, from 0 to below 1.
    """
    common = [other[seed] for seed in challenger if seed in other]
    plain = gain(tuple(challenger.values()), tuple(other.values()), spread)
    if not common or not correlation:
        return plain
    own, count, pairs = len(challenger), len(other), len(common)
    weight = correlation * pairs / own
    mean = statistics.fmean(other.values())
    shift = weight * (statistics.fmean(common) - mean)
    own_sd, other_sd = (
        math.sqrt(variance_of_mean(tuple(side.values()), spread)[0] * len(side))
        for side in (challenger, other)
    )
    variance = own_sd**2 / own + other_sd**2 * ((1 - weight**2) / count + weight**2 / pairs)
    shared = (1 - weight) * pairs / (own * count) + weight / own
    variance -= 2 * correlation * own_sd * other_sd * shared
    value = _rounded(plain.value - shift, mean)
    return Gain(value, math.sqrt(max(variance, 0.0)), plain.degrees_of_freedom)


def gain_by_pairs(challenger: Sequence[float], other: Sequence[float]) -> Gain:
    """Return the mean difference on common seeds, by its own spread (Student's paired test)."""
    differences = [x - y for x, y in zip(challenger, other, strict=True)]
    value = _rounded(statistics.fmean(differences), statistics.fmean(other))
    count = len(differences)
    error = statistics.stdev(differences) / math.sqrt(count) if count > 1 else 0.0
    return Gain(value, error, count - 1)


def _rounded(value: float, size: float) -> float:
    return 0.0 if abs(value) <= _ROUNDING * max(1.0, abs(size)) else value


def _squares(values: Sequence[float]) -> float:
    """Return the sum of squared deviations from the mean, exactly 0 where all values are equal.

    `statistics.variance` computes with fractions, which takes twenty times as long.
    """
    if min(values) == max(values):
        return 0.0
    mean = statistics.fmean(values)
    return math.fsum([(value - mean) ** 2 for value in values])


def gain(challenger: Sequence[float], other: Sequence[float], spread: Spread) -> Gain:
    """Return the gain of one candidate's mean return over another's.

    Args:
        challenger: its return on each seed.
        other: likewise, on seeds of its own.
        spread: that of the run.
    """
    mean = statistics.fmean(other)
    value = _rounded(statistics.fmean(challenger) - mean, mean)
    sides = [variance_of_mean(side, spread) for side in (challenger, other)]
    total = sum(variance for variance, _ in sides)
    # By shares: fourth powers of a return may be no number any more.
    uncertainty = sum((v / total) ** 2 / freedom for v, freedom in sides if freedom and total)
    freedom = 1 / uncertainty if uncertainty else math.inf
    return Gain(value, math.sqrt(total), freedom)
