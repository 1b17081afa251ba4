"""Challengers that change the ruler, judged by what both rulers agree on."""

import random
from collections.abc import Callable
from dataclasses import replace

import pytest

from orchestrator.config.schema import JudgeConfig
from orchestrator.core.evaluations import SeedResult, Verdict
from orchestrator.core.records import Files, Rung, Status
from orchestrator.judging.candidate_evidence import (
    CandidateEvidence,
    SearchEvidence,
    gathered,
)
from orchestrator.judging.challenger_test import ChallengerTest, challenger_test
from orchestrator.judging.reference import default_seeds, reference_seeds
from orchestrator.judging.rules import JudgingRules
from tests.fakes import ruler_comparison
from tests.judging.samples import PUBLISHED, candidate

RUNG = Rung(12, 8)
BEFORE, AFTER = Files("R = 1\n", "T = 1\n"), Files("R = 2\n", "T = 1\n")
SEEDS = default_seeds(2)
SD, SOLVED = 0.2, 0.6


def rules(**numbers: object) -> JudgingRules:
    return JudgingRules(JudgeConfig(**numbers), 2)  # type: ignore[arg-type]


SOUND, NAIVE = rules(), rules(rule="naive")


def rate(rng: random.Random, chance: float) -> float:
    return sum(rng.random() < chance for _ in range(8)) / 8


def evidence(
    rng: random.Random, *, count: int = 24, sd: float = SD, solved: float = SOLVED
) -> CandidateEvidence:
    """Return a lead that earns 0.5 and solves this share; exactly, where `sd` is 0."""

    def seed(number: int) -> SeedResult:
        return SeedResult(number, 0.5 + sd * rng.gauss(0, 1), rate(rng, solved) if sd else solved)

    fresh = [seed(number) for number in reference_seeds(PUBLISHED, count)]
    screen = [seed(number) for number in SEEDS]
    scores = {result.seed: result.value or 0.0 for result in screen}
    return candidate(3, screen, fresh, scores_by_seed=scores, files=BEFORE)


def search_of(lead: CandidateEvidence) -> SearchEvidence:
    return replace(gathered(lead, (), {}, {}, {}), eval_episodes=8)


def challenge(lead: CandidateEvidence, numbers: JudgingRules, **search: object) -> ChallengerTest:
    evidence = search_of(lead)
    ours = evidence.numbers.model_copy(update=search)
    test = challenger_test(replace(evidence, numbers=ours), RUNG, numbers, AFTER)
    assert test.plan.compared_with == BEFORE
    return test


def settle(test: ChallengerTest, draw: Callable[[int], SeedResult]) -> tuple[Verdict, int]:
    """Ask after each seed, as the engine does; return the verdict and the seeds that it took."""
    results: list[SeedResult] = []
    for number in test.plan.order:
        results.append(draw(number))
        verdict = test.verdict(results)
        if verdict is not None:
            scores = {one.seed: one.value or 0.0 for one in results if one.seed in SEEDS}
            return test.final_verdict(verdict, scores, results), len(results)
    raise AssertionError("no verdict on all seeds of the plan")


def drawn(
    rng: random.Random,
    changes: str = "reward",
    *,
    value: float = 9.0,
    there: float = 0.5,
    solved: float = SOLVED,
) -> Callable[[int], SeedResult]:
    """Return a challenger by its means, with the incumbent's noise."""

    def draw(number: int) -> SeedResult:
        noise = SD * rng.gauss(0, 1)
        comparison = ruler_comparison(changes, there=there + noise)
        return SeedResult(number, value + noise, rate(rng, solved), compared=comparison)

    return draw


# -- one challenger --------------------------------------------------------------------------------


def test_the_seeds_do_not_depend_on_what_changed() -> None:
    """Nothing stops a training by its curve, though, where the environments are other code."""
    incumbent = evidence(random.Random(1))
    same = challenger_test(search_of(incumbent), RUNG, SOUND, replace(BEFORE, train="T = 2\n"))
    other = challenge(incumbent, SOUND)
    assert same.plan.compared_with is None
    assert same.plan.order == other.plan.order
    assert same.plan.checkpoints
    assert other.plan.checkpoints == ()
    curves = [SeedResult(101, 0.5, curve=(0.5,) * 12) for _ in range(20)]
    assert same.judge_curve((-50.0,) * 6, curves) is not None
    assert other.judge_curve((-50.0,) * 6, curves) is None


@pytest.mark.parametrize("numbers", [SOUND, NAIVE], ids=["sound", "naive"])
@pytest.mark.parametrize(
    ("there", "solved", "kept_by"),
    [
        (0.5, 0.6, None),  # three times the shaping
        (0.0, 0.2, None),  # a bonus for stalling
        (9.0, 0.1, None),  # by no reward is a fall of the solve rate a gain
        (2.5, 0.6, "return by the former reward"),
        (0.2, 1.0, "solve rate"),  # a bonus taken out again
    ],
)
def test_a_gain_is_what_both_rewards_agree_on(
    numbers: JudgingRules, there: float, solved: float, kept_by: str | None
) -> None:
    """Its own return, however high, counts for nothing."""
    incumbent = evidence(random.Random(1), count=48, sd=0.0)

    def draw(number: int) -> SeedResult:
        return SeedResult(number, 99.0, solved, compared=ruler_comparison("reward", there=there))

    verdict, _ = settle(challenge(incumbent, numbers), draw)
    adopted = Status.KEEP if numbers is NAIVE else Status.LEAD
    assert verdict.status is (adopted if kept_by else Status.DISCARD)
    assert verdict.changed == ("reward",)
    if kept_by:
        assert verdict.quantity == kept_by
        how = "kept" if numbers is NAIVE else "takes the lead"
        assert verdict.reason.startswith(f"{how}, with another reward: {kept_by} +")


