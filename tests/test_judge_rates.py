"""The simulator of the judge: that its returns, its accounts and its intervals are right."""

import json
import math
from concurrent.futures import ProcessPoolExecutor, ThreadPoolExecutor

import numpy as np
import pytest

from benchmarks.judge import ladder as ladder_tables
from benchmarks.judge import tables
from benchmarks.judge.ascent import (
    FIRST_RUNG,
    LADDER,
    Agent,
    Climb,
    Expedition,
    noise,
    only,
    true_score,
)
from benchmarks.judge.ladder import WAYS
from benchmarks.judge.returns import KINDS, SPREADS, Source
from benchmarks.judge.rules import welch
from benchmarks.judge.simulate import Night, Rate, Simulator, Trial, mean, share
from orchestrator.config.schema import JudgeConfig
from orchestrator.core.records import Rung
from orchestrator.judging.sequential_test import detectable


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
    target = tables.Target("power", Rate(0.55, 0.5, 0.65), 0.6, 1.0)
    assert target.missed(surely=False)
    assert not target.missed(surely=True)
    assert tables.Target("power", Rate(0.5, 0.4, 0.59), 0.6, 1.0).missed(surely=True)


def test_tables_are_markdown_and_json() -> None:
    """A table is aligned, its lines are equally long, and its figures survive in JSON."""
    with ThreadPoolExecutor(1) as pool:
        table = tables.noise(Simulator(pool, 2))
    lines = [line for line in table.markdown().splitlines() if line.startswith("|")]
    assert len(lines) == 2 + len(tables.NOISES)
    assert len({len(line) for line in lines}) == 1
    figures = json.loads(tables.as_json([table], 2))
    silent = figures["tables"]["noise"][0]
    assert silent["+1 sd"]["kept"]["value"] == 1.0
    assert silent["false keeps in 100"]["value"] == 0.0


# -- the ladder ------------------------------------------------------------------------------------


def test_the_task_rises_with_quality_and_training_and_its_noise_falls() -> None:
    """And the noise is what was measured at two rungs."""
    assert true_score(0.0, LADDER[0]) == pytest.approx(1 - 5**-0.25)  # 12 episodes: 4 times 3
    for level in (-1.0, 0.0, 1.0, 2.0):
        scores = [true_score(level, rung) for rung in LADDER]
        assert scores == sorted(set(scores))
        assert all(true_score(level + 0.1, rung) > true_score(level, rung) for rung in LADDER)
    assert noise(Rung(12, 8)) == pytest.approx(0.141)
    assert noise(Rung(64, 12)) == pytest.approx(0.034, abs=0.001)
    spreads = [noise(rung) for rung in LADDER]
    assert spreads == sorted(spreads, reverse=True)


def test_proposals_are_the_same_whatever_decides() -> None:
    """Mostly no better; the steps of a run depend on its number alone."""
    one, other = Agent("normal", 3, 500), Agent("t(3)", 3, 500)
    start = one.first()
    levels = [one.propose(start).level for _ in range(500)]
    assert levels == [other.propose(start).level for _ in range(500)]
    assert 25 < sum(level > 0 for level in levels) < 75
    assert 100 < sum(level < 0 for level in levels) < 200


def test_a_run_spends_exactly_what_it_may() -> None:
    """All ways spend the same; only the public loop's stays where every experiment costs two."""
    for rule, budget in WAYS.values():
        found = Expedition(rule, budget=budget, episodes=3000).simulate(1)
        assert sum(found.episodes) == 3000
        assert found == Expedition(rule, budget=budget, episodes=3000).simulate(1)
        assert found.false_keeps <= min(found.keeps, found.no_better)
    public = Expedition("naive", budget=FIRST_RUNG, episodes=3000).simulate(1)
    assert (public.experiments[0], public.rung, public.climbs) == (124, LADDER[0], ())
    assert public.on_incumbents == 24


def test_a_climb_pays_for_its_baseline_and_its_reference() -> None:
    """Two default seeds and 12 of the reference at each rung; one challenger ends at the screen."""
    found = Expedition(budget=only("patience", 1), episodes=12 * (2 + 12 + 2) + 32 * 14).simulate(0)
    assert found.climbs == (Climb(LADDER[0], "patience"),)
    assert found.experiments[0] == 1
    assert found.on_incumbents == 12 * 14 + sum(found.episodes[1:])


@pytest.mark.parametrize("condition", ["min_keeps", "patience", "max_solve_rate"])
def test_a_condition_climbs_at_its_value_and_not_before(condition: str) -> None:
    """With only that one on."""
    value = {"min_keeps": 1, "patience": 5, "max_solve_rate": 0.4}[condition]
    setting = Expedition(budget=only(condition, value), watched=condition)
    found = [setting.simulate(run) for run in range(4)]
    climbs = [climb for ascent in found for climb in ascent.climbs]
    assert {climb.why for climb in climbs} == {condition}
    assert all(climb.gauge is not None and climb.gauge >= value for climb in climbs)
    assert all(ascent.stayed_at is None or ascent.stayed_at < value for ascent in found)


def test_a_blind_rung_is_left_and_one_that_sees_is_not() -> None:
    """An absolute effect between what the first and the second rung find; 0 blinds no rung."""
    first, second = (detectable(noise(rung), JudgeConfig(), seed_count=2) for rung in LADDER[:2])
    effect = (first + second) / 2
    blind = only("climb_when_blind", True)
    (climb,) = Expedition(budget=blind, changes=(("min_effect", effect),)).simulate(0).climbs
    assert climb == Climb(LADDER[0], "climb_when_blind")
    assert Expedition(budget=blind).simulate(0).climbs == ()


def test_the_naive_rule_climbs_by_keeps_and_patience_alone() -> None:
    """It measures nothing that could tell of spread or solve rate."""
    for condition, value in (("max_solve_rate", 0.1), ("climb_when_blind", True)):
        found = Expedition("naive", budget=only(condition, value), episodes=3000).simulate(0)
        assert (found.climbs, found.rung) == ((), LADDER[0])
    assert Expedition("naive", episodes=3000).simulate(0).climbs


def test_ladder_tables(monkeypatch: pytest.MonkeyPatch) -> None:
    """Every way under all returns, the public loop's beside itself, and shares that add up."""
    monkeypatch.setattr(ladder_tables, "TOTALS", (2000,))
    with ThreadPoolExecutor(1) as pool:
        simulator = Simulator(pool, 2)
        found = {table.key: table for table in ladder_tables.ladder(simulator)}
        found["ladder-patience"] = ladder_tables.patience(simulator)
    rows = found["ladder"].rows
    assert len(rows) == len(ladder_tables.KINDS) * len(WAYS)
    assert all(row["ahead"].value == 0 for row in rows if row["way"].startswith("public"))
    for way in WAYS:
        shares = [row["share"].value for row in found["ladder-rungs"].rows if row["way"] == way]
        assert sum(shares) == pytest.approx(1)
    assert found["ladder-conditions"].find(only="none")["climbs"] == {}
    for table in found.values():
        lines = [line for line in table.markdown().splitlines() if line.startswith("|")]
        assert len({len(line) for line in lines}) == 1
    assert json.loads(tables.as_json(found.values(), 2))["tables"]["ladder-totals"]
