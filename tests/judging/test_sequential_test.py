"""The verdict, as each rule gives it."""

import itertools
import math
import random
from collections.abc import Sequence

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from orchestrator.config.schema import JudgeConfig
from orchestrator.core.evaluations import FRESH_SEEDS, Verdict
from orchestrator.core.records import Status
from orchestrator.judging.reference import (
    SeedCorrelation,
    Spread,
    confirm_seeds,
    reference_seeds,
    reference_wanted,
    seed_correlation,
    spread,
    validate,
)
from orchestrator.judging.sequential_test import (
    IncumbentReturns,
    judge,
    judge_naively,
    looks,
    screen_score,
)
from orchestrator.judging.student_t import t_quantile

RULES = JudgeConfig()
SEEDS = 2
YARDSTICK = IncumbentReturns((0.4, 0.6) * 32, 0.1)
"""A full reference with mean 0.5."""
MOST = RULES.max_evaluations

# Exact in binary, so that sums of them are exact too.
EIGHTHS = st.integers(-40, 40).map(lambda n: n / 8)
RETURNS = st.lists(EIGHTHS, min_size=MOST, max_size=MOST)
REFERENCE = st.lists(EIGHTHS, min_size=16, max_size=64).map(tuple)
SPREAD = st.floats(0.3, 3.0)


def settle(
    incumbent: IncumbentReturns,
    returns: Sequence[float],
    rules: JudgeConfig = RULES,
    *,
    seed_count: int = SEEDS,
) -> Verdict:
    """Ask after each return, as the daemon does."""
    for count in range(1, len(returns) + 1):
        verdict = judge(incumbent, returns[:count], rules, seed_count=seed_count)
        if verdict is not None:
            return verdict
    raise AssertionError("no verdict after all returns")


# -- sound: when it answers ------------------------------------------------------------------------


@settings(deadline=None)
@given(REFERENCE, SPREAD, RETURNS, RETURNS)
def test_a_verdict_stands_whatever_would_have_come_after(
    reference: tuple[float, ...], sd: float, returns: list[float], others: list[float]
) -> None:
    """What was not looked at does not count, and asking again gives the same answer."""
    incumbent = IncumbentReturns(reference, sd)
    verdict = settle(incumbent, returns)
    used = verdict.evaluations
    assert settle(incumbent, returns[:used] + others) == verdict
    assert judge(incumbent, tuple(returns[:used]), RULES, seed_count=SEEDS) == verdict
    assert all(
        judge(incumbent, returns[:count], RULES, seed_count=SEEDS) is None
        for count in reversed(range(1, used))
    )


@settings(deadline=None)
@given(REFERENCE, SPREAD, RETURNS)
def test_it_ends_in_the_screen_or_at_a_look(
    reference: tuple[float, ...], sd: float, returns: list[float]
) -> None:
    """Every comparison ends, with what it used and where it was decided."""
    verdict = settle(IncumbentReturns(reference, sd), returns)
    if verdict.stage == "screen":
        assert verdict.status is Status.DISCARD
        assert verdict.evaluations <= SEEDS
    else:
        assert verdict.stage == "confirm"
        assert verdict.evaluations - SEEDS in looks(RULES, SEEDS)
    assert verdict.reason.split(":")[0] in {"kept", "discarded", "inconclusive, so discarded"}


@settings(deadline=None)
@given(REFERENCE, SPREAD, RETURNS, st.sampled_from([0.25, 2.0, 1024.0]), st.integers(-64, 64))
def test_the_unit_of_the_score_does_not_matter(
    reference: tuple[float, ...], sd: float, returns: list[float], scale: float, shift: int
) -> None:
    """Scores in other units, or counted from elsewhere, are judged alike."""

    def other(value: float) -> float:
        return value * scale + shift

    before = settle(IncumbentReturns(reference, sd), returns)
    assert before.gain is not None
    assume(before.gain == 0 or abs(before.gain) > 1e-6)
    incumbent = IncumbentReturns(tuple(map(other, reference)), sd * scale)
    after = settle(incumbent, [other(value) for value in returns])
    assert (after.status, after.stage, after.evaluations, after.inconclusive) == (
        before.status, before.stage, before.evaluations, before.inconclusive
    )  # fmt: skip
    assert after.gain == pytest.approx(before.gain * scale, abs=1e-9)
    assert after.statistic == pytest.approx(before.statistic, abs=1e-6)


