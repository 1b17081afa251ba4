"""The guardrail: what solves significantly less than the lead neither leads nor is kept. Pure.

Returns may rise while less is solved: a bonus for every step pays for not finishing. Success means
the same under every reward, so a one-sided Welch test (1947) on the solve rates of seeds is applied
to whatever else would lead or be kept.
"""

import math
import statistics
from collections.abc import Sequence
from dataclasses import replace
from statistics import NormalDist

from orchestrator.core.evaluations import SeedResult, Verdict
from orchestrator.core.records import Status
from orchestrator.judging.student_t import t_quantile

LEVEL = 0.05
"""Probability to call a fall what is none."""
SMALLEST_FALL = 0.02
"""A smaller one is no fall, however significant: many seeds make a difference of nothing clear."""
_LEAST = 2
"""Seeds of each side below which nothing is concluded."""


def fall(incumbent: Sequence[float], challenger: Sequence[float], episodes: int) -> str | None:
    """Return the fall of the solve rate in words if it is significant and no trifle, else None.

    Where a side's seeds all solve the same share, its variance is that of so many episodes of a
    common probability of success: equal rates on two seeds do not prove that there is no noise.

    Args:
        incumbent: its solve rate on each seed.
        challenger: likewise.
        episodes: evaluation episodes a seed.
    """
    if len(incumbent) < _LEAST or len(challenger) < _LEAST:
        return None
    before, after = statistics.fmean(incumbent), statistics.fmean(challenger)
    if before - after < SMALLEST_FALL:
        return None
    count = len(incumbent) + len(challenger)
    pooled = (before * len(incumbent) + after * len(challenger)) / count
    binomial = pooled * (1 - pooled) / episodes
    total = uncertainty = 0.0
    for side in (incumbent, challenger):
        variance = statistics.variance(side)
        total += (variance or binomial) / len(side)
        uncertainty += (variance / len(side)) ** 2 / (len(side) - 1)
    if (before - after) / math.sqrt(total) <= _needed(total, uncertainty):
        return None
    return f"solve rate fell from {before:.0%} to {after:.0%}"


def _needed(total: float, uncertainty: float) -> float:
    """Return the t value to exceed, with Welch and Satterthwaite's degrees of freedom."""
    if not uncertainty:
        return NormalDist().inv_cdf(1 - LEVEL)
    return t_quantile(1 - LEVEL, max(1, math.floor(total**2 / uncertainty)))


def guarded(
    verdict: Verdict, solved: Sequence[float], results: Sequence[SeedResult], episodes: int
) -> Verdict:
    """Return the verdict, as a discard where a keep would solve significantly less.

    Args:
        verdict: of the test on returns.
        solved: the incumbent's solve rates.
        results: the challenger's.
        episodes: evaluation episodes a seed.
    """
    rates = [result.solve_rate for result in results if result.solve_rate is not None]
    if verdict.status not in {Status.KEEP, Status.LEAD} or not (
        fell := fall(solved, rates, episodes)
    ):
        return verdict
    reason = f"discarded: {fell}, in spite of {verdict.gain_text}"
    return replace(verdict, status=Status.DISCARD, reason=reason)
