"""The test of one challenger, as the engine uses it: a plan, and a verdict on its results."""

import random
from collections.abc import Sequence
from dataclasses import replace

import pytest

from orchestrator.config.schema import JudgeConfig, SearchNumbers, dear_proposals
from orchestrator.core.evaluations import SeedResult, Verdict
from orchestrator.core.records import Rung, Status
from orchestrator.judging.candidate_evidence import SearchEvidence
from orchestrator.judging.challenger_test import ChallengerTest, challenger_test
from orchestrator.judging.gains import Spread
from orchestrator.judging.naive_rule import judge_naively
from orchestrator.judging.rules import JudgingRules
from tests.judging.samples import candidate, chosen, fresh

RUNG = Rung(12, 8)
DEFAULT_SEEDS = (101, 138)
SCORES = {101: 0.25, 138: 0.75}


def rules(**numbers: object) -> JudgingRules:
    return JudgingRules(JudgeConfig(**numbers), 2)  # type: ignore[arg-type]


SOUND, NAIVE = rules(), rules(rule="naive", min_effect=0.125)
LEAD = candidate(
    3, chosen(0.25, 0.75, solved=0.5), fresh(0.4, 0.6, 0.5, 0.5, solved=0.5), scores_by_seed=SCORES
)
"""With a mean return of 0.5."""
SEARCH = SearchEvidence(LEAD, LEAD, spread=Spread(0.2, 32), eval_episodes=8)


def sound(
    numbers: JudgingRules = SOUND, rung: Rung = RUNG, search: SearchNumbers | None = None
) -> ChallengerTest:
    evidence = replace(SEARCH, numbers=search) if search else SEARCH
    return challenger_test(evidence, rung, numbers)


def naive() -> ChallengerTest:
    return challenger_test(SEARCH, RUNG, NAIVE)


def results_of(
    test: ChallengerTest, returns: Sequence[float | None], solved: float | None = None
) -> list[SeedResult]:
    pairs = zip(test.plan.order, returns, strict=False)
    return [SeedResult(seed, value, solved) for seed, value in pairs]


def settle(test: ChallengerTest, returns: Sequence[float], solved: float | None = None) -> Verdict:
    """Ask after each result, as the engine does."""
    results = results_of(test, returns, solved)
    for count in range(1, len(results) + 1):
        verdict = test.verdict(results[:count])
        if verdict is not None:
            return verdict
    raise AssertionError("no verdict on all seeds of the plan")


# -- the sound rule --------------------------------------------------------------------------------


def test_the_sound_plan_is_the_default_seeds_and_some_more() -> None:
    """All that the test may need, with checkpoints for stopping early."""
    plan = sound().plan
    assert (plan.rung, plan.seeds, plan.more_seeds) == (RUNG, DEFAULT_SEEDS, (175,))
    assert plan.checkpoints == (6, 9)
    assert sound(rung=Rung(4, 8)).plan.checkpoints == ()
    assert sound(rules(early_stop=None)).plan.checkpoints == ()
    assert sound(search=dear_proposals()).plan.more_seeds == (175, 212, 249)
    many = challenger_test(SEARCH, RUNG, JudgingRules(JudgeConfig(), 5))
    assert (len(many.plan.seeds), many.plan.more_seeds) == (5, ())


@pytest.mark.parametrize(
    ("returns", "status", "seeds"),
    [
        ((0.3, 9.0, 9.0), Status.DISCARD, 1),
        ((0.7, 0.2, 9.0), Status.DISCARD, 2),
        ((0.7, 0.7, 0.1), Status.DISCARD, 3),
        ((0.7, 0.7, 0.7), Status.LEAD, 3),
        ((1.3, 1.3, 0.7), Status.LEAD, 2),
    ],
)
def test_a_verdict_comes_as_soon_as_the_seeds_allow_it(
    returns: Sequence[float], status: Status, seeds: int
) -> None:
    """Dropped after any seed; clear on the default seeds; or after the last of them."""
    test = sound()
    verdict = settle(test, returns)
    assert (verdict.status, verdict.evaluations, verdict.stage) == (status, seeds, "seeds")
    assert test.final_verdict(verdict, {101: -9.0, 138: -9.0}) is verdict