def test_it_looks_after_every_group_and_at_the_end() -> None:
    """The looks count fresh seeds, and the last one is where the evaluations end."""
    assert looks(RULES, 2) == (4, 8, 12, 16, 20, 24, 28, 32, 36, 38)
    assert looks(JudgeConfig(group_size=8, max_evaluations=18), 2) == (8, 16)
    assert looks(JudgeConfig(group_size=50), 2) == (38,)
    assert looks(JudgeConfig(group_size=1, max_evaluations=6), 2) == (2, 3, 4)
    assert looks(JudgeConfig(max_evaluations=2), 2) == (2,)  # which a configuration file may not


# -- sound: what it says ---------------------------------------------------------------------------


def test_a_clear_gain_is_kept_at_the_first_look() -> None:
    """Five sd better: kept after one group, and the line says by how much."""
    verdict = settle(YARDSTICK, [1.0] * MOST)
    assert verdict.status is Status.KEEP
    assert verdict.evaluations == SEEDS + RULES.group_size
    assert verdict.reason == "kept: +0.5000 ± 0.0515 over 4 fresh seeds"
    assert verdict.gain == pytest.approx(0.5)
    assert verdict.standard_error == pytest.approx(0.1 * math.sqrt(1 / 4 + 1 / 64))
    assert verdict.statistic == pytest.approx(0.5 / verdict.standard_error)
    assert verdict.boundary is not None
    assert verdict.statistic > verdict.boundary


def test_the_screen_keeps_nothing_and_counts_for_nothing() -> None:
    """However well the default seeds score, only fresh ones can keep it."""
    assert judge(YARDSTICK, [99.0, 99.0], RULES, seed_count=SEEDS) is None
    verdict = settle(YARDSTICK, [99.0, 99.0] + [0.5] * MOST)
    assert verdict.status is Status.DISCARD
    assert verdict.gain == 0.0


def test_the_screen_ends_what_does_not_promise_much() -> None:
    """Equal on the default seeds is not enough, and one that is far below is enough to stop."""
    verdict = settle(YARDSTICK, [0.5, 0.5])
    assert (verdict.stage, verdict.evaluations) == ("screen", 2)
    assert "over 2 seeds of the screen" in verdict.reason
    verdict = settle(YARDSTICK, [0.1, 9.9])
    assert (verdict.stage, verdict.evaluations) == ("screen", 1)
    assert "on 1 seed, too far below" in verdict.reason
    patient = JudgeConfig(early_stop=None)
    assert judge(YARDSTICK, [0.1], patient, seed_count=SEEDS) is None


def test_weak_evidence_is_given_up_and_called_so() -> None:
    """What will hardly be confirmed stops at a look, unless futility is 0."""
    returns = [0.7, 0.7] + [0.5] * MOST
    verdict = settle(YARDSTICK, returns)
    assert verdict.evaluations == SEEDS + RULES.group_size
    assert verdict.reason.endswith("too little to be confirmed")
    assert not verdict.inconclusive
    verdict = settle(YARDSTICK, returns, JudgeConfig(futility=0.0))
    assert verdict.evaluations == MOST
    assert verdict.inconclusive
    assert verdict.reason.startswith("inconclusive, so discarded: +0.0000 ± ")


def test_a_noisy_challenger_is_held_to_its_own_spread() -> None:
    """The same mean gain is kept when steady, and not when it varies more than the incumbent."""
    steady = settle(YARDSTICK, [1.0, 1.0] + [0.9] * MOST)
    noisy = settle(YARDSTICK, [1.0, 1.0] + [2.4, -0.6, 0.9, 0.9] * MOST)
    assert steady.status is Status.KEEP
    assert noisy.status is Status.DISCARD


