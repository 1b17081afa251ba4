"""The test of one challenger, as the engine uses it: a plan, and a verdict on its results."""

import random
from collections.abc import Sequence

import pytest

from orchestrator.config.schema import JudgeConfig
from orchestrator.core.evaluations import SeedResult, Verdict
from orchestrator.core.records import Rung, Status
from orchestrator.judging.challenger_test import ChallengerTest, challenger_test
from orchestrator.judging.incumbent import challenge_design, incumbent_evidence
from orchestrator.judging.naive_rule import judge_naively
from orchestrator.judging.reference import reference_seeds
from orchestrator.judging.rules import JudgingRules
from orchestrator.judging.sequential_test import judge, screen_score

RUNG = Rung(12, 8)
DEFAULT_SEEDS = (101, 138)
SCORES = {101: 0.25, 138: 0.75}


def rules(**numbers: object) -> JudgingRules:
    return JudgingRules(JudgeConfig(**numbers), 2)  # type: ignore[arg-type]


SOUND, NAIVE = rules(), rules(rule="naive", min_effect=0.125)

_rng = random.Random(7)
EVIDENCE = incumbent_evidence(
    {3: [SeedResult(seed, _rng.gauss(0.5, 1)) for seed in reference_seeds(3, 48)]},
    3,
    [SeedResult(101, 0.3), SeedResult(138, 0.6)],
    scores_by_seed=SCORES,
)


def sound(numbers: JudgingRules = SOUND, rung: Rung = RUNG) -> ChallengerTest:
    return challenger_test(EVIDENCE, 9, rung, numbers)


def naive() -> ChallengerTest:
    return challenger_test(EVIDENCE, 9, RUNG, NAIVE)


def results_of(test: ChallengerTest, returns: Sequence[float | None]) -> list[SeedResult]:
    return [SeedResult(seed, value) for seed, value in zip(test.plan.order, returns, strict=False)]


def settle(test: ChallengerTest, returns: Sequence[float]) -> Verdict:
    """Ask after each result, as the engine does."""
    results = results_of(test, returns)
    for count in range(1, len(results) + 1):
        verdict = test.verdict(results[:count])
        if verdict is not None:
            return verdict
    raise AssertionError("no verdict on all seeds of the plan")


# -- the sound rule --------------------------------------------------------------------------------


def test_the_sound_plan_is_the_default_seeds_and_then_the_incumbents() -> None:
    """All that the test may need, with checkpoints for stopping early."""
    design = challenge_design(EVIDENCE, 9, SOUND)
    plan = sound().plan
    assert (plan.rung, plan.seeds, plan.more_seeds) == (RUNG, DEFAULT_SEEDS, design.more_seeds)
    assert len(plan.order) == SOUND.numbers.max_evaluations
    assert plan.checkpoints == (6, 9)
    assert sound(rung=Rung(4, 8)).plan.checkpoints == ()
    assert sound(rules(early_stop=None)).plan.checkpoints == ()


@pytest.mark.parametrize("gain", [-1.0, 0.0, 0.8, 3.0])
def test_the_sound_verdict_is_that_of_the_sequential_test(gain: float) -> None:
    """On the returns in the plan's order, at every number of seeds."""
    design, test = challenge_design(EVIDENCE, 9, SOUND), sound()
    rng = random.Random(11)
    returns = [0.5 + gain + rng.gauss(0, 1) for _ in test.plan.order]
    for count in range(1, len(returns) + 1):
        verdict = test.verdict(results_of(test, returns[:count]))
        assert verdict == judge(design.incumbent, returns[:count], SOUND)
        if verdict is not None:
            assert test.final_verdict(verdict, {101: 9.0, 138: 9.0}) is verdict
            return
    raise AssertionError("no verdict on all seeds of the plan")


def test_a_keep_has_its_gain_as_the_reason_says_it() -> None:
    """The text that a veto quotes."""
    verdict = settle(sound(), [6.0] * 40)
    assert verdict.status is Status.KEEP
    assert verdict.reason == f"kept: {verdict.gain_text}"


