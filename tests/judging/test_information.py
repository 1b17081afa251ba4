"""The least-squares difference of two means from partially paired samples."""

import numpy as np
import pytest

from orchestrator.judging.information import (
    IncumbentReturns,
    PartiallyPairedSamples,
    estimated_gain,
    excess_variance,
    samples_after,
)
from orchestrator.judging.reference import SeedCorrelation
from tests.judging.samples import on_seeds, paired

SEEDS = 2


@pytest.mark.parametrize("correlation", [0.0, 0.4, 0.95])
@pytest.mark.parametrize(("pairs", "own", "rest"), [(5, 0, 0), (5, 7, 3), (1, 4, 9), (0, 4, 8)])
def test_estimate_and_variance_are_those_of_generalised_least_squares(
    correlation: float, pairs: int, own: int, rest: int
) -> None:
    """As numpy solves Aitken's equations with the whole covariance matrix."""
    rng = np.random.default_rng(5)
    ours, theirs = rng.standard_normal(pairs + own), rng.standard_normal(pairs + rest)
    design = np.zeros((len(ours) + len(theirs), 2))
    design[: len(ours), 0] = design[len(ours) :, 1] = 1
    covariance = np.eye(len(design))
    for pair in range(pairs):
        covariance[pair, len(ours) + pair] = covariance[len(ours) + pair, pair] = correlation
    precision = np.linalg.inv(covariance)
    inverse = np.linalg.inv(design.T @ precision @ design)
    means = inverse @ design.T @ precision @ np.concatenate([ours, theirs])
    contrast = np.array([1, -1])

    samples = PartiallyPairedSamples(pairs, own, rest, correlation)
    assert samples.variance == pytest.approx(contrast @ inverse @ contrast)
    sums = (ours[:pairs].sum(), theirs[:pairs].sum())
    found = samples.difference(sums, ours[pairs:].sum(), theirs[pairs:].sum())
    assert found == pytest.approx(means[0] - means[1])


def test_pairs_are_counted_where_the_incumbent_was_measured() -> None:
    """The default seeds are none of them, whether it was measured there or not."""
    incumbent = IncumbentReturns(
        (1.0, 2.0, 3.0), 1.0, (9.0, None, 1.0, None, 2.0), SeedCorrelation(0.5, 10**6)
    )
    assert samples_after(2, incumbent, SEEDS) == PartiallyPairedSamples(1, 1, 2, 0.45)
    assert samples_after(4, incumbent, SEEDS) == PartiallyPairedSamples(2, 2, 1, 0.45)
    assert [incumbent.at(index) for index in (0, 1, 4, 5)] == [9.0, None, 2.0, None]


def test_uncorrelated_returns_are_compared_by_their_means() -> None:
    """Pairs tell nothing then."""
    incumbent = IncumbentReturns((1.0, 3.0), 1.0, (0.0, 0.0, 1.0, 3.0))
    assert estimated_gain(incumbent, [5.0, 5.0, 8.0], SEEDS) == 4.0


def test_a_correlated_pair_cancels_what_its_seed_gives_to_both() -> None:
    """Equal differences on every seed are the gain, however much the seeds differ."""
    reference = [-9.0, 4.0, 0.5, 7.0]
    incumbent = paired(reference, 0.9, (0.0, 0.0))
    challenger = [value + 0.25 for value in reference]
    assert estimated_gain(incumbent, challenger, SEEDS) == pytest.approx(0.25)


def test_only_a_challenger_that_varies_more_has_excess_variance() -> None:
    """By its own variance, or by that of what is left of a pair."""
    incumbent = paired([1.0, -1.0, 1.0, -1.0], 0.8, (0.0, 0.0))
    assert excess_variance(incumbent, [0.8, -0.8, 0.8, -0.8], SEEDS) == 0.0
    assert excess_variance(incumbent, [3.0, -3.0, 3.0, -3.0], SEEDS) == pytest.approx(11.0)
    assert excess_variance(incumbent, [0.8], SEEDS) == 0.0
    ours, theirs = on_seeds(np.random.default_rng(6), 400, 0.0)
    unlike = paired(theirs.tolist(), 0.8, (0.0, 0.0))
    assert excess_variance(unlike, ours.tolist(), SEEDS) == pytest.approx(1.28, abs=0.3)