def test_a_challenger_that_shares_no_luck_is_told_by_its_pairs() -> None:
    """Others may have shared most of it; where this one does not, the error is larger."""
    incumbent = [(-1.0) ** index for index in range(48)]
    incumbent = paired(incumbent, 0.8, (0.0, 0.0))
    alike = judge(incumbent, [9.0, 9.0, *(0.8 * x - 3 for x in incumbent[:4])], RULES, seed_count=2)
    unlike = judge(
        incumbent, [9.0, 9.0, *(-0.8 * x - 3 for x in incumbent[:4])], RULES, seed_count=2
    )
    assert alike is not None
    assert unlike is not None
    assert alike.standard_error is not None
    assert unlike.standard_error is not None
    assert unlike.standard_error > 1.5 * alike.standard_error


def test_a_spread_of_few_seeds_asks_for_more() -> None:
    """As Student's t does, and as for infinitely many where there is no doubt."""
    returns = [9.0, 9.0, *[0.5] * 4]

    def bound(degrees_of_freedom: float) -> float:
        incumbent = IncumbentReturns(
            YARDSTICK.returns, YARDSTICK.sd, degrees_of_freedom=degrees_of_freedom
        )
        verdict = judge(incumbent, returns, RULES, seed_count=SEEDS)
        assert verdict is not None
        assert verdict.boundary is not None
        return verdict.boundary

    assert bound(7) > bound(15) > bound(63) > bound(math.inf) > 0
    assert bound(10**9) == pytest.approx(bound(math.inf))


@pytest.mark.parametrize("before", [0.05, 0.5, 1.0])
def test_young_incumbents_are_rarely_replaced_by_nothing(before: float) -> None:
    """Whatever the incumbent before it was like: 500 no-ops that pass the screen, 12 seeds."""
    rng, kept = np.random.default_rng(17), 0
    rules = JudgeConfig(screen=0.999)
    for _ in range(500):
        own, older = rng.standard_normal(12), rng.standard_normal(48) * before
        known = spread([tuple(own), tuple(older)])
        incumbent = IncumbentReturns(
            tuple(own), known.sd, degrees_of_freedom=known.degrees_of_freedom
        )
        returns = [9.0, 9.0, *map(float, rng.standard_normal(MOST))]
        kept += settle(incumbent, returns, rules).status is Status.KEEP
    assert kept / 500 <= 0.015


def test_no_noise_at_all() -> None:
    """With sd 0 any difference decides, equality does not, and rounding is no difference."""
    silent = IncumbentReturns((0.1 + 0.2,) * 16, 0.0)
    assert settle(silent, [0.3] * MOST).status is Status.DISCARD
    assert settle(silent, [0.3 + 1e-6] * MOST).status is Status.KEEP
    assert settle(silent, [0.3 - 1e-6] * MOST).status is Status.DISCARD
    assert settle(IncumbentReturns((0.3,) * 16, 0.0), [0.1 + 0.2] * MOST).stage == "screen"
    verdict = settle(silent, [0.4, 0.4] + [0.3] * MOST)
    assert verdict.status is Status.DISCARD
    assert verdict.statistic == 0.0


@pytest.mark.parametrize(
    ("effect", "kept"), [(0.05, True), (0.2, False), ("0.5sd", True), ("2sd", False)]
)
def test_the_least_effect_is_in_points_or_in_sd(effect: float | str, kept: bool) -> None:
    """A gain that is there, but smaller than asked for, is discarded, and that is said."""
    verdict = settle(YARDSTICK, [0.65] * MOST, JudgeConfig(min_effect=effect))
    assert (verdict.status is Status.KEEP) is kept
    if not kept:
        assert "less than judge.min_effect (0.2)" in verdict.reason
        assert not verdict.inconclusive


def test_nothing_is_kept_by_a_single_fresh_seed() -> None:
    """It shows no spread of its own, and the incumbent's may be far smaller."""
    one_by_one = JudgeConfig(group_size=1)
    assert judge(YARDSTICK, [9.0, 9.0, 9.0], one_by_one, seed_count=SEEDS) is None
    verdict = judge(YARDSTICK, [9.0, 9.0, 9.0, 9.0], one_by_one, seed_count=SEEDS)
    assert verdict is not None
    assert verdict.status is Status.KEEP


