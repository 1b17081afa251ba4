"""The simulator of the judge: that its returns, its accounts and its intervals are right."""

import math
from concurrent.futures import ProcessPoolExecutor, ThreadPoolExecutor

import numpy as np
import pytest

from benchmarks.judge import figures, lanes, noops
from benchmarks.judge.figures import Rate, mean, rare, share
from benchmarks.judge.lanes import InLanes
from benchmarks.judge.noops import Night, Simulator
from benchmarks.judge.returns import KINDS, SPREADS, Source


@pytest.mark.parametrize("kind", KINDS)
def test_returns_have_mean_0_and_sd_1(kind: str) -> None:
    """Whatever their shape."""
    values = KINDS[kind](np.random.default_rng(4), 400_000)
    assert abs(values.mean()) < 0.01
    # The square of t(3) has no variance, so its sd settles slowly.
    assert values.std() == pytest.approx(1, abs=0.1 if kind == "t(3)" else 0.01)


def test_a_candidate_never_repeats_a_seed() -> None:
    """Fresh returns go on where the last ones ended."""
    source = Source("normal", "test", 0, 2)
    candidate = source.challenger(0, source.incumbent(0.2), 0.0)
    returns = [value for count in (1, 1, 4, 64, 100) for value in candidate.fresh(count)]
    assert len(set(returns)) == len(returns) == 170


def test_spreads_differ_only_where_they_should() -> None:
    """A heteroscedastic challenger has its own sd, within the limits; any other its incumbent's."""
    for kind in ("heteroscedastic", "normal"):
        source = Source(kind, "test", 0, 50)
        incumbent = source.incumbent(0.2)
        ratios = {source.challenger(index, incumbent, 0.1).sd / incumbent.sd for index in range(50)}
        low, high = SPREADS.get(kind, (1.0, 1.0))
        assert all(low <= ratio <= high for ratio in ratios)
        assert len(ratios) == (50 if kind in SPREADS else 1)


def test_workers_change_nothing() -> None:
    """The same outcomes from one worker, from two, and from this process."""
    settings = [Night("t(3)", planted=2, challengers=20), Night("normal", "dear", challengers=20)]
    with ProcessPoolExecutor(1) as one, ProcessPoolExecutor(2) as two:
        first, second = (list(Simulator(pool, 15).play(settings)) for pool in (one, two))
    assert first == second
    assert first[0][14] == settings[0].simulate(14)
    assert [len(outcomes) for outcomes in first] == [15, 15]
    assert len(set(first[0])) > 1


def test_what_is_planted_is_published() -> None:
    """Of ten gains of two standard deviations most are; without any nothing is gained."""
    better = [Night(planted=10).simulate(run) for run in range(4)]
    nothing = [Night().simulate(run) for run in range(4)]
    assert sum(each.gain_sd for each in better) / 4 > 6
    assert sum(each.false for each in better) <= 1
    assert all(each.gain_sd == 0 for each in nothing)
    assert all(each.evaluations > noops.CHALLENGERS for each in nothing)


@pytest.mark.parametrize("night", [
    Night(planted=10, challengers=40), Night("shared luck", "dear", planted=10, challengers=40),
])  # fmt: skip
def test_one_lane_is_the_night_itself(night: Night) -> None:
    """Stepped by the daemon's planner and experiment, the same challengers meet the same fate."""
    outcomes = [night.simulate(run) for run in range(3)]
    assert [InLanes(night, 1).simulate(run) for run in range(3)] == outcomes
    assert sum(each.moves for each in outcomes) > 10


def test_lanes_meet_the_targets_of_one() -> None:
    """A few runs of each setting miss none of them surely."""
    with ProcessPoolExecutor(2) as pool:
        table = lanes.lanes(Simulator(pool, 3))
    missed = [each for each in lanes.lanes_targets(table) if each.missed(surely=True)]
    assert not [each for each in missed if each.what.startswith("false")]
    three = table.find(returns="normal", lanes="3", better="10")
    assert three["published gain"].value > 4


def test_intervals_by_hand() -> None:
    """Wilson's for a share, wider where runs differ; Poisson's for a rare count; a mean's."""
    none = share([0] * 10, [10] * 10)
    assert (none.value, none.low) == (0.0, 0.0)
    assert none.high == pytest.approx(0.0370, abs=1e-4)
    half = share([5] * 10, [10] * 10)
    assert (half.low, half.high) == pytest.approx((0.4038, 0.5962), abs=1e-4)
    clustered = share([0, 10] * 5, [10] * 10)
    assert clustered.value == half.value
    assert clustered.low < half.low
    average = mean([1.0, 2.0, 3.0])
    assert average.high - average.value == pytest.approx(4.303 / math.sqrt(3), rel=1e-3)
    assert rare([0] * 20).low == 0
    assert rare([0] * 20).high == pytest.approx(3.689 / 20, rel=0.01)  # -ln(0.025)
    ten = rare([1] * 10)
    assert (10 * ten.low, 10 * ten.high) == pytest.approx((4.795, 18.39), rel=0.01)


def test_a_target_is_missed_beyond_its_limit() -> None:
    """By the figure, or by its whole interval where there are few runs."""
    target = figures.Target("power", Rate(0.55, 0.5, 0.65), 0.6, 1.0)
    assert target.missed(surely=False)
    assert not target.missed(surely=True)
    assert figures.Target("power", Rate(0.5, 0.4, 0.59), 0.6, 1.0).missed(surely=True)


def test_among_many_targets_one_must_be_missed_by_more() -> None:
    """By chance some lie outside their 95 % intervals; with few runs those are wider still."""
    low = Rate(0.5, 0.4, 0.59, freedom=9)
    target = figures.Target("power", low, 0.6, 1.0)
    assert target.missed(surely=True)
    assert not target.missed(surely=True, among=60)
    assert figures.Target("power", low, 0.8, 1.0).missed(surely=True, among=60)
    assert low.widened(1) == pytest.approx((0.4, 0.59))
    # The quantiles of t with 9 degrees of freedom at 0.975 and at 1 - 0.025 / 60.
    assert low.widened(60)[0] == pytest.approx(0.5 - 0.1 * 4.904 / 2.262, rel=0.01)


def test_tables_are_markdown() -> None:
    """A table is aligned, its lines are equally long."""
    with ThreadPoolExecutor(1) as pool:
        table = lanes.lanes(Simulator(pool, 1))
    lines = [line for line in table.markdown().splitlines() if line.startswith("|")]
    assert len(lines) == 2 + len(table.rows)
    assert len({len(line) for line in lines}) == 1