def test_a_verdict_is_next_possible_at_the_end_of_the_screening_and_at_each_look() -> None:
    """In seeds of the whole evaluation; the last look is the end of the plan."""
    ahead = [sound().seeds_until_next_look(done) for done in (0, 1, 2, 5, 6, 38, 40)]
    assert ahead == [2, 2, 6, 6, 10, 40, 40]


def earlier(*, finished: bool = True) -> list[SeedResult]:
    """Return candidates that ended where their flat curves were, on the first default seed."""
    rng = random.Random(3)
    return [
        SeedResult(101, rng.gauss(0, 0.01) if finished else None, curve=(0.0,) * 12)
        for _ in range(20)
    ]


def test_a_poor_curve_on_one_seed_leaves_room_for_the_others() -> None:
    """What the default seeds still to come may add counts, as it does for a trained seed."""
    test = sound()
    needed = screen_score(challenge_design(EVIDENCE, 9, SOUND).incumbent, SOUND, first=1)
    for below, is_stopped in ((0.3, False), (4.0, True)):
        verdict = test.judge_curve([needed - below] * 9, earlier())
        assert (verdict is not None) is is_stopped
        assert (test.verdict(results_of(test, [needed - below])) is not None) is is_stopped


def test_curves_are_judged_by_candidates_that_were_trained_to_the_end() -> None:
    """Those that failed on the seed tell nothing, and without early_stop nothing is asked."""
    hopeless = [-9.0] * 9
    assert sound().judge_curve(hopeless, earlier(finished=False)) is None
    assert sound().judge_curve(hopeless, earlier()[:7] + earlier(finished=False)) is None
    assert sound(rules(early_stop=None)).judge_curve(hopeless, earlier()) is None
    assert sound().judge_curve(hopeless, earlier()) is not None


# -- the naive rule --------------------------------------------------------------------------------


def test_the_naive_rule_evaluates_the_default_seeds_alone() -> None:
    """All of them, to the end."""
    test = naive()
    assert (test.plan.order, test.plan.more_seeds) == (DEFAULT_SEEDS, ())
    assert test.plan.checkpoints == ()
    assert test.judge_curve([-9.0] * 9, earlier()) is None
    assert test.verdict(results_of(test, [9.0])) is None
    assert [test.seeds_until_next_look(done) for done in (0, 1, 2)] == [2, 2, 2]


@pytest.mark.parametrize(
    ("own", "status"),
    [((0.5, 0.5), Status.DISCARD), ((0.5, 0.75), Status.DISCARD), ((0.5, 0.875), Status.KEEP)],
)
def test_the_naive_verdict_compares_with_the_incumbents_scores(
    own: tuple[float, float], status: Status
) -> None:
    """By more than min_effect, here an eighth."""
    verdict = settle(naive(), own)
    assert verdict == judge_naively(SCORES, dict(zip(SCORES, own, strict=True)), min_effect=0.125)
    assert verdict.status is status
    assert verdict.reason.startswith((f"kept: {verdict.gain_text}", "discarded: "))


def test_the_naive_rule_decides_by_scores_once_they_are_known() -> None:
    """They are over fewer episodes than the seeds' results, which may differ in either direction."""
    test = naive()
    kept, discarded = settle(test, [2.0, 2.0]), settle(test, [0.0, 0.0])
    for verdict in (kept, discarded):
        assert test.final_verdict(verdict, SCORES).status is Status.DISCARD
        final = test.final_verdict(verdict, {101: 1.25, 138: 1.75})
        assert (final.status, final.gain) == (Status.KEEP, 1.0)


# -- both ------------------------------------------------------------------------------------------


@pytest.mark.parametrize("test", [sound(), naive()], ids=["sound", "naive"])
def test_results_that_are_not_those_of_the_plan_are_refused(test: ChallengerTest) -> None:
    """A verdict on other seeds, or on a seed that failed, would be wrong without a word."""
    first, second = results_of(test, [0.5, 0.5])
    with pytest.raises(ValueError, match="the plan is"):
        test.verdict([second, first])
    with pytest.raises(ValueError, match="no return"):
        test.verdict([SeedResult(101, None)])
