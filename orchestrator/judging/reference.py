"""What is known of an incumbent: its reference, how much seeds differ, and what luck they share.

The *reference* is the incumbent's returns on seeds that did not choose it. Pure functions.
"""

import math
import statistics
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from orchestrator.config.schema import JudgeConfig
from orchestrator.core.evaluations import FRESH_SEEDS
from orchestrator.judging.student_t import t_quantile

_CONFIDENCE = 0.95

LEAST_REFERENCE = 8
"""Reference returns below which their spread is too uncertain for a verdict."""
SPREAD_SEEDS = 16
"""Reference returns that are asked for their spread, if there are so many."""
_SEEDS_EACH = 10_000
_GOLDEN = (math.sqrt(5) - 1) / 2

_PRIOR_SEEDS, _PRIOR = 8, 0.5
"""What is thought of shared luck before it is known, and how many seeds outweigh that."""
_STEPS = 20
"""Shared luck is told in so many steps: boundaries are integrated for each anew."""


@dataclass(frozen=True)
class SeedCorrelation:
    """How far candidates do well or badly on the same seeds: their returns' correlation.

    A seed draws the starts and the weather of its environments as well as the first weights. Where
    that is most of its luck, what two candidates differ by on one seed says more than their means.
    """

    correlation: float = 0.0
    """Of a challenger's and its incumbent's returns on one seed, as was seen."""
    seeds: int = 0
    """How many the evidence for that is worth."""

    @property
    def optimistic(self) -> float:
        """Return what to expect, from a prior of one half: for the screen."""
        share = self.seeds / (self.seeds + _PRIOR_SEEDS)
        guess = share * self.correlation + (1 - share) * _PRIOR
        return min(round(guess * _STEPS), _STEPS - 1) / _STEPS

    @property
    def conservative(self) -> float:
        """Return what can be relied on, from a prior of none: for the test."""
        share = self.seeds / (self.seeds + _PRIOR_SEEDS)
        return min(math.floor(share * self.correlation * _STEPS), _STEPS - 1) / _STEPS


UNCORRELATED = SeedCorrelation()


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


@dataclass(frozen=True)
class Spread:
    """How much seeds differ."""

    sd: float = 0.0
    """Standard deviation of one seed's return; 0 where nothing is known of it."""
    degrees_of_freedom: int = 0
    """Degrees of degrees_of_freedom of that estimate."""


def spread(references: Iterable[Sequence[float]]) -> Spread:
    """Return how much seeds differ by the incumbent's reference.

    While that is short the incumbents before it are asked too, and believed where they say that
    seeds differ more: what learnt nothing hardly varies, and a spread too small would keep what is
    nothing. For the same reason those discarded are never asked.

    Args:
        references: the incumbent's, then those of the incumbents before it, the last one first.
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
    degrees_of_freedom = sum(len(group) - 1 for group in groups)
    squares = sum(statistics.variance(group) * (len(group) - 1) for group in groups)
    return (
        Spread(math.sqrt(squares / degrees_of_freedom), degrees_of_freedom)
        if degrees_of_freedom
        else Spread()
    )


def reference_wanted(rules: JudgeConfig, judged: int) -> int:
    """Return how many reference seeds the incumbent should have.

    They grow with the challengers it has met, and not with what came of those: to measure on while
    the numbers look bad would bias them. One that is soon replaced never costs all of them.

    Args:
        rules: the numbers of the config.
        judged: challengers judged against it so far.
    """
    return min(rules.reference, rules.reference_first + rules.reference_step * judged)


def default_seeds(count: int) -> tuple[int, ...]:
    """Return the evaluator's first `count` seeds, the same for every candidate."""
    return tuple(101 + 37 * index for index in range(count))


def reference_seeds(n: int, count: int) -> tuple[int, ...]:
    """Return the seeds of the reference of what experiment `n` scored; they never chose it."""
    return tuple(FRESH_SEEDS + _SEEDS_EACH * n + index for index in range(count))


def confirm_seeds(n: int, scored_by: int, measured: int, count: int) -> tuple[int, ...]:
    """Return the seeds that may confirm experiment `n`: those of its incumbent's reference.

    So both are known on the same seeds, and what they share of luck drops out. Each challenger
    begins elsewhere among them, lest a run fits itself to the first few; then follow seeds on which
    the incumbent is yet to be measured.

    Args:
        n: the challenger.
        scored_by: the experiment that scored the incumbent.
        measured: how many seeds its reference has.
        count: how many are wanted.
    """
    seeds = reference_seeds(scored_by, max(count, measured))
    known, others = seeds[:measured], seeds[measured:]
    # Multiples of the golden ratio: neighbours begin far apart, and all beginnings are as common.
    first = int(n * _GOLDEN % 1 * measured)
    return (*known[first:], *known[:first], *others)[:count]


def seed_correlation(pairs: Iterable[tuple[int, int, float, float]]) -> SeedCorrelation:
    """Return how far candidates share the luck of a seed.

    Args:
        pairs: challenger, seed, its return there, and its incumbent's.
    """
    groups: dict[int, list[tuple[float, float]]] = {}
    seeds = set()
    for challenger, seed, own, incumbent in pairs:
        groups.setdefault(challenger, []).append((own, incumbent))
        seeds.add(seed)
    # A group of two pairs tells as much as one seed: its means are known from nowhere else.
    worth = min(len(seeds), sum(len(group) - 1 for group in groups.values()))
    own_squares = squares = products = 0.0
    for group in groups.values():
        own_mean, mean = (statistics.fmean(side) for side in zip(*group, strict=True))
        for own, incumbent in group:
            own_squares += (own - own_mean) ** 2
            squares += (incumbent - mean) ** 2
            products += (own - own_mean) * (incumbent - mean)
    if not own_squares * squares:  # which is 0 too where both are tiny
        return SeedCorrelation()
    # The slope of the one on the other, as far as it is a correlation.
    correlation = min(products / squares, products / math.sqrt(own_squares * squares))
    return SeedCorrelation(max(correlation, 0.0), worth)
