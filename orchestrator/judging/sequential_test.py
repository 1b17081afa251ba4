"""Is the challenger better than the incumbent? The sequential test, as functions of returns. Pure.

The challenger is evaluated on one seed after the other, in an order fixed beforehand:

1. *Screening*: the evaluator's default seeds, the same for every candidate. A challenger that does
   not look better is discarded. Nothing is kept here, so an error costs no false keep.
2. *Confirmation*: seeds that did not choose the incumbent and are new to the challenger, in groups.
   A group sequential test looks at them after each group; only this test can keep a challenger.

The verdict depends on the returns and their order alone, never on how many seeds were trained side
by side. docs/judgement.md explains the test; `python -m benchmarks.judge` measures its error rates.
"""

import math
import statistics
from collections.abc import Sequence
from dataclasses import dataclass
from statistics import NormalDist

from orchestrator.core.evaluations import Verdict
from orchestrator.core.records import Status
from orchestrator.core.text import counted
from orchestrator.judging.boundaries import boundaries, fractions
from orchestrator.judging.information import (
    IncumbentReturns,
    estimated_gain,
    excess_variance,
    samples_after,
)
from orchestrator.judging.rules import JudgingRules
from orchestrator.judging.student_t import t_from_normal_quantile

_NORMAL = NormalDist()
_ROUNDING = 1e-9
"""Differences below this share of a score are rounding errors."""


def judge(
    incumbent: IncumbentReturns, returns: Sequence[float], rules: JudgingRules
) -> Verdict | None:
    """Return the verdict on the returns so far; None while more are needed.

    Call it with one more return each time, in the order of the seeds.

    Args:
        incumbent: what the challenger is compared with.
        returns: the challenger's returns: on the default seeds first, then on fresh ones.
        rules: the rules of the run.
    """
    fresh = returns[rules.seed_count :]
    if not fresh:
        return _screen(incumbent, returns, rules)
    if len(fresh) not in rules.looks():
        return None
    return _confirm(incumbent, fresh, rules)


# -- screening -------------------------------------------------------------------------------------


def screen_score(
    incumbent: IncumbentReturns, rules: JudgingRules, *, first: int | None = None
) -> float:
    """Return the mean over the default seeds above which a challenger passes the screening.

    Args:
        incumbent: what the challenger is compared with.
        rules: the rules of the run.
        first: allow for the difficulty of only the first so many of them; None for all.
    """
    expected = statistics.fmean(_expected_returns(incumbent, first or rules.seed_count))
    return expected + _margin(rules, _screen_error(incumbent, rules.seed_count))


def remaining_sd(incumbent: IncumbentReturns, count: int, seed_count: int) -> float:
    """Return the standard deviation of the mean over the default seeds, given the first `count`.

    It is 0 once all are known.
    """
    left = seed_count - count
    if not left:
        return 0.0
    return left / seed_count * _residual_sd(incumbent) * math.sqrt(1 / count + 1 / left)


def _screen(
    incumbent: IncumbentReturns, returns: Sequence[float], rules: JudgingRules
) -> Verdict | None:
    """Discard a challenger that the default seeds show to be unpromising."""
    count = len(returns)
    expected = statistics.fmean(_expected_returns(incumbent, count))
    error = _screen_error(incumbent, rules.seed_count)
    needed = _margin(rules, error)
    gain = statistics.fmean(returns) - expected
    if count < rules.seed_count:
        if not _is_hopeless(gain - needed, remaining_sd(incumbent, count, rules.seed_count), rules):
            return None
        why = f"{gain:+.4f} on {counted(count, 'seed')}, too far below to pass the screen"
    elif gain > needed + _rounding(expected):
        return None
    else:
        seeds = counted(count, "seed")
        why = f"{gain:+.4f} over {seeds} of the screen, needs more than {needed:+.4f}"
    return Verdict(
        Status.DISCARD, f"discarded: {why}", stage="screen", gain=gain, evaluations=count,
        standard_error=error, statistic=_ratio(gain, error), boundary=_ratio(needed, error),
    )  # fmt: skip


def _is_hopeless(surplus: float, sd: float, rules: JudgingRules) -> bool:
    """Is the chance to pass below `judge.early_stop`? `surplus` is the gain beyond the needed one.

    The mean over all default seeds is predicted from the first of them, with this `sd`.
    """
    early_stop = rules.numbers.early_stop
    return bool(sd) and early_stop is not None and _NORMAL.cdf(surplus / sd) < early_stop


def _margin(rules: JudgingRules, error: float) -> float:
    """Return the gain over the default seeds that has the p-value `judge.screen`."""
    return _NORMAL.inv_cdf(1 - rules.numbers.screen) * error


def _expected_returns(incumbent: IncumbentReturns, count: int) -> list[float]:
    """Return what a candidate as good as the incumbent should earn on the first default seeds.

    The incumbent's own returns show how easy these seeds are, as far as returns are correlated.
    That these seeds may have chosen the incumbent does little harm: screening keeps nothing.
    """
    mean, correlation = statistics.fmean(incumbent.returns), incumbent.correlation.optimistic
    measured = [incumbent.at(index) for index in range(count)]
    return [mean if value is None else mean + correlation * (value - mean) for value in measured]


def _screen_correlation(incumbent: IncumbentReturns) -> float:
    """Return the correlation on the default seeds; 0 if the incumbent was not measured there."""
    return incumbent.correlation.optimistic if incumbent.at(0) is not None else 0.0


