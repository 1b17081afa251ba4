"""Seed lists, and what is claimed of a candidate by seeds that did not choose it. Pure."""

import math
import statistics
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from orchestrator.core.evaluations import FRESH_SEEDS, Purpose, SeedResult
from orchestrator.judging.student_t import t_quantile

_CONFIDENCE = 0.95
_ROUNDING = 1e-9
"""Differences below this share of a return are rounding errors."""
_SATURATED = 4
"""Seeds that must all score the same before it is said that nothing may be left to gain."""
_SEEDS_EACH = 10_000
_AUDIT = 5_000
"""Of the fresh seeds of a time, those from here on decide nothing."""


def default_seeds(count: int) -> tuple[int, ...]:
    """Return the evaluator's first `count` seeds, the same for every candidate.

    The first ones are scored on; challengers are compared with the lead on some more of them.
    """
    return tuple(101 + 37 * index for index in range(count))


def reference_seeds(n: int, count: int) -> tuple[int, ...]:
    """Return the first fresh seeds of the time in which experiment `n` scores what is published.

    It and its leads are measured on the same ones, so that what they share cancels.
    """
    return tuple(FRESH_SEEDS + _SEEDS_EACH * n + index for index in range(count))


def audit_seeds(n: int, count: int) -> tuple[int, ...]:
    """Return the first seeds that only say what the candidate that `n` scored is worth."""
    return tuple(FRESH_SEEDS + _SEEDS_EACH * n + _AUDIT + index for index in range(count))


def seeds_of_time(n: int) -> range:
    """Return all fresh seeds of the time in which experiment `n` scores what is published."""
    return range(FRESH_SEEDS + _SEEDS_EACH * n, FRESH_SEEDS + _SEEDS_EACH * (n + 1))


def owner_of(seed: int) -> int:
    """Return the experiment of whose time a fresh seed is."""
    return (seed - FRESH_SEEDS) // _SEEDS_EACH


@dataclass(frozen=True)
class Validated:
    """A mean over seeds that did not choose the candidate, with its confidence interval."""

    score: float
    low: float
    high: float
    seeds: int


def of_time(n: int, results: Iterable[SeedResult]) -> list[SeedResult]:
    """Return the fresh results by which the candidate is reported that experiment `n` scored.

    They are of the time in which it was published: those of the time before have proven it. Where
    there are any that decided nothing, these alone count: what was not yet replaced owes that to
    the luck of the seeds that leads are compared on.
    """
    own = [result for result in results if owner_of(result.seed) == n]
    audits = [result for result in own if result.purpose is Purpose.AUDIT]
    return audits if len(audits) > 1 else [r for r in own if r.purpose is not Purpose.AUDIT]


def validated(n: int, results: Iterable[SeedResult]) -> Validated | None:
    """Return what is claimed of the candidate that `n` scored, None before it is measured.

    Args:
        n: the experiment.
        results: its reference results.
    """
    return validate([r.value for r in of_time(n, results) if r.value is not None])


def validate(returns: Sequence[float]) -> Validated | None:
    """Return a reference's mean and its 95 % interval by Student's t; None for less than two."""
    if len(returns) < 2:
        return None
    mean = statistics.fmean(returns)
    error = statistics.stdev(returns) / math.sqrt(len(returns))
    half = t_quantile((1 + _CONFIDENCE) / 2, len(returns) - 1) * error
    return Validated(mean, mean - half, mean + half, len(returns))


def is_saturated(seeds: Sequence[SeedResult]) -> bool:
    """Did every seed of a reference solve all its episodes, with the same return?

    Such a candidate may be as good as the task allows at this budget. It is no proof: other seeds
    may differ, and a reward may still be earned faster.
    """
    values = [seed.value for seed in seeds if seed.value is not None]
    if len(values) < max(_SATURATED, len(seeds)):
        return False
    are_equal = max(values) - min(values) <= _ROUNDING * max(1.0, abs(values[0]))
    return are_equal and all(seed.solve_rate == 1.0 for seed in seeds)
