"""The difference of two means from partially paired samples, by generalised least squares. Pure.

Challenger and incumbent are both measured on some seeds, where their returns are correlated, and
each alone on others. The least-squares estimate (Aitken 1936) uses all of these returns, weighted
by what each tells. Seen after more and more seeds it behaves like a Brownian motion in its
information (Jennison and Turnbull 2000, ch. 11), which the boundaries of the test rely on.
"""

import math
import statistics
from collections.abc import Sequence
from dataclasses import dataclass

from orchestrator.judging.reference import UNCORRELATED, SeedCorrelation


@dataclass(frozen=True)
class IncumbentReturns:
    """The incumbent at one rung, as a challenger is compared with it."""

    returns: tuple[float, ...]
    """Its mean return on each seed of its reference; none of these seeds chose it."""
    sd: float
    """Standard deviation of one seed's return."""
    paired: tuple[float | None, ...] = ()
    """Its returns on the challenger's seeds, in their order; None where it was not measured.

    Those on the default seeds may have chosen it; the others are of the reference."""
    correlation: SeedCorrelation = UNCORRELATED
    degrees_of_freedom: float = math.inf
    """Of the estimated standard deviation; infinite where that is exact."""

    def at(self, seed_index: int) -> float | None:
        """Return its return on the challenger's seed of this index; None if not measured there."""
        return self.paired[seed_index] if seed_index < len(self.paired) else None

    def at_fresh(self, count: int, seed_count: int) -> list[float | None]:
        """Return its returns on the challenger's first `count` seeds after the default ones."""
        return [self.at(seed_count + index) for index in range(count)]


@dataclass(frozen=True)
class PartiallyPairedSamples:
    """The sizes of both samples and the correlation of the pairs.

    Variances are in units of the variance of one seed's return, the same for both candidates.
    """

    pairs: int
    """Seeds on which both were measured."""
    challenger_only: int
    incumbent_only: int
    correlation: float
    """Of the two returns on one seed."""

    @property
    def _precision(self) -> tuple[float, float, float]:
        """Precision matrix of the two means as (a, b, c), for [[a, -b], [-b, c]]."""
        paired = self.pairs / (1 - self.correlation**2)
        return (
            paired + self.challenger_only,
            paired * self.correlation,
            paired + self.incumbent_only,
        )

    @property
    def variance(self) -> float:
        """Variance of the estimated difference."""
        a, b, c = self._precision
        return (a + c - 2 * b) / (a * c - b**2)

    def difference(
        self, pair_sums: tuple[float, float], challenger_sum: float, incumbent_sum: float
    ) -> float:
        """Return the estimated difference of the means, challenger minus incumbent.

        Args:
            pair_sums: sums of the challenger's and the incumbent's returns over the pairs.
            challenger_sum: sum of the challenger's returns on its other seeds.
            incumbent_sum: sum of the incumbent's returns on its other seeds.
        """
        a, b, c = self._precision
        scale, correlation = 1 / (1 - self.correlation**2), self.correlation
        challenger = scale * (pair_sums[0] - correlation * pair_sums[1]) + challenger_sum
        incumbent = scale * (pair_sums[1] - correlation * pair_sums[0]) + incumbent_sum
        return ((c - b) * challenger - (a - b) * incumbent) / (a * c - b**2)


def samples_after(
    count: int, incumbent: IncumbentReturns, seed_count: int
) -> PartiallyPairedSamples:
    """Return the samples once the challenger has run on `count` seeds after the default ones."""
    pairs = sum(value is not None for value in incumbent.at_fresh(count, seed_count))
    return PartiallyPairedSamples(
        pairs,
        count - pairs,
        len(incumbent.returns) - pairs,
        incumbent.correlation.conservative,
    )


def estimated_gain(incumbent: IncumbentReturns, fresh: Sequence[float], seed_count: int) -> float:
    """Return the challenger's estimated gain from its returns after the default seeds."""
    samples = samples_after(len(fresh), incumbent, seed_count)
    if not samples.correlation:
        return statistics.fmean(fresh) - statistics.fmean(incumbent.returns)
    others = incumbent.at_fresh(len(fresh), seed_count)
    pairs = [(x, y) for x, y in zip(fresh, others, strict=True) if y is not None]
    own, other = (sum(side) for side in zip(*pairs, strict=True)) if pairs else (0.0, 0.0)
    return samples.difference((own, other), sum(fresh) - own, sum(incumbent.returns) - other)


def excess_variance(incumbent: IncumbentReturns, fresh: Sequence[float], seed_count: int) -> float:
    """Return by how much the challenger's returns vary more than assumed; 0 if they do not.

    A challenger may be noisier than the incumbent, or less correlated with it than earlier ones
    were. Then the variance of its own returns counts.
    """
    correlation, variance = incumbent.correlation.conservative, incumbent.sd**2
    others = incumbent.at_fresh(len(fresh), seed_count)
    residuals = [x - correlation * y for x, y in zip(fresh, others, strict=True) if y is not None]
    excess = statistics.variance(fresh) - variance if len(fresh) > 1 else 0.0
    if len(residuals) > 1:
        excess = max(excess, statistics.variance(residuals) - (1 - correlation**2) * variance)
    return max(excess, 0.0)
