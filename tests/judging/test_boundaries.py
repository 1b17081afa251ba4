"""Boundaries of the group sequential test: what is published, and what chance says."""

import itertools
import math
from collections.abc import Sequence
from statistics import NormalDist

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from orchestrator.judging.boundaries import boundaries, fractions


@pytest.mark.parametrize("alpha", [1e-6, 0.002, 0.025, 0.2])
def test_one_look_is_the_plain_test(alpha: float) -> None:
    """With a single look the boundary is the normal quantile."""
    assert boundaries((1.0,), alpha) == pytest.approx((NormalDist().inv_cdf(1 - alpha),))


def test_published_boundaries() -> None:
    """Three even looks at 0.025 and gamma -4: 3.011, 2.547 and 1.999, as gsDesign documents them."""
    assert boundaries((1 / 3, 2 / 3, 1.0), 0.025) == pytest.approx((3.011, 2.547, 1.999), abs=0.005)


def variances(looks: Sequence[int], reference: int) -> list[float]:
    """Of the difference of two means: so many samples at each look, and of the other side."""
    return [1 / look + 1 / reference for look in looks]


@pytest.mark.parametrize("reference", [16, 64])
@pytest.mark.parametrize("alpha", [0.002, 0.05])
@pytest.mark.parametrize("looks", [(4, 8, 12, 16, 20, 22), (8, 16, 22), (1, 2, 3, 4)])
def test_all_looks_together_reject_as_often_as_alpha(
    looks: tuple[int, ...], alpha: float, reference: int
) -> None:
    """Where there is no gain, the chance to reject at any look is alpha: by simulation."""
    count = 400_000
    shares = fractions(variances(looks, reference))
    steps = np.sqrt(np.diff(shares, prepend=0.0))
    rng = np.random.default_rng(7)
    motion = np.cumsum(rng.standard_normal((count, len(looks))) * steps, axis=1)
    rejected = (motion / np.sqrt(shares) > boundaries(shares, alpha)).any(axis=1).mean()
    assert abs(rejected - alpha) < 4 * math.sqrt(alpha * (1 - alpha) / count)


def test_two_means_reject_as_often_as_alpha() -> None:
    """The same with real samples of one side against a reference of the other."""
    looks, reference, alpha, count = (4, 8, 12), 16, 0.02, 100_000
    rng = np.random.default_rng(8)
    other = rng.standard_normal((count, reference)).mean(axis=1)
    sums = np.cumsum(rng.standard_normal((count, looks[-1])), axis=1)
    rejected = np.zeros(count, bool)
    for look, bound in zip(
        looks, boundaries(fractions(variances(looks, reference)), alpha), strict=True
    ):
        gain = sums[:, look - 1] / look - other
        rejected |= gain / math.sqrt(1 / look + 1 / reference) > bound
    assert abs(rejected.mean() - alpha) < 4 * math.sqrt(alpha * (1 - alpha) / count)


@settings(deadline=None, max_examples=50)
@given(st.integers(1, 8), st.integers(1, 6), st.integers(16, 128), st.floats(1e-4, 0.05))
def test_early_looks_ask_for_more(group: int, count: int, reference: int, alpha: float) -> None:
    """Bounds fall from look to look, as O'Brien and Fleming's, and never below a single look's."""
    looks = tuple(range(group, group * count + 1, group))
    found = boundaries(fractions(variances(looks, reference)), alpha)
    # The first steps of a small reference are the largest: there the grid's error shows.
    assert all(b < a + 0.01 for a, b in itertools.pairwise(found))
    assert found[-1] >= NormalDist().inv_cdf(1 - alpha) - 1e-9


def test_looks_with_nothing_new_change_nothing() -> None:
    """However small a step is beside the grid, no chance comes out of it."""
    fine = boundaries((0.5, *(0.5 + step * 1e-4 for step in range(1, 60)), 1.0), 0.01)
    assert fine[-1] == pytest.approx(boundaries((0.5, 1.0), 0.01)[-1], abs=0.02)


@given(st.integers(2, 10), st.integers(1, 1000))
def test_information_grows_to_one(count: int, reference: int) -> None:
    """The fractions rise to exactly 1, whatever the reference."""
    shares = fractions(variances(range(1, count + 1), reference))
    assert shares[-1] == 1.0
    assert all(0 < a < b for a, b in itertools.pairwise(shares))


def test_information_of_two_means() -> None:
    """Half the seeds of one side are half the information only if the other side is large."""
    assert fractions(variances((5, 10), 10)) == pytest.approx((2 / 3, 1.0))
    assert fractions(variances((5, 10), 10**9)) == pytest.approx((0.5, 1.0))
