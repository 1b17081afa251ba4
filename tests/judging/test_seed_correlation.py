"""The correlation of two candidates' returns on one seed: what is found, and how far it is believed."""

import numpy as np
import pytest

from orchestrator.core.evaluations import Purpose, SeedResult
from orchestrator.judging.reference import reference_seeds
from orchestrator.judging.seed_correlation import (
    UNKNOWN_CORRELATION,
    SeedCorrelation,
    pairs_of,
    seed_correlation,
)
from tests.fakes import ruler_comparison
from tests.judging.samples import fresh, on_seeds


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
    assert found.estimate == pytest.approx(found.observed, abs=0.02)
    assert found.is_shared is (shared == 0.7)


def test_little_is_believed_of_few_seeds() -> None:
    """Next to nothing is adjusted, and no trial relies on common seeds."""
    assert UNKNOWN_CORRELATION.estimate == 0
    assert not UNKNOWN_CORRELATION.is_shared
    few, many = SeedCorrelation(1.0, 2), SeedCorrelation(1.0, 10**9)
    assert few.estimate == pytest.approx(0.2)
    assert not few.is_shared
    assert many.is_shared
    assert many.estimate < 1  # or a gain would have no error at all


def test_many_leads_on_the_same_seeds_are_no_more_than_these_seeds() -> None:
    """Each of them shares the luck of the one that they are all compared with."""
    rng = np.random.default_rng(12)
    theirs = rng.standard_normal(5)
    pairs = [
        (n, seed, float(theirs[seed] + rng.standard_normal()), float(theirs[seed]))
        for n in range(20)
        for seed in range(5)
    ]
    assert seed_correlation(pairs).seeds == 5


def test_single_pairs_say_nothing_of_the_correlation() -> None:
    """However many there are, for each its candidate's mean is unknown."""
    single = [(n, n, float(n % 3), float(n % 5)) for n in range(30)]
    two = [(99, 98, 1.0, 1.0), (99, 99, 2.0, 2.0)]
    assert seed_correlation([*single, *two]) == SeedCorrelation(1.0, 1)
    assert seed_correlation(single) == UNKNOWN_CORRELATION
    assert seed_correlation([]) == UNKNOWN_CORRELATION


def test_nothing_is_shared_without_a_difference() -> None:
    """Returns that never vary have no correlation; as little have those that hardly do."""
    for size in (0.0, 1e-85):
        pairs = [(1, seed, seed * size, seed * size) for seed in range(8)]
        assert seed_correlation(pairs) == UNKNOWN_CORRELATION


def test_what_goes_against_each_other_is_not_shared() -> None:
    """A negative correlation is luck, and counts as none."""
    assert seed_correlation([(1, seed, seed, -seed) for seed in range(8)]).observed == 0.0


def test_pairs_are_of_leads_and_what_was_published_then() -> None:
    """Each lead on the seeds of its time, but for the lead of now, failures and other rulers."""
    other_reward = [ruler_comparison("reward"), None]
    references = {
        1: fresh(1.0, 2.0, None, 4.0),
        2: fresh(1.5, 2.5, 3.5, None),
        3: fresh(1.7, 2.7),
        4: (*fresh(9.0, 8.0), *fresh(7.0, 6.0, owner=4)),
        5: fresh(5.0, 5.5, compared=other_reward, owner=4),
        6: [SeedResult(seed, 0.0, purpose=Purpose.TRIAL) for seed in reference_seeds(9, 3)],
    }
    one, two = reference_seeds(1, 2)
    of_first = [
        (2, one, 1.5, 1.0), (2, two, 2.5, 2.0), (3, one, 1.7, 1.0), (3, two, 2.7, 2.0),
        (4, one, 9.0, 1.0), (4, two, 8.0, 2.0),
    ]  # fmt: skip
    of_fourth = [(5, reference_seeds(4, 2)[1], 5.5, 6.0)]
    assert sorted(pairs_of(references, published_by=7)) == of_first + of_fourth
    assert sorted(pairs_of(references, published_by=4)) == of_first
    assert sorted(pairs_of(references, published_by=1)) == of_fourth
