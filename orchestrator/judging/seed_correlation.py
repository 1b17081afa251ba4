"""The correlation of two candidates' returns on one seed, as a run has shown it. Pure.

A seed determines the starts and the randomness of its environments as well as the first weights.
Where returns depend mostly on these, candidates do well and badly on the same seeds, and a
difference on one seed tells more than the difference of two independent means.
"""

import math
import statistics
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from orchestrator.core.evaluations import SeedResult
from orchestrator.judging.reference import owner_of

_PRIOR_SEEDS = 8
"""Weight of the prior that nothing is shared, in seeds."""
_MOST = 0.95
_PAIRED = 0.3
"""Correlation from which a trial looks at differences."""


@dataclass(frozen=True)
class SeedCorrelation:
    """The correlation, and how far it can be trusted."""

    observed: float = 0.0
    """As measured; never below 0."""
    seeds: int = 0
    """Effective number of seeds that the measured value rests on."""

    @property
    def estimate(self) -> float:
        """Estimate shrunk towards 0: an adjustment for what isn't shared costs the search more."""
        return min(self._weight * self.observed, _MOST)

    @property
    def is_shared(self) -> bool:
        """Do candidates clearly share the luck of a seed?"""
        return self.estimate >= _PAIRED

    @property
    def _weight(self) -> float:
        """Weight of the measured value against the prior."""
        return self.seeds / (self.seeds + _PRIOR_SEEDS)


UNKNOWN_CORRELATION = SeedCorrelation()


def pairs_of(
    references: Mapping[int, Sequence[SeedResult]], *, published_by: int
) -> list[tuple[int, int, float, float]]:
    """Return what leads returned on fresh seeds, and the published candidates of their time.

    Args:
        references: reference results by experiment.
        published_by: the experiment that scored the published candidate of now: pairs of its time
            are left out, for a trial must not choose its own test, nor change it half-way.

    Returns:
        Experiment, seed, its return there, and that of the candidate whose seed it is.
    """
    values = {n: {result.seed: result for result in seeds} for n, seeds in references.items()}
    found = []
    for n, results in values.items():
        for seed, result in results.items():
            owner = owner_of(seed)
            other = values.get(owner, {}).get(seed)
            is_same_ruler = result.compared is None or not result.compared.rewards
            if owner in (n, published_by) or other is None or not is_same_ruler:
                continue
            if result.value is not None and other.value is not None:
                found.append((n, seed, result.value, other.value))
    return found


def seed_correlation(pairs: Iterable[tuple[int, int, float, float]]) -> SeedCorrelation:
    """Measure the correlation of two candidates' returns on the same seeds.

    Args:
        pairs: as `pairs_of` returns them.
    """
    groups: dict[int, list[tuple[float, float]]] = {}
    seeds = set()
    for n, seed, own, other in pairs:
        groups.setdefault(n, []).append((own, other))
        seeds.add(seed)
    # Each group loses one pair to the estimation of its two means.
    effective = min(len(seeds), sum(len(group) - 1 for group in groups.values()))
    own_squares = squares = products = 0.0
    for group in groups.values():
        own_mean, mean = (statistics.fmean(side) for side in zip(*group, strict=True))
        for own, other in group:
            own_squares += (own - own_mean) ** 2
            squares += (other - mean) ** 2
            products += (own - own_mean) * (other - mean)
    if not own_squares * squares:  # the product is 0 too where both are tiny
        return UNKNOWN_CORRELATION
    observed = products / math.sqrt(own_squares * squares)
    return SeedCorrelation(max(observed, 0.0), effective)