def _residual_sd(incumbent: IncumbentReturns) -> float:
    """Return the standard deviation of one default seed's return around the expected return."""
    return incumbent.sd * math.sqrt(1 - _screen_correlation(incumbent) ** 2)


def _screen_error(incumbent: IncumbentReturns, seed_count: int) -> float:
    """Return the standard error of a challenger's gain over the default seeds."""
    correlation = _screen_correlation(incumbent)
    reference = (1 - correlation) * incumbent.sd / math.sqrt(len(incumbent.returns))
    return math.hypot(_residual_sd(incumbent) / math.sqrt(seed_count), reference)


# -- confirmation ----------------------------------------------------------------------------------


@dataclass(frozen=True)
class _Look:
    """The statistics of the test at one look."""

    seeds: int
    """Fresh seeds so far."""
    gain: float
    standard_error: float
    boundary: float
    """What the statistic has to exceed at this look."""
    last_boundary: float
    """And at the last one, as far as it can be told now."""
    information_fraction: float

    @property
    def statistic(self) -> float:
        """The gain in standard errors."""
        return _ratio(self.gain, self.standard_error)

    @property
    def gain_text(self) -> str:
        """The gain with its standard error, for a person to read."""
        return f"{self.gain:+.4f} ± {self.standard_error:.4f} over {self.seeds} fresh seeds"


def _confirm(
    incumbent: IncumbentReturns, fresh: Sequence[float], rules: JudgingRules
) -> Verdict | None:
    """Return the verdict of one look at the fresh seeds' returns; None to continue."""
    look = _look(incumbent, fresh, rules)
    is_last = look.seeds == rules.looks()[-1]
    is_significant = look.statistic > look.boundary
    line = look.gain_text

    def verdict(status: Status, reason: str, *, inconclusive: bool = False) -> Verdict:
        return Verdict(
            status, reason, inconclusive, "confirm", look.gain, look.standard_error,
            look.statistic, look.boundary, rules.seed_count + look.seeds, gain_text=line,
        )  # fmt: skip

    if not look.standard_error and look.gain > 0 and not is_last:
        return None  # equal returns on a few seeds do not prove that there is no noise
    effect = rules.numbers.smallest_effect(incumbent.sd)
    if is_significant and look.gain >= effect:
        return verdict(Status.KEEP, f"kept: {line}")
    if is_last and is_significant:
        return verdict(
            Status.DISCARD, f"discarded: {line}, less than judge.min_effect ({effect:.4g})"
        )
    if is_last:
        return verdict(
            Status.DISCARD, f"inconclusive, so discarded: {line}, and no more evidence allowed "
            "(judge.max_evaluations)", inconclusive=True,
        )  # fmt: skip
    if _predictive_power(look) < rules.numbers.futility:
        return verdict(Status.DISCARD, f"discarded: {line}, too little to be confirmed")
    return None


def _look(incumbent: IncumbentReturns, fresh: Sequence[float], rules: JudgingRules) -> _Look:
    """Return the estimated gain, its standard error and the boundaries at one look."""
    looks, seed_count, count = rules.looks(), rules.seed_count, len(fresh)
    variances = [samples_after(seeds, incumbent, seed_count).variance for seeds in looks]
    information = fractions(variances)
    normal = boundaries(information, rules.numbers.alpha)
    bounds = _student_boundaries(normal, looks, incumbent.degrees_of_freedom)
    index = looks.index(count)
    gain = estimated_gain(incumbent, fresh, seed_count)
    if abs(gain) <= _rounding(statistics.fmean(incumbent.returns)):
        gain = 0.0
    assumed = variances[index] * incumbent.sd**2
    excess = excess_variance(incumbent, fresh, seed_count) / count
    bound = bounds[index]
    if excess:  # this part is estimated from the challenger's own few seeds alone (Welch 1947)
        share = excess / (assumed + excess)
        degrees_of_freedom = 1 / (
            (1 - share) ** 2 / (incumbent.degrees_of_freedom + count - 1) + share**2 / (count - 1)
        )
        bound = max(bound, t_from_normal_quantile(normal[index], max(degrees_of_freedom, 1.0)))
    return _Look(count, gain, math.sqrt(assumed + excess), bound, bounds[-1], information[index])


def _student_boundaries(
    bounds: Sequence[float], looks: Sequence[int], degrees_of_freedom: float
) -> tuple[float, ...]:
    """Return the boundaries of t statistics that are crossed as often as these of z statistics.

    The standard deviation is an estimate too (Jennison and Turnbull 2000, sec. 3.8, the
    significance level approach); the challenger's own seeds add their degrees of freedom.
    """
    return tuple(
        t_from_normal_quantile(bound, degrees_of_freedom + seeds - 1)
        for bound, seeds in zip(bounds, looks, strict=True)
    )


def _predictive_power(look: _Look) -> float:
    """Return the probability that the last look will reject, given the data so far.

    Spiegelhalter, Freedman and Parmar (1994). Stopping for futility never adds false keeps: the
    boundaries do not rely on it.
    """
    fraction = look.information_fraction
    drift = look.statistic / math.sqrt(fraction) - look.last_boundary
    return _NORMAL.cdf(drift / math.sqrt(1 / fraction - 1))


def _rounding(score: float) -> float:
    """Return the largest difference that rounding can make at this score."""
    return _ROUNDING * max(1.0, abs(score))


def _ratio(gain: float, error: float) -> float:
    """Return the gain in standard errors; infinite where there is no noise at all."""
    if not error:
        return math.copysign(math.inf, gain) if gain else 0.0
    return gain / error