@pytest.mark.parametrize(
    ("group_size", "most", "times"), [(4, 40, 100.0), (4, 40, 5.0), (2, 40, 100.0), (1, 40, 30.0)]
)
def test_a_far_noisier_challenger_is_not_kept_for_it(
    group_size: int, most: int, times: float
) -> None:
    """Against the youngest reference of an incumbent that learnt nothing, and so spreads little."""
    rules = JudgeConfig(group_size=group_size, max_evaluations=most, alpha=0.01)
    rng = random.Random(17)
    runs, kept = 1500, 0
    for _ in range(runs):
        returns = tuple(rng.gauss(0, 1 / times) for _ in range(12))
        seen = spread([returns])
        incumbent = IncumbentReturns(returns, seen.sd, degrees_of_freedom=seen.degrees_of_freedom)
        theirs = [rng.gauss(0, 1) for _ in range(most)]
        kept += settle(incumbent, theirs, rules).status is Status.KEEP
    assert kept / runs <= 0.01


def test_it_holds_its_error_rate() -> None:
    """Of challengers that are no better and passed any screen, at most about alpha are kept."""
    rules = JudgeConfig(alpha=0.05, screen=0.99, futility=0.0, early_stop=None)
    rng = np.random.default_rng(3)
    runs = 2000
    kept = 0
    for _ in range(runs):
        incumbent = IncumbentReturns(tuple(rng.standard_normal(64).tolist()), 1.0)
        returns = [9.0, 9.0, *rng.standard_normal(MOST - 2).tolist()]
        kept += settle(incumbent, returns, rules).status is Status.KEEP
    assert kept / runs <= 0.05 + 4 * math.sqrt(0.05 * 0.95 / runs)


# -- naive -----------------------------------------------------------------------------------------

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
    assert judge_naively(old, new, min_effect=min_effect).reason == reason


def test_naive_pairs_only_shared_seeds() -> None:
    """The standard error rests on the seeds that both sides have."""
    old = {101: 0.0, 138: 0.0, 999: 5.0}
    new = {101: 1.0, 138: 1.0, 175: 7.0}
    assert judge_naively(old, new, min_effect=0.0).standard_error == 0.0


# -- references ------------------------------------------------------------------------------------


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


@pytest.mark.parametrize(
    ("probability", "degrees_of_freedom", "value"),
    [
        (0.975, 1, 12.706),
        (0.975, 2, 4.303),
        (0.975, 3, 3.182),
        (0.975, 4, 2.776),
        (0.975, 10, 2.228),
        (0.975, 30, 2.042),
        (0.99, 15, 2.602),
        (0.95, 63, 1.669),
    ],
)
def test_quantiles_of_student(probability: float, degrees_of_freedom: int, value: float) -> None:
    """As the published tables have them."""
    assert t_quantile(probability, degrees_of_freedom) == pytest.approx(value, rel=0.01)


def test_the_spread_is_that_within_the_references() -> None:
    """They differ in their means, which does not count, and in their sizes, which does."""
    found = spread([(1.0, 3.0), (11.0, 13.0, 15.0)])
    assert (found.sd, found.degrees_of_freedom) == (pytest.approx(math.sqrt((2 + 8) / 3)), 3)
    assert spread([(1.0, 3.0), (7.0,)]) == Spread(math.sqrt(2), 1)
    assert spread([(7.0,), ()]) == Spread(0.0, 0)
    assert spread(iter([(1.0, 3.0)])).sd == math.sqrt(2)


def test_what_hardly_varied_before_is_not_believed() -> None:
    """A baseline that learnt nothing says nothing of an incumbent that did."""
    assert spread([(0.0, 2.0) * 4, (5.0, 5.01) * 24]) == spread([(0.0, 2.0) * 4])


def test_a_long_reference_needs_no_other() -> None:
    """How much an incumbent of long ago varied says little of this one."""
    assert spread([(0.0, 2.0) * 8, (0.0, 200.0) * 4]).sd == pytest.approx(math.sqrt(16 / 15))
    assert spread([(0.0, 2.0) * 7, (0.0, 200.0) * 4]).sd > 50


def test_the_reference_grows_with_the_challengers() -> None:
    """By a step each, up to its full size."""
    assert [reference_wanted(RULES, judged) for judged in (0, 1, 2, 13, 14, 99)] == [
        12, 13, 14, 25, 26, 48,
    ]  # fmt: skip
    at_once = JudgeConfig(reference=40, reference_first=40)
    assert reference_wanted(at_once, 0) == 40


