"""The trial of a lead: how often it proves what is none, what it proves, and when it looks."""

import math
import random
from collections.abc import Sequence
from functools import cache

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from orchestrator.config.schema import JudgeConfig
from orchestrator.judging.boundaries import boundaries
from orchestrator.judging.gains import NO_SPREAD, Spread, gain
from orchestrator.judging.rules import JudgingRules
from orchestrator.judging.trial import Trial, planned_looks, trial
from tests.judging.samples import on_seeds

SHIPPED_ONCE = {"alpha": 0.02, "reference_first": 12}
"""Numbers that these tests rest on, whatever is shipped."""


def rules(**numbers: object) -> JudgingRules:
    return JudgingRules(JudgeConfig(**SHIPPED_ONCE | numbers), 2)  # type: ignore[arg-type]


RULES = rules()
LOOKS = planned_looks(RULES)
MOST = LOOKS[-1].seeds
EIGHTHS = st.integers(-16, 16).map(lambda n: n / 8)
RETURNS = st.lists(EIGHTHS, min_size=MOST, max_size=MOST)


SPREAD = Spread(1.0, 99)


def settle(
    lead: Sequence[float], published: Sequence[float], spread: Spread = SPREAD, **numbers: object
) -> Trial:
    """Return the trial on all seeds of the last look."""
    return trial(lead, published, spread, rules(**numbers))


# -- looks -----------------------------------------------------------------------------------------


def test_each_look_has_its_own_seeds_of_both_sides() -> None:
    """Four of the lead and a dozen of the published candidate, then as many of both."""
    sizes = [(look.seeds, look.reference) for look in LOOKS]
    assert sizes == [(4, 12), (8, 12), (12, 12), *((n, n) for n in range(16, 41, 4))]
    information = [look.information for look in LOOKS]
    assert information == sorted(set(information))
    assert information[0] == pytest.approx((2 / 40) / (1 / 4 + 1 / 12))
    assert information[-1] == 1.0


def test_pairs_are_as_many_of_one_side_as_of_the_other() -> None:
    """Differences need both returns, so the first look has four of each."""
    sizes = [(look.seeds, look.reference) for look in planned_looks(RULES, by_pairs=True)]
    assert sizes == [(n, n) for n in range(4, 41, 4)]


def test_the_boundaries_are_those_of_the_information() -> None:
    """And of `judge.alpha`: with less of it each look asks for more."""
    shares = tuple(look.information for look in LOOKS)
    assert tuple(look.boundary for look in LOOKS) == boundaries(shares, 0.02)
    half = planned_looks(RULES.share_of_alpha(0.5))
    assert all(a.boundary > b.boundary for a, b in zip(half, LOOKS, strict=True))


@settings(deadline=None, max_examples=60)
@given(RETURNS, RETURNS, st.booleans())
def test_each_look_is_taken_once(lead: list[float], published: list[float], by_pairs: bool) -> None:
    """Further seeds change nothing before the next look, and nothing at all after a proof."""
    looks = planned_looks(RULES, by_pairs=by_pairs)
    proven: Trial | None = None
    for look, after in zip(looks, (*looks[1:], None), strict=True):
        last = after.seeds if after else look.seeds + 1
        found = [
            trial(lead[:count], published[: max(look.reference, count)], NO_SPREAD, RULES,
                  by_pairs=by_pairs)
            for count in range(look.seeds, last)
        ]  # fmt: skip
        assert all((each.passed, each.at) == (found[0].passed, found[0].at) for each in found)
        if proven is None and found[0].passed:
            assert found[0].at == look
            proven = found[0]
        if proven is not None:
            assert found == [proven] * len(found)
        else:
            assert all(each.next == after for each in found)


