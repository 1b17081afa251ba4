"""Gains and their standard errors: by hand, against simulation, and for any returns."""

import math
from statistics import NormalDist

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from orchestrator.judging.gains import (
    NO_SPREAD,
    PRIOR_WEIGHT,
    SPREAD_SEEDS,
    Gain,
    Spread,
    gain,
    gain_by_pairs,
    paired_gain,
    pooled_spread,
    variance_of_mean,
)
from tests.judging.samples import on_seeds

RETURNS = st.lists(st.integers(-40, 40).map(lambda n: n / 8), min_size=1, max_size=12)
SPREADS = st.builds(Spread, st.floats(0.1, 4.0), st.floats(0.5, 40.0))


# -- the spread of one seed's return ---------------------------------------------------------------


def test_the_pooled_spread_is_that_within_candidates() -> None:
    """They differ in their means, which does not count, and in their sizes, which does."""
    found = pooled_spread([(1.0, 3.0), (11.0, 13.0, 15.0)])
    assert (found.sd, found.degrees_of_freedom) == (pytest.approx(math.sqrt((2 + 8) / 3)), 3)
    assert pooled_spread([(1.0, 3.0), (7.0,), ()]) == Spread(math.sqrt(2), 1)
    assert pooled_spread([(7.0,), ()]) == NO_SPREAD