def test_what_was_dropped_stays_dropped() -> None:
    """Also where seeds that came in beside it would have made it the lead."""
    verdict = sound().verdict(results_of(sound(), (0.0, 9.0, 9.0)))
    assert verdict is not None
    assert (verdict.status, verdict.evaluations) == (Status.DISCARD, 1)


def test_a_challenger_that_solves_less_does_not_lead() -> None:
    """The guardrail, whatever it earns."""
    steady = replace(
        SEARCH, lead=candidate(3, chosen(0.25, 0.75, solved=1.0), fresh(*[0.5] * 8, solved=1.0))
    )
    test = challenger_test(steady, RUNG, SOUND)
    verdict = settle(test, (9.0, 9.0, 9.0), solved=0.1)
    assert verdict.status is Status.DISCARD
    assert "solve rate fell from 100% to 10%" in verdict.reason
    assert settle(test, (9.0, 9.0, 9.0), solved=1.0).status is Status.LEAD


def test_against_another_lead_the_same_results_may_mean_something_else() -> None:
    """A test is a value: with a new lead it is asked again, with all results there are."""
    better = replace(SEARCH, lead=candidate(4, chosen(1.25, 1.75), fresh(1.4, 1.6)))
    returns = (0.9, 0.9, 0.9)
    assert settle(sound(), returns).status is Status.LEAD
    verdict = settle(challenger_test(better, RUNG, SOUND), returns)
    assert (verdict.status, verdict.evaluations) == (Status.DISCARD, 1)


def earlier(*, finished: bool = True) -> list[SeedResult]:
    """Return candidates that ended where their flat curves were, on the first default seed."""
    rng = random.Random(3)
    return [
        SeedResult(101, rng.gauss(0, 0.01) if finished else None, curve=(0.0,) * 12)
        for _ in range(20)
    ]


def test_a_curve_is_stopped_where_its_seed_would_be_dropped() -> None:
    """The same threshold on the return that it is predicted to end with."""
    for search in (None, dear_proposals()):
        test = sound(search=search)
        dropped = [
            below
            for below in (-0.5, -0.3, -0.1, 0.1, 0.3, 0.5, 0.7)
            if test.verdict(results_of(test, [0.5 - below])) is not None
        ]
        assert 0 < len(dropped) < 7
        for below in (dropped[0] - 0.2, dropped[0] + 0.2):
            verdict = test.judge_curve([0.5 - below] * 9, earlier())
            assert (verdict is not None) is (below > dropped[0])


def test_curves_are_judged_by_candidates_that_were_trained_to_the_end() -> None:
    """Those that failed on the seed tell nothing, and without early_stop nothing is asked."""
    hopeless = [-9.0] * 9
    assert sound().judge_curve(hopeless, earlier(finished=False)) is None
    assert sound().judge_curve(hopeless, earlier()[:7] + earlier(finished=False)) is None
    assert sound(rules(early_stop=None)).judge_curve(hopeless, earlier()) is None
    unknown = challenger_test(replace(SEARCH, lead=candidate(3)), RUNG, SOUND)
    assert unknown.judge_curve(hopeless, earlier()) is None
    assert sound().judge_curve(hopeless, earlier()) is not None


# -- the naive rule --------------------------------------------------------------------------------


def test_the_naive_rule_evaluates_the_default_seeds_alone() -> None:
    """All of them, to the end."""
    test = naive()
    assert (test.plan.order, test.plan.more_seeds) == (DEFAULT_SEEDS, ())
    assert test.plan.checkpoints == ()
    assert test.judge_curve([-9.0] * 9, earlier()) is None
    assert test.verdict(results_of(test, [9.0])) is None


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
