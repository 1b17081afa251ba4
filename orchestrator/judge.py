"""Is the challenger better than the incumbent? Pure functions of returns, one a seed.

`sound` measures the challenger on one seed after the other, in an order fixed beforehand:

1. *screen*: the evaluator's default seeds, the same for all. What is not promising ends here;
2. *confirm*: fresh seeds, which no experiment has used, in groups. Only these can keep it, by a
   group sequential test against the incumbent's *reference*: returns on seeds that chose nothing.

So the screen can be wrong without harm, and looking after every group costs no false keep. The
verdict depends on the returns and their order alone, never on how many were measured side by side.
docs/judgement.md explains it; `python -m benchmarks.judge` measures it.
"""

import math
import statistics
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from statistics import NormalDist

from orchestrator.config import JudgeConfig
from orchestrator.records import FRESH_SEEDS, Status, Verdict

_NORMAL = NormalDist()
_ROUNDING = 1e-9
"""Differences below this share of a score are rounding."""
_CONFIDENCE = 0.95

LEAST_REFERENCE = 8
"""Reference returns below which their spread is too uncertain for a verdict."""
_SEEDS_EACH = 10_000
_REFERENCE_AT = 5_000


@dataclass(frozen=True)
class Yardstick:
    """The incumbent at one rung: what a challenger is measured against."""

    returns: tuple[float, ...]
    """Its reference: mean return on each of at least two seeds that chose nothing."""
    sd: float
    """Standard deviation of one seed's return, pooled over the run's references at this rung."""


def judge(
    yardstick: Yardstick,
    returns: Sequence[float],
    rules: JudgeConfig,
    *,
    seed_count: int,
    margin: float = 0.0,
) -> Verdict | None:
    """Judge by the returns so far; None while more are needed.

    Call it with one more return each time, in the order of the seeds.

    Args:
        yardstick: the incumbent.
        returns: the challenger's: first those of the default seeds, then of fresh ones.
        rules: the numbers of the config.
        seed_count: how many default seeds there are.
        margin: how much worse it may be and still be kept because it is simpler; 0 for a challenger
            that is not.
    """
    fresh = returns[seed_count:]
    if not fresh:
        return _screen(yardstick, returns, rules, seed_count, margin)
    steps = looks(rules, seed_count)
    if len(fresh) not in steps:
        return None
    return _confirm(yardstick, fresh, rules, seed_count, margin)


def screen_score(yardstick: Yardstick, rules: JudgeConfig, seed_count: int) -> float:
    """Return the mean over the default seeds above which a challenger passes the screen."""
    error = yardstick.sd * math.sqrt(1 / seed_count + 1 / len(yardstick.returns))
    return statistics.fmean(yardstick.returns) + _NORMAL.inv_cdf(1 - rules.screen) * error


def looks(rules: JudgeConfig, seed_count: int) -> tuple[int, ...]:
    """Return after how many fresh seeds the test looks."""
    most = max(rules.max_evaluations - seed_count, 1)
    return (*range(rules.group_size, most, rules.group_size), most)


def _screen(
    yardstick: Yardstick,
    returns: Sequence[float],
    rules: JudgeConfig,
    seed_count: int,
    margin: float,
) -> Verdict | None:
    """Discard what the default seeds show to be unpromising: a filter, not a test."""
    count, sd = len(returns), yardstick.sd
    mean, incumbent = statistics.fmean(returns), statistics.fmean(yardstick.returns)
    error = sd * math.sqrt(1 / seed_count + 1 / len(yardstick.returns))
    needed = screen_score(yardstick, rules, seed_count) - incumbent - margin
    gain = mean - incumbent
    if count < seed_count:
        # The mean over all default seeds, foretold from the first of them.
        left = seed_count - count
        spread = left / seed_count * sd * math.sqrt(1 / count + 1 / left)
        if not spread or rules.early_stop is None:
            return None
        chance = _NORMAL.cdf((gain - needed) / spread)
        if chance >= rules.early_stop:
            return None
        why = f"{gain:+.4f} on {_seeds(count)}, too far below to pass the screen"
    elif gain > needed + _tiny(incumbent):
        return None
    else:
        why = f"{gain:+.4f} over {_seeds(count)} of the screen, needs more than {needed:+.4f}"
    return Verdict(
        Status.DISCARD, f"discarded: {why}", stage="screen", gain=gain, evaluations=count,
        standard_error=error, statistic=_ratio(gain, error), boundary=_ratio(needed, error),
    )  # fmt: skip


