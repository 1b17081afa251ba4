"""Seed lists, and what is claimed of a candidate by seeds that did not choose it."""

import itertools
import math

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from orchestrator.core.evaluations import FRESH_SEEDS, Purpose, SeedResult
from orchestrator.judging.reference import (
    audit_seeds,
    default_seeds,
    is_saturated,
    owner_of,
    reference_seeds,
    validate,
    validated,
)


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


@settings(deadline=None)
@given(st.integers(0, 10**6), st.integers(0, 10**6))
def test_each_published_candidate_has_a_time_of_its_own(one: int, other: int) -> None:
    """No seed measures what was published before and after, and none is a default one."""
    assume(one != other)
    seeds = reference_seeds(one, 1000)
    assert len(set(seeds)) == 1000
    assert min(seeds) >= FRESH_SEEDS
    assert set(seeds).isdisjoint(reference_seeds(other, 1000))
    assert {owner_of(seed) for seed in seeds} == {one}


def test_what_decided_nothing_alone_is_claimed_once_there_is_enough() -> None:
    """Seeds of another time have proven the candidate, and claim nothing."""
    decided = [SeedResult(seed, 9.0, purpose=Purpose.TRIAL) for seed in reference_seeds(3, 4)]
    before = [SeedResult(seed, 5.0, purpose=Purpose.TRIAL) for seed in reference_seeds(1, 4)]
    audits = [SeedResult(seed, 2.0, purpose=Purpose.AUDIT) for seed in audit_seeds(3, 2)]
    assert owner_of(audits[0].seed) == 3
    for known, score in ((0, 9.0), (1, 9.0), (2, 2.0)):
        found = validated(3, [*before, *decided, *audits[:known]])
        assert found is not None
        assert found.score == score
    assert validated(3, before) is None


def test_default_seeds_are_those_of_the_evaluator() -> None:
    """They begin at 101 and lie 37 apart."""
    assert default_seeds(3) == (101, 138, 175)
    assert max(default_seeds(64)) < FRESH_SEEDS


def test_more_seeds_continue_the_fewer() -> None:
    """A candidate that is measured further keeps the seeds it has."""
    for few, many in itertools.pairwise((1, 16, 64)):
        assert reference_seeds(3, many)[:few] == reference_seeds(3, few)
        assert default_seeds(many)[:few] == default_seeds(few)


@pytest.mark.parametrize(
    ("values", "solve_rates", "expected"),
    [
        ([1.0] * 8, [1.0] * 8, True),
        ([1.0, 1.0 + 1e-12] * 4, [1.0] * 8, True),
        ([1.0] * 4, [1.0] * 4, True),
        ([1.0] * 3, [1.0] * 3, False),
        ([1.0] * 7 + [0.99], [1.0] * 8, False),
        ([1.0] * 8, [1.0] * 7 + [0.9], False),
        ([1.0] * 8 + [None], [1.0] * 9, False),
        ([1.0] * 8, [None] * 8, False),
        ([], [], False),
    ],
)
def test_a_reference_is_saturated_if_no_seed_differs_and_all_is_solved(
    values: list[float | None], solve_rates: list[float | None], expected: bool
) -> None:
    """With too few seeds, one that failed, or an unknown solve rate it is not."""
    pairs = zip(values, solve_rates, strict=True)
    seeds = [SeedResult(k, value, solved) for k, (value, solved) in enumerate(pairs)]
    assert is_saturated(seeds) is expected
