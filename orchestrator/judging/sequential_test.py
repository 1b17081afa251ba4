"""Is the challenger better than the incumbent? Pure functions of returns, one a seed.

`sound` measures the challenger on one seed after the other, in an order fixed beforehand:

1. *screen*: the evaluator's default seeds, the same for all. What is not promising ends here;
2. *confirm*: the seeds of the incumbent's *reference*, which did not choose it and are new to the
   challenger, in groups. Only these can keep it, by a group sequential test.

So the screen can be wrong without harm, and looking after every group costs no false keep. The
verdict depends on the returns and their order alone, never on how many were measured side by side.
docs/judgement.md explains it; `python -m benchmarks.judge` measures it.
"""

import math
import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from statistics import NormalDist

from orchestrator.config.schema import JudgeConfig
from orchestrator.core.evaluations import LEAST_FRESH, Verdict
from orchestrator.core.records import Status
from orchestrator.judging.boundaries import boundaries, fractions
from orchestrator.judging.reference import UNCORRELATED, SeedCorrelation
from orchestrator.judging.student_t import t_from_normal_quantile

_NORMAL = NormalDist()
_ROUNDING = 1e-9
"""Differences below this share of a score are rounding."""


@dataclass(frozen=True)
class IncumbentReturns:
    """The incumbent at one rung: what a challenger is measured against."""

    returns: tuple[float, ...]
    """Its mean return on each seed of its reference, which chose nothing."""
    sd: float
    """Standard deviation of one seed's return."""
    paired: tuple[float | None, ...] = ()
    """Its returns on the challenger's seeds, in their order; None where it was not measured.

    Those on the default seeds may have chosen it; the others are of the reference."""
    correlation: SeedCorrelation = UNCORRELATED
    degrees_of_freedom: float = math.inf
    """Degrees of degrees_of_freedom of the spread, infinite where it is exact."""

    def on(self, index: int) -> float | None:
        """Return what it came to on the challenger's seed of this index, if that is known."""
        return self.paired[index] if index < len(self.paired) else None


def judge(
    incumbent: IncumbentReturns,
    returns: Sequence[float],
    rules: JudgeConfig,
    *,
    seed_count: int,
) -> Verdict | None:
    """Judge by the returns so far; None while more are needed.

    Call it with one more return each time, in the order of the seeds.

    Args:
        incumbent: the incumbent.
        returns: the challenger's: first those of the default seeds, then of others.
        rules: the numbers of the config.
        seed_count: how many default seeds there are.
    """
    fresh = returns[seed_count:]
    if not fresh:
        return _screen(incumbent, returns, rules, seed_count)
    steps = looks(rules, seed_count)
    if len(fresh) not in steps:
        return None
    return _confirm(incumbent, fresh, rules, seed_count)


def screen_score(
    incumbent: IncumbentReturns, rules: JudgeConfig, seed_count: int, *, first: int | None = None
) -> float:
    """Return the mean over the default seeds above which a challenger passes the screen.

    Args:
        incumbent: the incumbent.
        rules: the numbers of the config.
        seed_count: how many default seeds there are.
        first: what that mean would be over the first so many; None for all.
    """
    expected = statistics.fmean(_expected(incumbent, first or seed_count))
    return expected + _NORMAL.inv_cdf(1 - rules.screen) * _screen_error(incumbent, seed_count)


def looks(rules: JudgeConfig, seed_count: int) -> tuple[int, ...]:
    """Return after how many fresh seeds the test looks."""
    most = max(rules.max_evaluations - seed_count, LEAST_FRESH)
    groups = range(rules.group_size, most, rules.group_size)
    return (*(count for count in groups if count >= LEAST_FRESH), most)