def _confirm(
    yardstick: Yardstick, fresh: Sequence[float], rules: JudgeConfig, seed_count: int, margin: float
) -> Verdict | None:
    """Look at the test: keep, give up, or go on (None)."""
    from orchestrator.boundaries import boundaries, fractions

    steps = looks(rules, seed_count)
    count, reference = len(fresh), len(yardstick.returns)
    shares = fractions(steps, reference)
    bounds = boundaries(shares, rules.alpha)
    look = steps.index(count)
    incumbent = statistics.fmean(yardstick.returns)
    gain = statistics.fmean(fresh) - incumbent
    # A challenger may be noisier than the incumbent, and then its own spread is what counts.
    own = statistics.variance(fresh) if count > 1 else 0.0
    error = math.sqrt(max(yardstick.sd**2, own) / count + yardstick.sd**2 / reference)
    if abs(gain) <= _tiny(incumbent):
        gain = 0.0
    statistic, shifted = _ratio(gain, error), _ratio(gain + margin, error)
    used = seed_count + count
    line = f"{gain:+.4f} ± {error:.4f} over {count} fresh seeds"

    def verdict(status: Status, reason: str, *, inconclusive: bool = False) -> Verdict:
        return Verdict(
            status, reason, inconclusive, "confirm", gain, error, statistic, bounds[look], used
        )

    if not error and gain + margin > 0 and count < steps[-1]:
        return None  # no spread yet is no proof that there is none
    effect = rules.smallest_effect(yardstick.sd)
    if statistic > bounds[look] and gain >= effect:
        return verdict(Status.KEEP, f"kept: {line}")
    if margin and shifted > bounds[look]:
        return verdict(Status.KEEP, f"kept: simpler and not worse by {margin:.4g}: {line}")
    if count == steps[-1]:
        if statistic > bounds[look]:
            return verdict(
                Status.DISCARD, f"discarded: {line}, less than judge.min_effect ({effect:.4g})"
            )
        return verdict(
            Status.DISCARD, f"inconclusive, so discarded: {line}, and no more evidence allowed "
            "(judge.max_evaluations)", inconclusive=True,
        )  # fmt: skip
    if _chance_of_keep(shifted, shares[look], bounds[-1]) < rules.futility:
        return verdict(Status.DISCARD, f"discarded: {line}, too little to be confirmed")
    return None


def _chance_of_keep(statistic: float, share: float, bound: float) -> float:
    """Return the chance that the last look will reject, if the rest is like what was seen.

    The predictive power of Spiegelhalter, Freedman and Parmar (1994). Giving up by it never adds to
    the false keeps: the boundaries do not count on it.
    """
    return _NORMAL.cdf((statistic / math.sqrt(share) - bound) / math.sqrt(1 / share - 1))


def _tiny(score: float) -> float:
    return _ROUNDING * max(1.0, abs(score))


def _ratio(gain: float, error: float) -> float:
    if not error:  # no noise at all: any difference is one
        return math.copysign(math.inf, gain) if gain else 0.0
    return gain / error


def _seeds(count: int) -> str:
    return f"{count} seed{'s' if count != 1 else ''}"


# -- the public loop's rule ------------------------------------------------------------------------


def judge_naively(
    incumbent: Mapping[int, float], challenger: Mapping[int, float], *, min_effect: float
) -> Verdict:
    """Keep the challenger if its mean over the default seeds is higher by more than `min_effect`.

    This is the rule of the public loops (`judge.rule: naive`): with two seeds it also keeps changes
    that do nothing, now and then, because scores are noisy. The reason therefore gives the spread
    of the seeds beside the difference.

    Args:
        incumbent: its return by seed.
        challenger: likewise, on the same seeds.
        min_effect: least gain.
    """
    gain = statistics.fmean(challenger.values()) - statistics.fmean(incumbent.values())
    error = _paired_error(incumbent, challenger)
    noise = "" if error is None else f" ± {error:.4f}"
    line = f"{gain:+.4f}{noise} over {_seeds(len(challenger))}"
    needed = f", needs more than {min_effect:+.4f}" if min_effect and gain > 0 else ""
    is_better = gain > min_effect
    return Verdict(
        Status.KEEP if is_better else Status.DISCARD,
        f"kept: {line}" if is_better else f"discarded: {line}{needed}",
        gain=gain,
        standard_error=error,
        evaluations=len(challenger),
    )


def _paired_error(one: Mapping[int, float], other: Mapping[int, float]) -> float | None:
    shared = sorted(set(one) & set(other))
    if len(shared) < 2:
        return None
    return statistics.stdev(other[s] - one[s] for s in shared) / math.sqrt(len(shared))


# -- references ------------------------------------------------------------------------------------


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


def pooled_sd(groups: Iterable[Sequence[float]]) -> float:
    """Return the standard deviation within groups; 0 where none has two values.

    Only references go into it: among the discarded are candidates that learnt nothing at all and
    hardly vary, and a spread too small would keep what is nothing.
    """
    groups = [group for group in groups if len(group) > 1]
    freedom = sum(len(group) - 1 for group in groups)
    squares = sum(statistics.variance(group) * (len(group) - 1) for group in groups)
    return math.sqrt(squares / freedom) if freedom else 0.0


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


def confirm_seeds(n: int, count: int) -> tuple[int, ...]:
    """Return the fresh seeds that may confirm experiment `n`; nothing else ever uses them."""
    return tuple(FRESH_SEEDS + _SEEDS_EACH * n + index for index in range(count))


def reference_seeds(n: int, count: int) -> tuple[int, ...]:
    """Return the seeds of the reference of what experiment `n` scored; they choose nothing."""
    return confirm_seeds(n, _REFERENCE_AT + count)[_REFERENCE_AT:]


def detectable(sd: float, rules: JudgeConfig, *, seed_count: int) -> float:
    """Return the gain that is kept half of the time when it gets as far as the last look."""
    from orchestrator.boundaries import boundaries, fractions

    steps = looks(rules, seed_count)
    bounds = boundaries(fractions(steps, rules.reference), rules.alpha)
    return bounds[-1] * sd * math.sqrt(1 / steps[-1] + 1 / rules.reference)


def t_quantile(probability: float, freedom: int) -> float:
    """Return a quantile of Student's t, to about a percent from 4 degrees of freedom on.

    The expansion of Abramowitz and Stegun (1964), 26.7.5.
    """
    z = _NORMAL.inv_cdf(probability)
    first = (z**3 + z) / 4
    second = (5 * z**5 + 16 * z**3 + 3 * z) / 96
    third = (3 * z**7 + 19 * z**5 + 17 * z**3 - 15 * z) / 384
    return z + first / freedom + second / freedom**2 + third / freedom**3