@pytest.mark.parametrize(("lead", "published"), [(0, 12), (3, 12), (4, 11), (4, 0), (40, 3)])
def test_no_look_is_taken_before_both_sides_have_its_seeds(lead: int, published: int) -> None:
    """However clear it is."""
    found = trial([9.0, 9.5] * 20, [0.0, 0.5] * 20, NO_SPREAD, RULES)
    assert found.at == LOOKS[0]
    early = trial(([9.0, 9.5] * 20)[:lead], ([0.0, 0.5] * 20)[:published], NO_SPREAD, RULES)
    assert (early.passed, early.next) == (None, LOOKS[0])


def test_what_comes_after_a_look_does_not_change_its_gain() -> None:
    """Seeds of the published candidate beyond those of the look are not used."""
    found = trial([9.0, 9.5] * 2 + [-99.0] * 3, [0.0, 0.5] * 6 + [99.0] * 9, NO_SPREAD, RULES)
    assert found.passed == gain([9.0, 9.5] * 2, [0.0, 0.5] * 6, NO_SPREAD)
    assert (found.at, found.next, found.chance) == (LOOKS[0], None, 1.0)


# -- error rates -----------------------------------------------------------------------------------

TRIALS, ALPHA = 1500, 0.05
NOISE = 4 * math.sqrt(ALPHA * (1 - ALPHA) / TRIALS)


@cache
def proven(
    effect: float,
    lead_sd: float = 1.0,
    shared: float = 0.0,
    *,
    by_pairs: bool = False,
    count: int = TRIALS,
) -> float:
    """Return the share of simulated trials that are passed, with an sd of 1 on the other side."""
    rng = np.random.default_rng(17)
    passed, own = 0, rules(alpha=ALPHA)
    for _ in range(count):
        lead, published = on_seeds(rng, MOST, shared)
        values = (effect + lead_sd * lead).tolist()
        found = trial(values, published.tolist(), NO_SPREAD, own, by_pairs=by_pairs)
        passed += found.passed is not None
    return passed / count


@pytest.mark.parametrize("lead_sd", [0.2, 1.0, 4.0])
def test_what_is_no_better_is_proven_as_often_as_alpha_says(lead_sd: float) -> None:
    """At any of the looks together, however much either side varies."""
    assert proven(0.0, lead_sd) <= ALPHA + NOISE


@pytest.mark.parametrize("by_pairs", [True, False])
def test_common_seeds_do_not_raise_the_error(by_pairs: bool) -> None:
    """Neither where differences are tested nor where that is not known to pay."""
    assert proven(0.0, shared=0.7, by_pairs=by_pairs) <= ALPHA + NOISE


def test_what_is_worse_is_hardly_ever_proven() -> None:
    """By a fifth of a standard deviation."""
    assert proven(-0.2, count=500) <= 0.02


def test_gains_are_proven() -> None:
    """One standard deviation nearly always; the sooner by differences where luck is shared."""
    assert proven(1.0, count=200) >= 0.95
    assert proven(0.3, count=200) <= 0.7
    assert proven(0.3, shared=0.9, by_pairs=True, count=200) >= 0.95


def test_skewed_returns_are_proven_hardly_more_often() -> None:
    """Most seeds learn nothing and a few learn all: the mean of few seeds is far from normal."""
    rng = random.Random(5)
    own = rules(alpha=ALPHA)
    passed = 0
    for _ in range(TRIALS):
        lead, published = ([float(rng.random() < 0.2) for _ in range(MOST)] for _ in range(2))
        passed += trial(lead, published, NO_SPREAD, own).passed is not None
    assert passed / TRIALS <= 1.5 * ALPHA


# -- the least effect, and no noise ----------------------------------------------------------------


@pytest.mark.parametrize(
    ("effect", "is_proven"),
    [(0.0, True), (0.9, True), (1.1, False), ("0.9sd", True), ("1.1sd", False)],
)
def test_the_least_effect_is_in_points_or_in_sd(effect: float | str, is_proven: bool) -> None:
    """A gain of 1 that is there beyond doubt, where one seed's standard deviation is 1."""
    found = settle([1.0, 1.01] * 20, [0.0, 0.01] * 20, min_effect=effect)
    assert (found.passed is not None) is is_proven


