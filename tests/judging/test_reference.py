"""References: their seeds, the standard deviation across seeds, and the correlation."""

import itertools
import math

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from orchestrator.core.evaluations import FRESH_SEEDS
from orchestrator.judging.reference import (
    SeedCorrelation,
    Spread,
    confirm_seeds,
    default_seeds,
    reference_seeds,
    seed_correlation,
    spread,
    validate,
)
from tests.judging.samples import on_seeds


def test_a_validated_score_by_hand() -> None:
    """Mean 3, standard error 0.707 and t(4) = 2.776: 1.04 to 4.96."""
    found = validate([1.0, 2.0, 3.0, 4.0, 5.0])
    assert found is not None
    assert (found.score, found.seeds) == (3.0, 5)
    assert (found.low, found.high) == pytest.approx((1.037, 4.963), abs=0.01)
    assert validate([1.0]) is None


@pytest.mark.parametrize("count", [5, 16, 64])
def test_the_interval_holds_the_mean_as_often_as_it_says(count: int) -> None:
    """Of many intervals 95 % hold the true mean, within 4 standard errors of the simulation."""
    runs = 4000
    draws = np.random.default_rng(count).standard_normal((runs, count)).tolist()
    held = sum(
        found.low <= 0 <= found.high for row in draws if (found := validate(row)) is not None
    )
    assert abs(held / runs - 0.95) < 4 * math.sqrt(0.95 * 0.05 / runs)


def test_the_spread_is_that_within_the_references() -> None:
    """They differ in their means, which does not count, and in their sizes, which does."""
    found = spread([(1.0, 3.0), (11.0, 13.0, 15.0)])
    assert (found.sd, found.degrees_of_freedom) == (pytest.approx(math.sqrt((2 + 8) / 3)), 3)
    assert spread([(1.0, 3.0), (7.0,)]) == Spread(math.sqrt(2), 1)
    assert spread([(7.0,), ()]) == Spread(0.0, 0)
    assert spread(iter([(1.0, 3.0)])).sd == math.sqrt(2)


def test_what_hardly_varied_before_is_not_believed() -> None:
    """A baseline that learnt nothing says nothing of an incumbent that did."""
    assert spread([(0.0, 2.0) * 4, (5.0, 5.01) * 24]) == spread([(0.0, 2.0) * 4])


def test_a_long_reference_needs_no_other() -> None:
    """How much an incumbent of long ago varied says little of this one."""
    assert spread([(0.0, 2.0) * 8, (0.0, 200.0) * 4]).sd == pytest.approx(math.sqrt(16 / 15))
    assert spread([(0.0, 2.0) * 7, (0.0, 200.0) * 4]).sd > 50


@settings(deadline=None)
@given(st.integers(0, 10**6), st.integers(0, 10**6))
def test_no_seed_measures_two_incumbents(one: int, other: int) -> None:
    """Each has a reference of its own, away from the default seeds."""
    assume(one != other)
    seeds = reference_seeds(one, 1000)
    assert len(set(seeds)) == 1000
    assert min(seeds) >= FRESH_SEEDS
    assert set(seeds).isdisjoint(reference_seeds(other, 1000))


@given(st.integers(1, 10**6), st.integers(1, 10**6), st.integers(0, 200), st.integers(1, 200))
def test_challengers_meet_the_incumbent_on_its_own_seeds(
    n: int, scored_by: int, measured: int, count: int
) -> None:
    """First those where it was measured, then those where it would be next; none twice."""
    seeds = confirm_seeds(n, scored_by, measured, count)
    assert len(set(seeds)) == len(seeds) == count
    reference = set(reference_seeds(scored_by, measured))
    assert set(seeds[:measured]) <= reference
    assert seeds[measured:] == reference_seeds(scored_by, max(measured, count))[measured:count]


def test_challengers_begin_on_different_seeds() -> None:
    """Or a run would fit itself to the first of them."""
    begun = [confirm_seeds(n, 3, 48, 4)[0] for n in range(400)]
    assert set(begun) == set(reference_seeds(3, 48))


def test_default_seeds_are_those_of_the_evaluator() -> None:
    """They begin at 101 and lie 37 apart."""
    assert default_seeds(3) == (101, 138, 175)


def test_more_seeds_continue_the_fewer() -> None:
    """A reference that grows keeps the seeds it has."""
    for few, many in itertools.pairwise((1, 16, 64)):
        assert reference_seeds(3, many)[:few] == reference_seeds(3, few)


# -- the correlation -------------------------------------------------------------------------------


@pytest.mark.parametrize("shared", [0.0, 0.3, 0.7])
def test_the_correlation_is_found_in_the_pairs(shared: float) -> None:
    """Whatever the candidates are worth; only as sure as there are seeds."""
    rng = np.random.default_rng(11)
    pairs = []
    for n in range(60):
        ours, theirs = on_seeds(rng, 8, shared)
        rows = zip(range(8 * n, 8 * n + 8), ours + n, theirs - n, strict=True)
        pairs += [(n, seed, float(x), float(y)) for seed, x, y in rows]
    found = seed_correlation(pairs)
    assert found.seeds == 60 * 7  # the means of each candidate are estimated too
    assert found.observed == pytest.approx(shared, abs=0.1)
    assert shared - 0.15 <= found.conservative <= found.optimistic <= shared + 0.15
    few = seed_correlation(pairs[:8])
    assert few.conservative <= few.observed / 2
    assert seed_correlation([]).conservative == 0.0
    assert seed_correlation([]).optimistic == 0.5


def test_single_pairs_say_nothing_of_the_correlation() -> None:
    """However many there are, for each its candidate's mean is unknown."""
    single = [(n, n, float(n % 3), float(n % 5)) for n in range(30)]
    two = [(99, 98, 1.0, 1.0), (99, 99, 2.0, 2.0)]
    assert seed_correlation([*single, *two]) == SeedCorrelation(1.0, 1)
    assert seed_correlation(single).seeds == 0


def test_nothing_is_shared_without_a_difference() -> None:
    """Returns that never vary have no correlation; as little have those that hardly do."""
    assert seed_correlation([(1, seed, 0.5, 0.5) for seed in range(8)]) == SeedCorrelation()
    assert (
        seed_correlation([(1, seed, seed * 1e-85, seed * 1e-85) for seed in range(8)])
        == SeedCorrelation()
    )
    assert SeedCorrelation(1.0, 10**9).conservative < 1
    assert SeedCorrelation(1.0, 10**9).optimistic < 1