@settings(deadline=None)
@given(st.integers(0, 10**6), st.integers(0, 10**6))
def test_no_seed_measures_two_incumbents(one: int, other: int) -> None:
    """Each has a reference of its own, away from the default seeds."""
    assume(one != other)
    seeds = reference_seeds(one, 1000)
    assert len(set(seeds)) == 1000
    assert min(seeds) >= FRESH_SEEDS
    assert set(seeds).isdisjoint(reference_seeds(other, 1000))


@given(st.integers(1, 10**6), st.integers(1, 10**6), st.integers(0, 200), st.integers(1, 200))
def test_challengers_meet_the_incumbent_on_its_own_seeds(
    n: int, scored_by: int, measured: int, count: int
) -> None:
    """First those where it was measured, then those where it would be next; none twice."""
    seeds = confirm_seeds(n, scored_by, measured, count)
    assert len(set(seeds)) == len(seeds) == count
    known = set(reference_seeds(scored_by, measured))
    assert set(seeds[:measured]) <= known
    assert seeds[measured:] == reference_seeds(scored_by, max(measured, count))[measured:count]


def test_challengers_begin_on_different_seeds() -> None:
    """Or a run would fit itself to the first of them."""
    begun = [confirm_seeds(n, 3, 48, 4)[0] for n in range(400)]
    assert set(begun) == set(reference_seeds(3, 48))


def test_more_seeds_continue_the_fewer() -> None:
    """A reference that grows keeps the seeds it has."""
    for few, many in itertools.pairwise((1, 16, 64)):
        assert reference_seeds(3, many)[:few] == reference_seeds(3, few)


# -- what candidates share -------------------------------------------------------------------------


def on_seeds(rng: np.random.Generator, count: int, shared: float) -> np.ndarray:
    """Return two candidates' returns on the same seeds, with this correlation and sd 1."""
    luck, own = rng.standard_normal((1, count)), rng.standard_normal((2, count))
    both: np.ndarray = math.sqrt(shared) * luck + math.sqrt(1 - shared) * own
    return both


def paired(
    incumbent: Sequence[float], shared: float, defaults: Sequence[float]
) -> IncumbentReturns:
    """Return an incumbent that was measured on the challenger's seeds too."""
    luck = SeedCorrelation(shared, 10**6)
    return IncumbentReturns(tuple(incumbent), 1.0, (*defaults, *incumbent), luck)


@pytest.mark.parametrize("shared", [0.0, 0.3, 0.7])
def test_shared_luck_is_found_in_the_pairs(shared: float) -> None:
    """Whatever the candidates are worth; only as sure as there are seeds."""
    rng = np.random.default_rng(11)
    pairs = []
    for n in range(60):
        ours, theirs = on_seeds(rng, 8, shared)
        rows = zip(range(8 * n, 8 * n + 8), ours + n, theirs - n, strict=True)
        pairs += [(n, seed, float(x), float(y)) for seed, x, y in rows]
    luck = seed_correlation(pairs)
    assert luck.seeds == 60 * 7  # the means of each candidate are known from nowhere else
    assert luck.correlation == pytest.approx(shared, abs=0.1)
    assert shared - 0.15 <= luck.conservative <= luck.optimistic <= shared + 0.15
    few = seed_correlation(pairs[:8])
    assert few.conservative <= few.correlation / 2
    assert seed_correlation([]).conservative == 0.0
    assert seed_correlation([]).optimistic == 0.5


def test_single_pairs_say_nothing_of_shared_luck() -> None:
    """However many there are, for each its candidate's mean is unknown."""
    single = [(n, n, float(n % 3), float(n % 5)) for n in range(30)]
    two = [(99, 98, 1.0, 1.0), (99, 99, 2.0, 2.0)]
    assert seed_correlation([*single, *two]) == SeedCorrelation(1.0, 1)
    assert seed_correlation(single).seeds == 0


