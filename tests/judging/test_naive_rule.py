"""The rule of the public loops: what it keeps, and what it says."""

import math

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from orchestrator.core.records import Status
from orchestrator.judging.naive_rule import judge_naively

FINITE = st.floats(-10, 10)


def by_seed(*returns: float) -> dict[int, float]:
    return {101 + 37 * index: value for index, value in enumerate(returns)}


@pytest.mark.parametrize(
    ("old", "new", "min_effect", "status"),
    [
        (0.5, 0.6, 0.0, Status.KEEP),
        (0.5, 0.5, 0.0, Status.DISCARD),
        (0.5, 0.4, 0.0, Status.DISCARD),
        (-0.5, -0.4, 0.0, Status.KEEP),
        (0.5, math.nextafter(0.5, 1), 0.0, Status.KEEP),
        (0.25, 0.5, 0.25, Status.DISCARD),
        (0.25, 0.5, 0.2, Status.KEEP),
        (0.5, math.nan, 0.0, Status.DISCARD),
        (math.nan, 0.5, 0.0, Status.DISCARD),
    ],
)
def test_naive_keeps_what_is_higher_by_more_than_the_effect(
    old: float, new: float, min_effect: float, status: Status
) -> None:
    """Only a score that is higher by more than min_effect is kept."""
    assert judge_naively(by_seed(old), by_seed(new), min_effect=min_effect).status is status


@settings(deadline=None)
@given(FINITE, FINITE, st.floats(0, 1))
def test_no_two_candidates_beat_each_other(one: float, two: float, effect: float) -> None:
    """Of two candidates at most one would replace the other."""
    kept = [
        judge_naively(by_seed(a), by_seed(b), min_effect=effect).status
        for a, b in ((one, two), (two, one))
    ]
    assert kept.count(Status.KEEP) <= 1


@pytest.mark.parametrize(
    ("old", "new", "min_effect", "reason"),
    [
        (by_seed(0.4, 0.6), by_seed(0.5, 1.0), 0.0, "kept: +0.2500 ± 0.1500 over 2 seeds"),
        (by_seed(0.5), by_seed(0.25), 0.0, "discarded: -0.2500 over 1 seed"),
        (by_seed(0.5, 0.5), by_seed(0.5005, 0.5005), 0.0, "kept: +0.0005 ± 0.0000 over 2 seeds"),
        (by_seed(0.5), by_seed(0.51), 0.02,
         "discarded: +0.0100 over 1 seed, needs more than +0.0200"),
        (by_seed(0.5), by_seed(0.25), 0.02, "discarded: -0.2500 over 1 seed"),
    ],
    ids=["spread", "one seed", "small gain", "small effect", "a loss"],
)  # fmt: skip
def test_naive_tells_the_gain_and_its_noise(
    old: dict[int, float], new: dict[int, float], min_effect: float, reason: str
) -> None:
    """The line a person reads has the gain and, where it can be had, the paired standard error."""
    verdict = judge_naively(old, new, min_effect=min_effect)
    assert verdict.reason == reason
    assert reason.startswith((f"kept: {verdict.gain_text}", f"discarded: {verdict.gain_text}"))


def test_naive_pairs_only_shared_seeds() -> None:
    """The standard error rests on the seeds that both sides have."""
    old = {101: 0.0, 138: 0.0, 999: 5.0}
    new = {101: 1.0, 138: 1.0, 175: 7.0}
    assert judge_naively(old, new, min_effect=0.0).standard_error == 0.0
