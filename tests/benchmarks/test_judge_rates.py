"""The simulator of the judge: that its returns, its accounts and its intervals are right."""

import math
from concurrent.futures import ProcessPoolExecutor, ThreadPoolExecutor

import numpy as np
import pytest

from benchmarks.judge import lane_rates, rates
from benchmarks.judge.lanes import InLanes
from benchmarks.judge.returns import KINDS, SPREADS, Source
from benchmarks.judge.rules import welch
from benchmarks.judge.simulate import Night, Rate, Simulator, Trial, mean, share


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
    settings = [Night(kind="t(3)", keeps=10, probe_sd=1.0, challengers=20), Trial(1.0, "naive")]
    with ProcessPoolExecutor(1) as one, ProcessPoolExecutor(2) as two:
        first, second = (Simulator(pool, 45).play(settings) for pool in (one, two))
    assert first == second
    assert first[0][44] == settings[0].simulate(44)
    assert [len(outcomes) for outcomes in first] == [45, 45]
    assert len(set(first[0])) > 1


def test_evaluations_are_all_counted() -> None:
    """Without noise a no-op costs the screen, the incumbent screen and reference; none is kept."""
    found = Night(noise=0.0).simulate(0)
    assert (found.false_keeps, found.phantom_gain) == (0, 0.0)
    assert found.evaluations == 2 + 48 + 2 * 100
    gain = Trial(1.0, noise=0.0).simulate(0)
    assert (gain.kept, gain.evaluations) == (10, 10 * 40)  # no spread yet is no proof of none
    naive = Night("naive", noise=0.0).simulate(0)
    assert (naive.false_keeps, naive.evaluations) == (0, 2 * 100 + 2)


def test_planted_challengers_are_no_false_keeps() -> None:
    """They are kept, the incumbent changes as often, and each new one is measured."""
    found = Night(noise=0.0, keeps=5).simulate(0)
    assert (found.no_ops, found.false_keeps) == (95, 0)
    assert found.evaluations == 2 + 5 * (12 + 19) + 95 * 2 + 5 * 40


def test_naive_keeps_far_more_of_what_does_nothing() -> None:
    """The difference is so large that a few runs show it."""
    sound, naive = ([Night(rule).simulate(run) for run in range(10)] for rule in ("sound", "naive"))
    assert sum(each.false_keeps for each in naive) > 20
    assert sum(each.false_keeps for each in sound) <= 3
    assert min(each.phantom_gain for each in naive) > 0.05


@pytest.mark.parametrize("night", [
    Night(probe_sd=1.0), Night(kind="shared luck", keeps=10, probe_sd=2.0, planted_sd=2.0),
])  # fmt: skip
def test_one_lane_is_the_night_itself(night: Night) -> None:
    """Stepped by the daemon's planner and experiment, the same challengers meet the same fate."""
    outcomes = [night.simulate(run) for run in range(3)]
    assert [InLanes(night, 1).simulate(run) for run in range(3)] == outcomes
    assert sum(each.better_kept for each in outcomes) >= 2 * night.keeps


def test_an_idea_from_three_lanes_is_kept_once() -> None:
    """Its copies are overtaken by the first that is kept, and no better than that."""
    setting = InLanes(Night(noise=0.0, keeps=5), lanes=3, copies=2)
    outcomes = [setting.simulate(run) for run in range(4)]
    assert {(each.better_kept, each.false_keeps, each.no_ops) for each in outcomes} == {(5, 0, 95)}
    assert all(each.begun_anew >= 5 for each in outcomes)
    assert all(each.phantom_gain == 0 for each in outcomes)
    # What is repeated differs with the order, which differs from run to run.
    assert len({each.evaluations for each in outcomes}) > 1
    assert setting.simulate(3) == outcomes[3]


def test_lanes_meet_the_targets_of_one() -> None:
    """A few runs of each setting miss none of them surely."""
    with ProcessPoolExecutor(2) as pool:
        simulator = Simulator(pool, 4)
        tables = lane_rates.lanes(simulator), lane_rates.ideas(simulator)
    targets = lane_rates.lanes_targets(*tables)
    assert not [target for target in targets if target.missed(surely=True)]
    three = tables[1].find(returns="normal", lanes=3)
    assert three["begun anew in 100"].value > 5
    assert three["ideas kept"].value > 0.8


def test_welch_by_hand() -> None:
    """Means 2 and 4, variances 1, three a side: t is 2.45 at 4 degrees of freedom."""
    old, new = [1.0, 2.0, 3.0], [3.0, 4.0, 5.0]
    assert welch(old, new, 0.05)  # t(0.95, 4) = 2.132
    assert not welch(old, new, 0.025)  # t(0.975, 4) = 2.776
    assert not welch(new, old, 0.05)
    assert not welch([1.0, 1.0], [1.0, 1.0], 0.05)
    assert welch([1.0, 1.0], [2.0, 2.0], 0.05)


def test_intervals_by_hand() -> None:
    """Wilson's for a share, wider where runs differ; the normal one for a mean."""
    none = share([0] * 10, [10] * 10)
    assert (none.value, none.low) == (0.0, 0.0)
    assert none.high == pytest.approx(0.0370, abs=1e-4)
    half = share([5] * 10, [10] * 10)
    assert (half.low, half.high) == pytest.approx((0.4038, 0.5962), abs=1e-4)
    clustered = share([0, 10] * 5, [10] * 10)
    assert clustered.value == half.value
    assert clustered.low < half.low
    average = mean([1.0, 2.0, 3.0])
    assert average.high - average.value == pytest.approx(1.96 / math.sqrt(3))


def test_a_target_is_missed_beyond_its_limit() -> None:
    """By the figure, or by its whole interval where there are few runs."""
    target = rates.Target("power", Rate(0.55, 0.5, 0.65), 0.6, 1.0)
    assert target.missed(surely=False)
    assert not target.missed(surely=True)
    assert rates.Target("power", Rate(0.5, 0.4, 0.59), 0.6, 1.0).missed(surely=True)


def test_tables_are_markdown() -> None:
    """A table is aligned, its lines are equally long; without noise nothing is mistaken."""
    with ThreadPoolExecutor(1) as pool:
        table = rates.noise(Simulator(pool, 2))
    lines = [line for line in table.markdown().splitlines() if line.startswith("|")]
    assert len(lines) == 2 + len(rates.NOISES)
    assert len({len(line) for line in lines}) == 1
    silent = table.find(**{"sd of a seed": 0.0})
    assert silent["+1 sd"]["kept"].value == 1.0
    assert silent["false keeps in 100"].value == 0.0
