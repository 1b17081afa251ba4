"""The sequential test: when it has a verdict, which one, and how often it is wrong."""

import math
import random
from collections.abc import Sequence

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from orchestrator.config.schema import JudgeConfig
from orchestrator.core.evaluations import Verdict
from orchestrator.core.records import Status
from orchestrator.judging.information import IncumbentReturns
from orchestrator.judging.reference import SeedCorrelation, spread
from orchestrator.judging.rules import JudgingRules
from orchestrator.judging.sequential_test import judge, screen_score
from tests.judging.samples import on_seeds, paired

SEEDS = 2


def with_rules(**numbers: object) -> JudgingRules:
    return JudgingRules(JudgeConfig(**numbers), SEEDS)  # type: ignore[arg-type]


RULES = with_rules()
INCUMBENT = IncumbentReturns((0.4, 0.6) * 32, 0.1)
"""A full reference with mean 0.5."""
MOST = RULES.numbers.max_evaluations

# Exact in binary, so that sums of them are exact too.
EIGHTHS = st.integers(-40, 40).map(lambda n: n / 8)
RETURNS = st.lists(EIGHTHS, min_size=MOST, max_size=MOST)
REFERENCE = st.lists(EIGHTHS, min_size=16, max_size=64).map(tuple)
SPREAD = st.floats(0.3, 3.0)


def settle(
    incumbent: IncumbentReturns,
    returns: Sequence[float],
    rules: JudgingRules = RULES,
) -> Verdict:
    """Ask after each return, as the daemon does."""
    for count in range(1, len(returns) + 1):
        verdict = judge(incumbent, returns[:count], rules)
        if verdict is not None:
            return verdict
    raise AssertionError("no verdict after all returns")


# -- when it has a verdict ------------------------------------------------------------------------


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
    assert judge(incumbent, tuple(returns[:used]), RULES) == verdict
    assert all(
        judge(incumbent, returns[:count], RULES) is None for count in reversed(range(1, used))
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
        assert verdict.evaluations - SEEDS in RULES.looks()
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


# -- which verdict ---------------------------------------------------------------------------


def test_a_clear_gain_is_kept_at_the_first_look() -> None:
    """Five sd better: kept after one group, and the line says by how much."""
    verdict = settle(INCUMBENT, [1.0] * MOST)
    assert verdict.status is Status.KEEP
    assert verdict.evaluations == SEEDS + RULES.numbers.group_size
    assert verdict.reason == "kept: +0.5000 ± 0.0515 over 4 fresh seeds"
    assert verdict.gain_text == "+0.5000 ± 0.0515 over 4 fresh seeds"
    assert verdict.gain == pytest.approx(0.5)
    assert verdict.standard_error == pytest.approx(0.1 * math.sqrt(1 / 4 + 1 / 64))
    assert verdict.statistic == pytest.approx(0.5 / verdict.standard_error)
    assert verdict.boundary is not None
    assert verdict.statistic > verdict.boundary


def test_the_screen_keeps_nothing_and_counts_for_nothing() -> None:
    """However well the default seeds score, only fresh ones can keep it."""
    assert judge(INCUMBENT, [99.0, 99.0], RULES) is None
    verdict = settle(INCUMBENT, [99.0, 99.0] + [0.5] * MOST)
    assert verdict.status is Status.DISCARD
    assert verdict.gain == 0.0


def test_the_screen_ends_what_does_not_promise_much() -> None:
    """Equal on the default seeds is not enough, and one that is far below is enough to stop."""
    verdict = settle(INCUMBENT, [0.5, 0.5])
    assert (verdict.stage, verdict.evaluations) == ("screen", 2)
    assert "over 2 seeds of the screen" in verdict.reason
    verdict = settle(INCUMBENT, [0.1, 9.9])
    assert (verdict.stage, verdict.evaluations) == ("screen", 1)
    assert "on 1 seed, too far below" in verdict.reason
    patient = with_rules(early_stop=None)
    assert judge(INCUMBENT, [0.1], patient) is None


def test_weak_evidence_is_given_up_and_called_so() -> None:
    """What will hardly be confirmed stops at a look, unless futility is 0."""
    returns = [0.7, 0.7] + [0.5] * MOST
    verdict = settle(INCUMBENT, returns)
    assert verdict.evaluations == SEEDS + RULES.numbers.group_size
    assert verdict.reason.endswith("too little to be confirmed")
    assert not verdict.inconclusive
    verdict = settle(INCUMBENT, returns, with_rules(futility=0.0))
    assert verdict.evaluations == MOST
    assert verdict.inconclusive
    assert verdict.reason.startswith("inconclusive, so discarded: +0.0000 ± ")


def test_a_noisy_challenger_is_held_to_its_own_spread() -> None:
    """The same mean gain is kept when steady, and not when it varies more than the incumbent."""
    steady = settle(INCUMBENT, [1.0, 1.0] + [0.9] * MOST)
    noisy = settle(INCUMBENT, [1.0, 1.0] + [2.4, -0.6, 0.9, 0.9] * MOST)
    assert steady.status is Status.KEEP
    assert noisy.status is Status.DISCARD


def test_a_challenger_that_shares_no_luck_is_told_by_its_pairs() -> None:
    """Others may have shared most of it; where this one does not, the error is larger."""
    reference = [(-1.0) ** index for index in range(48)]
    incumbent = paired(reference, 0.8, (0.0, 0.0))
    alike = judge(incumbent, [9.0, 9.0, *(0.8 * x - 3 for x in reference[:4])], RULES)
    unlike = judge(incumbent, [9.0, 9.0, *(-0.8 * x - 3 for x in reference[:4])], RULES)
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
            INCUMBENT.returns, INCUMBENT.sd, degrees_of_freedom=degrees_of_freedom
        )
        verdict = judge(incumbent, returns, RULES)
        assert verdict is not None
        assert verdict.boundary is not None
        return verdict.boundary

    assert bound(7) > bound(15) > bound(63) > bound(math.inf) > 0
    assert bound(10**9) == pytest.approx(bound(math.inf))