def _screen(
    incumbent: IncumbentReturns,
    returns: Sequence[float],
    rules: JudgeConfig,
    seed_count: int,
) -> Verdict | None:
    """Discard what the default seeds show to be unpromising: a filter, not a test."""
    count = len(returns)
    incumbent_mean = statistics.fmean(_expected(incumbent, count))
    error = _screen_error(incumbent, seed_count)
    needed = _NORMAL.inv_cdf(1 - rules.screen) * error
    gain = statistics.fmean(returns) - incumbent_mean
    if count < seed_count:
        # The mean over all default seeds, predicted_score from the first of them.
        spread = remaining_sd(incumbent, count, seed_count)
        if not spread or rules.early_stop is None:
            return None
        chance = _NORMAL.cdf((gain - needed) / spread)
        if chance >= rules.early_stop:
            return None
        why = f"{gain:+.4f} on {_seeds(count)}, too far below to pass the screen"
    elif gain > needed + _tiny(incumbent_mean):
        return None
    else:
        why = f"{gain:+.4f} over {_seeds(count)} of the screen, needs more than {needed:+.4f}"
    return Verdict(
        Status.DISCARD, f"discarded: {why}", stage="screen", gain=gain, evaluations=count,
        standard_error=error, statistic=_ratio(gain, error), boundary=_ratio(needed, error),
    )  # fmt: skip


def remaining_sd(incumbent: IncumbentReturns, count: int, seed_count: int) -> float:
    """Return how uncertain the mean over the default seeds is once so many of them are known.

    A standard deviation; 0 once all are known.
    """
    left = seed_count - count
    return left and left / seed_count * _own_sd(incumbent) * math.sqrt(1 / count + 1 / left)


def _expected(incumbent: IncumbentReturns, count: int) -> list[float]:
    """Return what one as good as the incumbent earns on each of the first default seeds.

    The incumbent's own returns there say how lucky these seeds are, as far as luck is shared; that
    they may have chosen it does little harm, for by the screen nothing is kept.
    """
    mean, shared = statistics.fmean(incumbent.returns), incumbent.correlation.optimistic
    known = [incumbent.on(index) for index in range(count)]
    return [mean if value is None else mean + shared * (value - mean) for value in known]


def _own_sd(incumbent: IncumbentReturns) -> float:
    """Return the spread of one default seed's return about what is expected there."""
    shared = incumbent.correlation.optimistic if incumbent.on(0) is not None else 0.0
    return incumbent.sd * math.sqrt(1 - shared**2)


def _screen_error(incumbent: IncumbentReturns, seed_count: int) -> float:
    """Return the standard error of a challenger's gain over the default seeds."""
    shared = incumbent.correlation.optimistic if incumbent.on(0) is not None else 0.0
    reference = (1 - shared) * incumbent.sd / math.sqrt(len(incumbent.returns))
    return math.hypot(_own_sd(incumbent) / math.sqrt(seed_count), reference)


@dataclass(frozen=True)
class _Information:
    """What is known of both means, by generalised least squares (Aitken 1936).

    Both are known on `pairs` seeds, where their returns have the correlation `shared`, the
    challenger alone on `own` others, and the incumbent alone on `rest`. An estimate that uses all
    there is in the best way is a Brownian motion in its information (Jennison and Turnbull 2000,
    ch. 11), which the boundaries rely on. In units of one seed's spread.
    """

    pairs: int
    own: int
    rest: int
    shared: float

    @property
    def _matrix(self) -> tuple[float, float, float]:
        both = self.pairs / (1 - self.shared**2)
        return both + self.own, both * self.shared, both + self.rest

    @property
    def variance(self) -> float:
        """Return that of the gain."""
        x, xy, y = self._matrix
        return (x + y - 2 * xy) / (x * y - xy**2)

    def gain(self, on_pairs: tuple[float, float], own: float, rest: float) -> float:
        """Return it, from the sums of the returns: of both on the pairs, and of each alone."""
        x, xy, y = self._matrix
        scale, shared = 1 / (1 - self.shared**2), self.shared
        ours = scale * (on_pairs[0] - shared * on_pairs[1]) + own
        theirs = scale * (on_pairs[1] - shared * on_pairs[0]) + rest
        return ((y - xy) * ours - (x - xy) * theirs) / (x * y - xy**2)


def _informed(incumbent: IncumbentReturns, count: int, seed_count: int) -> _Information:
    """Return what is known after so many seeds beyond the default ones."""
    others = [incumbent.on(seed_count + index) for index in range(count)]
    pairs = sum(other is not None for other in others)
    rest = len(incumbent.returns) - pairs
    return _Information(pairs, count - pairs, rest, incumbent.correlation.conservative)