def test_an_observation_alone_is_judged_as_ever() -> None:
    """By its own returns."""
    incumbent, rng = evidence(random.Random(1)), random.Random(2)
    verdict, _ = settle(challenge(incumbent, SOUND), drawn(rng, "observation", there=-9.0))
    assert (verdict.status, verdict.changed) == (Status.LEAD, ("observation",))
    assert verdict.quantity == "return"


def test_a_change_that_a_later_seed_shows_counts_from_then_on() -> None:
    """So a high return does not help what showed its other reward on the last seed only."""
    incumbent, rng = evidence(random.Random(1)), random.Random(2)
    plain, other = drawn(rng, "", there=0.0), drawn(rng, "reward", there=0.0)
    test = challenge(incumbent, SOUND, adopt_early=999.0)
    assert settle(test, plain)[0].status is Status.LEAD
    verdict, count = settle(test, lambda n: other(n) if n == test.plan.order[-1] else plain(n))
    assert count == len(test.plan.order)
    assert verdict.changed == ("reward",)
    assert verdict.status is Status.DISCARD


@pytest.mark.parametrize("solved", [0.0, 0.6])
def test_returns_without_any_spread_crash_nothing(solved: float) -> None:
    """The same return and solve rate on every seed, of both sides."""
    seeds = [SeedResult(number, 0.5, solved) for number in reference_seeds(PUBLISHED, 12)]
    screen = [SeedResult(number, 0.5, solved) for number in SEEDS]
    incumbent = candidate(3, screen, seeds, files=BEFORE)
    for there, gain in ((0.5, 0.0), (0.7, 0.2), (0.3, -0.2)):
        compared = ruler_comparison("reward", there=there)
        test = challenge(incumbent, SOUND)
        verdict, _ = settle(
            test,
            lambda n, c=compared: SeedResult(n, 9.0, solved, compared=c),  # type: ignore[misc]
        )
        assert (verdict.status is Status.LEAD) == (gain > 0)


def test_what_was_not_compared_counts_for_no_gain() -> None:
    """Seeds of an older evaluator among others: the solve rate alone is left."""
    incumbent, rng = evidence(random.Random(1)), random.Random(2)
    draw = drawn(rng, there=9.0)
    test = challenge(incumbent, SOUND)
    verdict, _ = settle(
        test, lambda n: replace(draw(n), compared=None) if n == SEEDS[0] else draw(n)
    )
    assert (verdict.status, verdict.quantity) == (Status.DISCARD, "solve rate")


def test_a_reward_that_nothing_can_be_said_about_is_discarded() -> None:
    """No solve rate is known of the incumbent, and not every seed was compared."""
    known = evidence(random.Random(1))
    incumbent = replace(
        known,
        chosen_by=tuple(replace(result, solve_rate=None) for result in known.chosen_by),
        fresh=tuple(replace(result, solve_rate=None) for result in known.fresh),
    )
    draw = drawn(random.Random(2), there=9.0)
    verdict, _ = settle(
        challenge(incumbent, SOUND),
        lambda n: draw(n) if n == SEEDS[0] else replace(draw(n), compared=None),
    )
    assert verdict.status is Status.DISCARD


@pytest.mark.parametrize("changes", ["dynamics", "success", "reward dynamics"])
@pytest.mark.parametrize("numbers", [SOUND, NAIVE], ids=["sound", "naive"])
def test_another_task_is_measured_on_all_seeds_of_a_challenger(
    numbers: JudgingRules, changes: str
) -> None:
    """Then it waits for a reviewer, unless its solve rate is lower."""
    incumbent = evidence(random.Random(1))
    verdict, count = settle(
        challenge(incumbent, numbers), drawn(random.Random(2), changes, value=-9.0, solved=0.9)
    )
    assert (verdict.status, verdict.is_other_task) == (Status.KEEP, True)
    assert count == (3 if numbers is SOUND else 2)
    verdict, count = settle(
        challenge(incumbent, numbers), drawn(random.Random(2), changes, solved=0.0)
    )
    assert (verdict.status, verdict.is_other_task) == (Status.DISCARD, True)
    assert count == 2
    assert "solve rate fell from" in verdict.reason


def test_without_a_task_the_first_one_is_kept() -> None:
    """On the default seeds, whatever it earns."""
    incumbent = replace(evidence(random.Random(1)), is_task=False)
    for numbers in (SOUND, NAIVE):
        test = challenger_test(search_of(incumbent), RUNG, numbers, AFTER)
        assert (test.plan.order, test.plan.compared_with) == (SEEDS, None)
        results = [SeedResult(number, -9.0, 0.0) for number in SEEDS]
        assert test.verdict(results[:1]) is None
        verdict = test.verdict(results)
        assert verdict is not None
        assert (verdict.status, verdict.stage) == (Status.KEEP, "first task")
        assert test.final_verdict(verdict, {}) is verdict
        assert test.judge_curve((-9.0,) * 6, results) is None