def test_no_noise_at_all_is_believed_at_the_last_look() -> None:
    """Equal returns on a few seeds prove nothing; on all of them any difference decides."""
    for value, is_proven in ((0.6, True), (0.5, False), (0.4, False)):
        assert (settle([value] * MOST, [0.5] * MOST, NO_SPREAD).passed is not None) is is_proven
        early = settle([value] * (MOST - 1), [0.5] * MOST, NO_SPREAD)
        assert (early.passed, early.next) == (None, LOOKS[-1])
    assert settle([0.6] * MOST, [0.5] * MOST, NO_SPREAD, min_effect=0.2).passed is None


# -- the chance to pass ----------------------------------------------------------------------------


@given(st.lists(EIGHTHS, min_size=1, max_size=3), st.lists(EIGHTHS, min_size=1, max_size=11),
       st.integers(1, 40).map(lambda n: n / 8))  # fmt: skip
def test_the_chance_rises_with_the_gain(
    lead: list[float], published: list[float], more: float
) -> None:
    """The same seeds, each with so much more."""
    less = trial(lead, published, Spread(1.0, 9), RULES).chance
    higher = trial([value + more for value in lead], published, Spread(1.0, 9), RULES).chance
    assert 0 <= less <= higher <= 1
    assert less == higher == 1 or less < higher or higher < 1e-12


def test_without_seeds_there_is_no_chance() -> None:
    """Of either side; and without any noise it is sure or none."""
    assert trial([], [0.5] * 12, Spread(1.0, 9), RULES).chance == 0.0
    assert trial([0.5] * 3, [], Spread(1.0, 9), RULES).chance == 0.0
    assert trial([0.6] * 3, [0.5] * 3, NO_SPREAD, RULES).chance == 1.0
    assert trial([0.5] * 3, [0.5] * 3, NO_SPREAD, RULES).chance == 0.0


def test_a_trial_that_was_lost_is_over() -> None:
    """There is no look left, and no chance."""
    assert settle([0.0, 1.0] * 20, [0.0, 1.0] * 20) == Trial()


def test_the_chance_is_about_how_often_it_passes() -> None:
    """Of many leads with the same evidence, as likely to be better as it says; by simulation.

    What leads are worth is drawn evenly far and wide, as the prediction takes it to be.
    """
    rng = np.random.default_rng(23)
    outcomes: list[tuple[float, bool]] = []
    for _ in range(3000):
        effect = rng.uniform(-3, 3)
        lead, published = rng.standard_normal(MOST) + effect, rng.standard_normal(MOST)
        chance = trial(lead[:3].tolist(), published[:12].tolist(), Spread(1.0, 99), RULES).chance
        if 0.3 <= chance <= 0.7:
            passed = trial(lead.tolist(), published.tolist(), NO_SPREAD, RULES).passed
            outcomes.append((chance, passed is not None))
    said, came = (float(np.mean(side)) for side in zip(*outcomes, strict=True))
    assert said == pytest.approx(came, abs=0.15)


def test_a_trial_by_pairs_is_worth_going_on_where_pairs_say_so() -> None:
    """Its chance is told by the test that it will take, not by two means with shared luck."""
    luck = [3.0, -2.0, 1.0, -3.0, 2.0, -1.0]
    lead = [value + 0.5 + 0.05 * (-1) ** n for n, value in enumerate(luck)]
    apart = trial(lead, luck, SPREAD, RULES)
    paired = trial(lead, luck, SPREAD, RULES, by_pairs=True)
    assert apart.chance < 0.5
    assert paired.passed is not None or paired.chance > 0.9
    three = trial(lead[:3], luck, SPREAD, RULES, by_pairs=True)
    assert three.passed is None
    assert three.chance > 0.9