def _gain(incumbent: IncumbentReturns, fresh: Sequence[float], seed_count: int) -> float:
    """Return the challenger's gain over the seeds beyond the default ones."""
    known = _informed(incumbent, len(fresh), seed_count)
    if not known.shared:
        return statistics.fmean(fresh) - statistics.fmean(incumbent.returns)
    others = [incumbent.on(seed_count + index) for index in range(len(fresh))]
    pairs = [(x, y) for x, y in zip(fresh, others, strict=True) if y is not None]
    own, other = (sum(side) for side in zip(*pairs, strict=True)) if pairs else (0.0, 0.0)
    return known.gain((own, other), sum(fresh) - own, sum(incumbent.returns) - other)


def _confirm(
    incumbent: IncumbentReturns, fresh: Sequence[float], rules: JudgeConfig, seed_count: int
) -> Verdict | None:
    """Look at the test: keep, give up, or go on (None)."""
    steps = looks(rules, seed_count)
    count = len(fresh)
    known = [_informed(incumbent, step, seed_count) for step in steps]
    shares = fractions([information.variance for information in known])
    normal = boundaries(shares, rules.alpha)
    bounds = _for_student(normal, steps, incumbent.degrees_of_freedom)
    look = steps.index(count)
    incumbent_mean = statistics.fmean(incumbent.returns)
    gain = _gain(incumbent, fresh, seed_count)
    excess = _excess(incumbent, fresh, seed_count) / count
    expected = known[look].variance * incumbent.sd**2
    error = math.sqrt(expected + excess)
    bound = bounds[look]
    if excess:  # only the challenger's own few seeds speak of this part
        own = excess / (expected + excess)
        degrees_of_freedom = 1 / (
            (1 - own) ** 2 / (incumbent.degrees_of_freedom + count - 1) + own**2 / (count - 1)
        )
        bound = max(bound, t_from_normal_quantile(normal[look], max(degrees_of_freedom, 1.0)))
    if abs(gain) <= _tiny(incumbent_mean):
        gain = 0.0
    statistic = _ratio(gain, error)
    used = seed_count + count
    line = f"{gain:+.4f} ± {error:.4f} over {count} fresh seeds"

    def verdict(status: Status, reason: str, *, inconclusive: bool = False) -> Verdict:
        return Verdict(status, reason, inconclusive, "confirm", gain, error, statistic, bound, used)

    if not error and gain > 0 and count < steps[-1]:
        return None  # no spread yet is no proof that there is none
    effect = rules.smallest_effect(incumbent.sd)
    if statistic > bound and gain >= effect:
        return verdict(Status.KEEP, f"kept: {line}")
    if count == steps[-1]:
        if statistic > bound:
            return verdict(
                Status.DISCARD, f"discarded: {line}, less than judge.min_effect ({effect:.4g})"
            )
        return verdict(
            Status.DISCARD, f"inconclusive, so discarded: {line}, and no more evidence allowed "
            "(judge.max_evaluations)", inconclusive=True,
        )  # fmt: skip
    if _chance_of_keep(statistic, shares[look], bounds[-1]) < rules.futility:
        return verdict(Status.DISCARD, f"discarded: {line}, too little to be confirmed")
    return None


def _excess(incumbent: IncumbentReturns, fresh: Sequence[float], seed_count: int) -> float:
    """Return by how much a challenger's seeds vary more than the run's others did; 0 if not.

    It may be noisier than the incumbent, or share less of a seed's luck with it than those before:
    then what it shows itself is what counts.
    """
    shared, variance = incumbent.correlation.conservative, incumbent.sd**2
    known = [incumbent.on(seed_count + index) for index in range(len(fresh))]
    left = [x - shared * y for x, y in zip(fresh, known, strict=True) if y is not None]
    excess = statistics.variance(fresh) - variance if len(fresh) > 1 else 0.0
    if len(left) > 1:
        excess = max(excess, statistics.variance(left) - (1 - shared**2) * variance)
    return max(excess, 0.0)


def _for_student(
    bounds: Sequence[float], steps: Sequence[int], degrees_of_freedom: float
) -> tuple[float, ...]:
    """Return boundaries for t statistics that are crossed as often as these by z statistics.

    The spread is an estimate too (Jennison and Turnbull 2000, sec. 3.8, the significance level
    approach), to which the challenger's own seeds contribute: see `_excess`. Where these vary more,
    the look in hand has the degrees of degrees_of_freedom of both parts (Welch 1947).
    """
    return tuple(
        t_from_normal_quantile(bound, degrees_of_freedom + step - 1)
        for bound, step in zip(bounds, steps, strict=True)
    )


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