@pytest.mark.parametrize("before", [0.05, 0.5, 1.0])
def test_young_incumbents_are_rarely_replaced_by_nothing(before: float) -> None:
    """Whatever the incumbent before it was like: 500 no-ops that pass the screen, 12 seeds."""
    rng, kept = np.random.default_rng(17), 0
    rules = with_rules(screen=0.999)
    for _ in range(500):
        own, older = rng.standard_normal(12), rng.standard_normal(48) * before
        estimate = spread([tuple(own), tuple(older)])
        incumbent = IncumbentReturns(
            tuple(own), estimate.sd, degrees_of_freedom=estimate.degrees_of_freedom
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
    verdict = settle(INCUMBENT, [0.65] * MOST, with_rules(min_effect=effect))
    assert (verdict.status is Status.KEEP) is kept
    if not kept:
        assert "less than judge.min_effect (0.2)" in verdict.reason
        assert not verdict.inconclusive


def test_nothing_is_kept_by_a_single_fresh_seed() -> None:
    """It shows no spread of its own, and the incumbent's may be far smaller."""
    one_by_one = with_rules(group_size=1)
    assert judge(INCUMBENT, [9.0, 9.0, 9.0], one_by_one) is None
    verdict = judge(INCUMBENT, [9.0, 9.0, 9.0, 9.0], one_by_one)
    assert verdict is not None
    assert verdict.status is Status.KEEP


@pytest.mark.parametrize(
    ("group_size", "most", "times"), [(4, 40, 100.0), (4, 40, 5.0), (2, 40, 100.0), (1, 40, 30.0)]
)
def test_a_far_noisier_challenger_is_not_kept_for_it(
    group_size: int, most: int, times: float
) -> None:
    """Against the youngest reference of an incumbent that learnt nothing, and so spreads little."""
    rules = with_rules(group_size=group_size, max_evaluations=most, alpha=0.01)
    rng = random.Random(17)
    runs, kept = 1500, 0
    for _ in range(runs):
        returns = tuple(rng.gauss(0, 1 / times) for _ in range(12))
        seen = spread([returns])
        incumbent = IncumbentReturns(returns, seen.sd, degrees_of_freedom=seen.degrees_of_freedom)
        theirs = [rng.gauss(0, 1) for _ in range(most)]
        kept += settle(incumbent, theirs, rules).status is Status.KEEP
    assert kept / runs <= 0.01


@pytest.mark.long
@pytest.mark.system
def test_it_holds_its_error_rate() -> None:
    """Of challengers that are no better and passed any screen, at most about alpha are kept."""
    rules = with_rules(alpha=0.05, screen=0.99, futility=0.0, early_stop=None)
    rng = np.random.default_rng(3)
    runs = 2000
    kept = 0
    for _ in range(runs):
        incumbent = IncumbentReturns(tuple(rng.standard_normal(64).tolist()), 1.0)
        returns = [9.0, 9.0, *rng.standard_normal(MOST - 2).tolist()]
        kept += settle(incumbent, returns, rules).status is Status.KEEP
    assert kept / runs <= 0.05 + 4 * math.sqrt(0.05 * 0.95 / runs)


# -- what candidates share -------------------------------------------------------------------------


def test_lucky_default_seeds_are_no_merit() -> None:
    """Where all earn more on the default seeds, one must earn more than the incumbent did there."""
    fair = (-1.0, 1.0) * 12
    lucky = paired(fair, 0.9, (2.0, 2.0))
    assert settle(lucky, [1.8, 1.8]).stage == "screen"
    assert judge(paired(fair, 0.9, (0.0, 0.0)), [1.8, 1.8], RULES) is None
    unlucky = paired(fair, 0.9, (-2.0, -2.0))
    assert judge(unlucky, [-1.0, -1.0], RULES) is None
    assert settle(paired(fair, 0.0, (-2.0, -2.0)), [-1.0, -1.0]).stage == "screen"
    needed = screen_score(unlucky, RULES)
    assert needed == pytest.approx(screen_score(lucky, RULES) - 2 * 0.95 * 2, abs=0.3)


def test_the_gain_is_the_least_squares_estimate() -> None:
    """Of both means, from pairs, from seeds of the challenger alone and of the incumbent alone."""
    rng = np.random.default_rng(12)
    count, reference, shared = 12, 8, 0.6
    ours, theirs = on_seeds(rng, 20, shared)
    on_its_seeds = (*theirs[:5].tolist(), *[None] * 33)
    incumbent = IncumbentReturns(
        (*theirs[:5].tolist(), *theirs[12:15].tolist()), 1.0, (0.0, 0.0, *on_its_seeds),
        SeedCorrelation(0.61, 10**6),
    )  # fmt: skip
    returns = [9.0, 9.0, *(ours[:12] + 3).tolist()]
    rules = with_rules(group_size=count, alpha=1e-6)
    verdict = judge(incumbent, returns, rules)
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


@pytest.mark.long
@pytest.mark.system
@pytest.mark.parametrize("shared", [0.0, 0.6])
@pytest.mark.parametrize("measured", [8, 38])
def test_pairs_hold_the_error_rate_and_find_more(shared: float, measured: int) -> None:
    """With a reference shorter than the test and one as long; a gain is found sooner in pairs."""
    rules = with_rules(alpha=0.05, screen=0.99, futility=0.0, early_stop=None)
    rng = np.random.default_rng(13)
    runs, kept, found, found_alone = 1500, 0, 0, 0
    for _ in range(runs):
        ours, theirs = on_seeds(rng, MOST - 2, shared)
        incumbent = paired(theirs[:measured].tolist(), shared, (0.0, 0.0))
        kept += settle(incumbent, [9.0, 9.0, *ours], rules).status is Status.KEEP
        found += settle(incumbent, [9.0, 9.0, *(ours + 0.5)], rules).status is Status.KEEP
        alone = IncumbentReturns(incumbent.returns, 1.0)
        found_alone += settle(alone, [9.0, 9.0, *(ours + 0.5)], rules).status is Status.KEEP
    assert kept / runs <= 0.05 + 4 * math.sqrt(0.05 * 0.95 / runs)
    if shared:
        assert found > found_alone * 1.15
