"""The verdict, as the naive rule gives it."""

import math

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from orchestrator.judge import Evidence, judge
from orchestrator.records import Status

FINITE = st.floats(-10, 10)


def evidence(score: float, *by_seed: float) -> Evidence:
    return Evidence(score, {101 + 37 * index: value for index, value in enumerate(by_seed)})


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
def test_higher_by_more_than_the_effect_is_kept(
    old: float, new: float, min_effect: float, status: Status
) -> None:
    """Only a score that is higher by more than min_effect is kept."""
    assert judge(evidence(old), evidence(new), min_effect=min_effect).status is status


@settings(deadline=None)
@given(FINITE, FINITE, st.floats(0, 1))
def test_no_two_candidates_beat_each_other(one: float, two: float, effect: float) -> None:
    """Of two candidates at most one would replace the other."""
    kept = [
        judge(evidence(a), evidence(b), min_effect=effect).status
        for a, b in ((one, two), (two, one))
    ]
    assert kept.count(Status.KEEP) <= 1


@pytest.mark.parametrize(
    ("old", "new", "min_effect", "reason"),
    [
        (evidence(0.5, 0.4, 0.6), evidence(0.75, 0.5, 1.0), 0.0,
         "kept: +0.2500 ± 0.1500 over 2 seeds"),
        (evidence(0.5, 0.5), evidence(0.25, 0.25), 0.0, "discarded: -0.2500 over 1 seed"),
        (evidence(0.5, 0.5, 0.5), evidence(0.5005, 0.5005, 0.5005), 0.0,
         "kept: +0.0005 ± 0.0000 over 2 seeds"),
        (evidence(0.5), evidence(0.51), 0.02,
         "discarded: +0.0100 over 0 seeds, needs more than +0.0200"),
        (evidence(0.5), evidence(0.25), 0.02, "discarded: -0.2500 over 0 seeds"),
    ],
    ids=["spread", "one seed", "small gain", "small effect", "a loss"],
)  # fmt: skip
def test_reason_tells_the_gain_and_its_noise(
    old: Evidence, new: Evidence, min_effect: float, reason: str
) -> None:
    """The line a person reads has the gain and, where it can be had, the paired standard error."""
    assert judge(old, new, min_effect=min_effect).reason == reason


def test_only_shared_seeds_are_paired() -> None:
    """The standard error rests on the seeds that both sides have."""
    old = Evidence(0.0, {101: 0.0, 138: 0.0, 999: 5.0})
    new = Evidence(1.0, {101: 1.0, 138: 1.0, 175: 7.0})
    assert "± 0.0000" in judge(old, new, min_effect=0.0).reason