def test_nothing_is_shared_without_a_difference() -> None:
    """Returns that never vary have no correlation; as little have those that hardly do."""
    assert seed_correlation([(1, seed, 0.5, 0.5) for seed in range(8)]) == SeedCorrelation()
    assert (
        seed_correlation([(1, seed, seed * 1e-85, seed * 1e-85) for seed in range(8)])
        == SeedCorrelation()
    )
    assert SeedCorrelation(1.0, 10**9).conservative < 1
    assert SeedCorrelation(1.0, 10**9).optimistic < 1


def test_lucky_default_seeds_are_no_merit() -> None:
    """Where all earn more on the default seeds, one must earn more than the incumbent did there."""
    fair = (-1.0, 1.0) * 12
    lucky = paired(fair, 0.9, (2.0, 2.0))
    assert settle(lucky, [1.8, 1.8]).stage == "screen"
    assert judge(paired(fair, 0.9, (0.0, 0.0)), [1.8, 1.8], RULES, seed_count=SEEDS) is None
    unlucky = paired(fair, 0.9, (-2.0, -2.0))
    assert judge(unlucky, [-1.0, -1.0], RULES, seed_count=SEEDS) is None
    assert settle(paired(fair, 0.0, (-2.0, -2.0)), [-1.0, -1.0]).stage == "screen"
    needed = screen_score(unlucky, RULES, SEEDS)
    assert needed == pytest.approx(screen_score(lucky, RULES, SEEDS) - 2 * 0.95 * 2, abs=0.3)


def test_the_gain_is_the_least_squares_estimate() -> None:
    """Of both means, from pairs, from seeds of the challenger alone and of the incumbent alone."""
    rng = np.random.default_rng(12)
    count, reference, shared = 12, 8, 0.6
    ours, theirs = on_seeds(rng, 20, shared)
    known = (*theirs[:5].tolist(), *[None] * 33)
    incumbent = IncumbentReturns(
        (*theirs[:5].tolist(), *theirs[12:15].tolist()), 1.0, (0.0, 0.0, *known),
        SeedCorrelation(0.61, 10**6),
    )  # fmt: skip
    returns = [9.0, 9.0, *(ours[:12] + 3).tolist()]
    rules = JudgeConfig(group_size=count, alpha=1e-6)
    verdict = judge(incumbent, returns, rules, seed_count=SEEDS)
    assert verdict is not None
    design = np.zeros((count + reference, 2))
    design[:count, 0] = design[count:, 1] = 1
    covariance = np.eye(count + reference)
    for pair in range(5):
        covariance[pair, count + pair] = covariance[count + pair, pair] = shared
    precision = np.linalg.inv(covariance)
    inverse = np.linalg.inv(design.T @ precision @ design)
    means = inverse @ design.T @ precision @ np.array([*returns[2:], *incumbent.returns])
    contrast = np.array([1, -1])
    own = np.var(returns[2:], ddof=1)
    error = math.sqrt(contrast @ inverse @ contrast + max(own - 1, 0) / count)
    assert verdict.gain == pytest.approx(means[0] - means[1])
    assert verdict.standard_error == pytest.approx(error)


@pytest.mark.parametrize("shared", [0.0, 0.6])
@pytest.mark.parametrize("measured", [8, 38])
def test_pairs_hold_the_error_rate_and_find_more(shared: float, measured: int) -> None:
    """With a reference shorter than the test and one as long; a gain is found sooner in pairs."""
    rules = JudgeConfig(alpha=0.05, screen=0.99, futility=0.0, early_stop=None)
    rng = np.random.default_rng(13)
    runs, kept, found, found_alone = 1500, 0, 0, 0
    for _ in range(runs):
        ours, theirs = on_seeds(rng, MOST - 2, shared)
        known = theirs[:measured].tolist()
        incumbent = paired(known, shared, (0.0, 0.0))
        kept += settle(incumbent, [9.0, 9.0, *ours], rules).status is Status.KEEP
        found += settle(incumbent, [9.0, 9.0, *(ours + 0.5)], rules).status is Status.KEEP
        alone = IncumbentReturns(incumbent.returns, 1.0)
        found_alone += settle(alone, [9.0, 9.0, *(ours + 0.5)], rules).status is Status.KEEP
    assert kept / runs <= 0.05 + 4 * math.sqrt(0.05 * 0.95 / runs)
    if shared:
        assert found > found_alone * 1.15