def test_candidates_of_long_ago_do_not_count() -> None:
    """Once the latest ones have enough seeds; the one that makes them enough counts in full."""
    latest = (0.0, 2.0) * (SPREAD_SEEDS // 2)
    wild = (0.0, 200.0) * 4
    assert pooled_spread([latest, (0.0, 2.0), wild]) == pooled_spread([latest, (0.0, 2.0)])
    assert pooled_spread([latest, wild]).sd > 10


def test_a_spread_of_few_seeds_is_shrunk_towards_the_runs() -> None:
    """By hand: variance 2 with one degree of freedom, and 4 with the prior's weight of 4."""
    variance, freedom = variance_of_mean((1.0, 3.0), Spread(2.0, 10))
    assert (variance, freedom) == (pytest.approx((4 * 4 + 2) / 5 / 2), 5)
    variance, freedom = variance_of_mean((1.0, 3.0), Spread(2.0, 1))
    assert (variance, freedom) == (pytest.approx((4 + 2) / 2 / 2), 2)


def test_a_single_seed_has_the_runs_spread() -> None:
    """And none where the run knows none; then nothing is said of its error."""
    assert variance_of_mean((5.0,), Spread(2.0, 10)) == (4.0, PRIOR_WEIGHT)
    assert variance_of_mean((5.0,), NO_SPREAD) == (0.0, 0.0)


@given(RETURNS, SPREADS)
def test_the_variance_lies_between_its_own_and_the_runs(
    returns: list[float], spread: Spread
) -> None:
    """Whatever the two are; with many seeds it is nearly its own."""
    own = float(np.var(returns, ddof=1)) if len(returns) > 1 else spread.sd**2
    found = variance_of_mean(returns, spread)[0] * len(returns)
    low, high = sorted((own, spread.sd**2))
    assert low - 1e-9 <= found <= high + 1e-9


# -- Welch -----------------------------------------------------------------------------------------


def test_welch_by_hand() -> None:
    """Variances 1 and 20/3: standard error the root of 1/3 + 5/3, 4.08 degrees of freedom."""
    found = gain((1.0, 2.0, 3.0), (2.0, 4.0, 6.0, 8.0), NO_SPREAD)
    assert found.value == -3.0
    assert found.standard_error == pytest.approx(math.sqrt(2))
    assert found.degrees_of_freedom == pytest.approx(4 / ((1 / 3) ** 2 / 2 + (5 / 3) ** 2 / 3))
    assert found.z == pytest.approx(-3 / math.sqrt(2))
    assert str(found) == "-3.0000 ± 1.4142"


@given(RETURNS, RETURNS, SPREADS)
def test_a_gain_turned_round_is_a_loss(
    one: list[float], other: list[float], spread: Spread
) -> None:
    """With the same standard error and degrees of freedom."""
    there, back = gain(one, other, spread), gain(other, one, spread)
    assert there.value == pytest.approx(-back.value)
    assert there.standard_error == pytest.approx(back.standard_error)
    assert there.degrees_of_freedom == pytest.approx(back.degrees_of_freedom)
    assert min(len(one), len(other)) - 1 <= there.degrees_of_freedom


@given(RETURNS, RETURNS, SPREADS, st.sampled_from([0.25, 2.0, 1024.0]), st.integers(-64, 64))
def test_the_unit_of_the_score_does_not_matter(
    one: list[float], other: list[float], spread: Spread, scale: float, shift: int
) -> None:
    """Scores in other units, or counted from elsewhere, give the same z."""
    before = gain(one, other, spread)
    sides = ([value * scale + shift for value in side] for side in (one, other))
    after = gain(*sides, Spread(spread.sd * scale, spread.degrees_of_freedom))
    assert after.z == pytest.approx(before.z, abs=1e-6)


def test_without_noise_any_difference_is_sure_and_rounding_is_none() -> None:
    """An infinite z, or 0; with infinitely many degrees of freedom."""
    better, worse, same = (gain((x,) * 3, (0.5,) * 3, NO_SPREAD) for x in (0.6, 0.4, 0.5))
    assert (better.z, worse.z, same.z) == (math.inf, -math.inf, 0.0)
    assert (better.probability, worse.probability, same.probability) == (1.0, 0.0, 0.5)
    assert better.degrees_of_freedom == math.inf
    assert gain((0.1 + 0.2,), (0.3,), NO_SPREAD).z == 0.0
    assert gain((1e9 + 1e-6,), (1e9,), NO_SPREAD).z == 0.0


# -- shrinkage -------------------------------------------------------------------------------------


def test_a_gain_as_uncertain_as_changes_differ_is_halved() -> None:
    """The posterior of a normal mean, by hand."""
    found = Gain(1.0, 1.0, 7.0).shrunk(1.0)
    assert (found.value, found.standard_error) == (0.5, pytest.approx(math.sqrt(0.5)))
    assert found.degrees_of_freedom == 7.0
    assert found.probability == pytest.approx(NormalDist().cdf(math.sqrt(0.5)))


@pytest.mark.parametrize("found", [Gain(1.0, 0.0, math.inf), Gain(-1.0, 0.0, math.inf)])
def test_what_is_exact_is_not_shrunk(found: Gain) -> None:
    """Nor is anything where it is not known how changes differ."""
    assert found.shrunk(1.0) == found
    assert Gain(1.0, 2.0, 3.0).shrunk(0.0) == Gain(1.0, 2.0, 3.0)


@given(st.floats(-9, 9), st.floats(0.01, 9), st.floats(0.01, 9))
def test_shrinkage_never_adds(value: float, error: float, prior: float) -> None:
    """Neither to the gain nor to its error, and it turns no sign."""
    found = Gain(value, error, 5.0).shrunk(prior)
    assert abs(found.value) <= abs(value)
    assert found.standard_error <= min(error, max(prior, abs(value))) + 1e-9
    assert found.value * value >= 0


def test_a_large_gain_that_is_known_well_is_not_halved() -> None:
    """By hand: it makes a prior of variance 4 - 1/4 most likely, so 1/16 of it is taken for luck."""
    found = Gain(2.0, 0.5, 7.0).shrunk(0.5)
    assert found.value == pytest.approx(2.0 * 15 / 16)
    assert found.standard_error == pytest.approx(0.5 * math.sqrt(15 / 16))
    assert Gain(-2.0, 0.5, 7.0).shrunk(0.5).value == pytest.approx(-found.value)


@given(st.floats(0.01, 9), st.floats(0.01, 9), st.floats(0.01, 9), st.floats(0.01, 9))
def test_a_wider_prior_and_a_larger_gain_shrink_less(
    value: float, error: float, prior: float, more: float
) -> None:
    """Whichever of the two makes the prior's width; so the larger of two gains stays the larger."""
    found = Gain(value, error, 5.0).shrunk(prior)
    wider = Gain(value, error, 5.0).shrunk(prior + more)
    larger = Gain(value + more, error, 5.0).shrunk(prior)
    assert wider.value >= found.value - 1e-9
    assert larger.value - found.value >= found.value / value * more - 1e-9


def test_of_the_best_looking_the_shrunk_gain_is_true() -> None:
    """Where changes differ as the prior says, what looks best is overestimated, and shrunk is not.

    Gains beyond what that prior makes likely are left out: these widen it.
    """
    rng = np.random.default_rng(3)
    true = rng.normal(0, 0.5, 40_000)
    seen = true + rng.normal(0, 1.0, len(true))
    best = (seen > 0.8) & (seen**2 < 0.5**2 + 1.0)
    shrunk = [Gain(value, 1.0, math.inf).shrunk(0.5).value for value in seen[best]]
    error = 4 * 0.5 / math.sqrt(best.sum())
    assert abs(np.mean(shrunk) - true[best].mean()) < error
    assert seen[best].mean() - true[best].mean() > 0.7


def test_where_some_changes_are_large_their_shrunk_gains_are_nearly_true() -> None:
    """Half of the changes do nothing; a narrow prior alone would take four fifths of the others."""
    rng = np.random.default_rng(4)
    true = np.where(rng.random(40_000) < 0.5, 0.0, 4.0)
    seen = true + rng.normal(0, 1.0, len(true))
    best = seen > 3.0
    shrunk = np.mean([Gain(value, 1.0, math.inf).shrunk(0.5).value for value in seen[best]])
    assert true[best].mean() * 0.9 < shrunk < seen[best].mean()


# -- common seeds ----------------------------------------------------------------------------------


@given(RETURNS, RETURNS, SPREADS, st.floats(0, 0.95))
def test_without_common_seeds_or_correlation_it_is_welchs(
    one: list[float], other: list[float], spread: Spread, correlation: float
) -> None:
    """Common seeds tell nothing where candidates share no luck, nor does a correlation elsewhere."""
    plain = gain(one, other, spread)
    apart = dict(enumerate(one)), dict(enumerate(other, start=100))
    together = dict(enumerate(one)), dict(enumerate(other))
    assert paired_gain(*apart, spread, correlation) == plain
    assert paired_gain(*together, spread, 0.0) == plain


def test_an_easy_seed_is_allowed_for() -> None:
    """By hand: the other earned 2 above its mean there, and the correlation is one half."""
    found = paired_gain({1: 5.0}, {1: 4.0, 2: 1.0, 3: 1.0}, Spread(1.0, 99), 0.5)
    assert found.value == 5.0 - (2.0 + 0.5 * 2.0)


@pytest.mark.parametrize("correlation", [0.3, 0.8])
@pytest.mark.parametrize(("own", "count", "pairs"), [(6, 6, 6), (3, 12, 3), (6, 12, 4), (8, 4, 4)])
def test_the_error_with_common_seeds_is_what_it_says(
    own: int, count: int, pairs: int, correlation: float
) -> None:
    """The mean square of the errors of many gains is the mean of their squared standard errors."""
    rng = np.random.default_rng(own * 100 + count)
    found = []
    for _ in range(2000):
        both = on_seeds(rng, own + count - pairs, correlation)
        ours = dict(enumerate(both[0, :own].tolist()))
        theirs = dict(enumerate(both[1, own - pairs :].tolist(), start=own - pairs))
        found.append(paired_gain(ours, theirs, Spread(1.0, 99), correlation))
    squares = [each.value**2 for each in found]
    claimed = float(np.mean([each.standard_error**2 for each in found]))
    noise = 4 * float(np.std(squares)) / math.sqrt(len(squares))
    # Sample sds below 1 shrink what is shared a little less than what is not.
    assert float(np.mean(squares)) == pytest.approx(claimed, abs=noise + 0.03 * claimed)
    plain = 1 / own + 1 / count
    assert claimed < plain * (1 - 0.2 * correlation)


@given(st.lists(st.floats(-9, 9), min_size=1, max_size=9), SPREADS, st.floats(0, 0.95))
def test_no_variance_is_below_none(
    returns: list[float], spread: Spread, correlation: float
) -> None:
    """However alike the two are."""
    same = dict(enumerate(returns))
    found = paired_gain(same, same, spread, correlation)
    assert found.value == 0.0
    assert found.standard_error >= 0.0


def test_differences_have_their_own_spread() -> None:
    """Student's paired test by hand: differences 1, 2 and 3."""
    found = gain_by_pairs((11.0, 4.0, 9.0), (10.0, 2.0, 6.0))
    assert (found.value, found.degrees_of_freedom) == (2.0, 2)
    assert found.standard_error == pytest.approx(1 / math.sqrt(3))
    assert gain_by_pairs((1.0,), (0.5,)) == Gain(0.5, 0.0, 0)


@pytest.mark.parametrize("size", [1e-100, 1.0, 1e90])
def test_a_gain_has_no_unit(size: float) -> None:
    """Its degrees of freedom are the same in any, and are a number where fourth powers are none."""
    returns, others = (1.0, 2.0, 4.0), (0.0, 0.5)
    plain = gain(returns, others, Spread(1.0, 8))
    found = gain([r * size for r in returns], [r * size for r in others], Spread(size, 8))
    assert found.z == pytest.approx(plain.z) or size < 1  # below rounding there is no gain
    assert found.degrees_of_freedom == pytest.approx(plain.degrees_of_freedom)
