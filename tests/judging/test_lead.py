"""The lead: when a challenger takes it, when it goes back, and when it is proven."""

import math
import random
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from orchestrator.config.schema import (
    SearchNumbers,
)
from orchestrator.core.evaluations import Verdict
from orchestrator.core.experiments import MoveKind
from orchestrator.core.records import Status
from orchestrator.judging.candidate_evidence import CandidateEvidence, SearchEvidence
from orchestrator.judging.gains import Spread
from orchestrator.judging.lead import drop_below, judge_challenger, next_move, trials
from orchestrator.judging.rules import JudgingRules
from orchestrator.judging.seed_correlation import SeedCorrelation
from orchestrator.judging.trial import planned_looks
from orchestrator.judging.two_rulers import RETURN, RETURN_THERE, SOLVE_RATE, Quantity
from tests.fakes import ruler_comparison
from tests.judging.samples import CHEAP, DEAR, NUMBERS, by_seed, candidate, chosen, fresh

RULES = JudgingRules(NUMBERS, 2)
SURE = Spread(1e-3, 32)
"""Of a run in which seeds hardly differ."""
KNOWN = SeedCorrelation(0.0, 10**9)
"""Seeds share nothing, and that is known."""


# -- challengers -----------------------------------------------------------------------------------


def challenge(
    *returns: float, numbers: SearchNumbers = CHEAP, seed_count: int = 2, sd: float = 1.0
) -> Verdict | None:
    """Judge a challenger of a lead with a mean return of 0 that is known beyond doubt."""
    before = {10**6 + n: (-sd if n % 2 else sd) for n in range(10_000)}
    spread = Spread(sd, 10**6 if sd else 0.0)
    return judge_challenger(
        Quantity(RETURN, by_seed(*returns), before, spread), numbers, seed_count
    )


@pytest.mark.parametrize(("numbers", "count", "least"), [
    (CHEAP, 1, 0.3), (CHEAP, 2, 0.3), (CHEAP, 9, 0.3),
    (DEAR, 1, -0.8), (DEAR, 2, -0.8), (DEAR, 3, -0.3), (DEAR, 5, -0.3),
])  # fmt: skip
def test_each_seed_has_a_threshold_below_which_it_drops(
    numbers: SearchNumbers, count: int, least: float
) -> None:
    """The last one in the list holds for all further seeds."""
    assert drop_below(numbers, count) == least


@pytest.mark.parametrize(("gain", "is_dropped"), [(0.29, True), (0.31, False)])
def test_a_challenger_is_dropped_after_any_seed(gain: float, is_dropped: bool) -> None:
    """Of one seed, the gain is in standard deviations; of two, the root of two times it counts."""
    assert (challenge(gain) is not None) is is_dropped
    assert (challenge(gain / math.sqrt(2), gain / math.sqrt(2)) is not None) is (gain < 0.25)
    dropped = challenge(-1.0)
    assert dropped is not None
    assert (dropped.status, dropped.evaluations, dropped.boundary) == (Status.DISCARD, 1, 0.3)
    assert challenge(-0.7, numbers=DEAR) is None


def test_dear_proposals_get_another_chance() -> None:
    """After one and two seeds as good as none is lost; after three a little must be there."""
    assert challenge(-0.5, -0.5, numbers=DEAR) is None
    assert challenge(-0.5, -0.5, -0.5, numbers=DEAR) is not None
    assert challenge(-0.1, -0.1, -0.1, numbers=DEAR) is None


@pytest.mark.parametrize("numbers", [CHEAP, DEAR])
@pytest.mark.parametrize(("z", "status"), [(0.45, Status.DISCARD), (0.55, Status.LEAD)])
def test_after_its_last_seed_a_challenger_leads_or_not(
    numbers: SearchNumbers, z: float, status: Status
) -> None:
    """Weak evidence will do, and the line says how weak it is."""
    steady = [z / math.sqrt(numbers.seeds) + delta for delta in (-1.0, 1.0)] * (numbers.seeds // 2)
    odd = [z / math.sqrt(numbers.seeds)] * (numbers.seeds % 2)
    verdict = challenge(*steady, *odd, numbers=numbers)
    assert verdict is not None
    assert (verdict.status, verdict.evaluations) == (status, numbers.seeds)
    assert verdict.boundary == 0.5
    how = "takes the lead: " if status is Status.LEAD else "discarded: "
    assert verdict.reason.startswith(how + verdict.gain_text)
    assert "% likely to be better" in verdict.reason


def test_a_clear_gain_needs_all_default_seeds_and_no_more() -> None:
    """Every candidate has a score on them; nothing leads before it has."""
    assert challenge(9.0) is None
    clear = challenge(9.0, 9.0)
    assert clear is not None
    assert (clear.status, clear.evaluations, clear.boundary) == (Status.LEAD, 2, 2.5)
    assert challenge(9.0, 9.0, seed_count=3) is None
    assert challenge(1.0, 1.0) is None  # not clear enough
    only = challenge(9.0, seed_count=1)
    assert only is not None
    assert only.status is Status.LEAD


def test_more_default_seeds_than_the_numbers_ask_for_are_all_used() -> None:
    """The last of them is the last seed."""
    ordinary = [0.4, 0.5, 0.6, 0.5]
    assert challenge(*ordinary, seed_count=5) is None
    verdict = challenge(*ordinary, 0.5, seed_count=5)
    assert verdict is not None
    assert (verdict.status, verdict.evaluations) == (Status.LEAD, 5)


@pytest.mark.parametrize(
    ("value", "status"), [(0.1, Status.LEAD), (0.0, Status.DISCARD), (-0.1, Status.DISCARD)]
)
@pytest.mark.parametrize("numbers", [CHEAP, DEAR])
def test_without_noise_the_sign_decides(
    value: float, status: Status, numbers: SearchNumbers
) -> None:
    """Seeds that all score the same: a gain is adopted, equality is not, and that is said."""
    verdicts = [
        challenge(*[value] * n, numbers=numbers, sd=0.0) for n in range(1, numbers.seeds + 1)
    ]
    verdict = next(each for each in verdicts if each is not None)
    assert verdict.status is status
    assert verdict.standard_error == 0.0
    assert ("the seeds all score the same" in verdict.reason) is (status is Status.DISCARD)


@given(st.lists(st.floats(-4, 4), min_size=1, max_size=6), st.sampled_from([CHEAP, DEAR]),
       st.integers(1, 4), st.floats(0.01, 3))  # fmt: skip
def test_a_better_challenger_never_fares_worse(
    returns: list[float], numbers: SearchNumbers, seed_count: int, more: float
) -> None:
    """The same returns, each with so much more; and the estimate is no larger than the gain."""
    order = {Status.DISCARD: 0, None: 1, Status.LEAD: 2}
    verdict = challenge(*returns, numbers=numbers, seed_count=seed_count)
    better = challenge(*(r + more for r in returns), numbers=numbers, seed_count=seed_count)
    assert order[better and better.status] >= order[verdict and verdict.status]
    if len(returns) >= max(numbers.seeds, seed_count):
        assert verdict is not None
    if verdict is not None:
        assert verdict.gain is not None
        assert verdict.estimate is not None
        assert abs(verdict.estimate) <= abs(verdict.gain)
    if len(returns) < seed_count:
        assert verdict is None or verdict.status is Status.DISCARD


# -- going back ------------------------------------------------------------------------------------


def around(mean: float, count: int, sd: float = 0.1) -> list[float]:
    """Return so many returns with exactly this mean."""
    signs = [(-1) ** n for n in range(count)]
    return [mean + sd * (sign - sum(signs) / count) for sign in signs]


PUBLISHED = candidate(1, chosen(0.5, 0.5), fresh(*around(0.5, 12)))
FORMER = candidate(5, chosen(0.7, 0.7), fresh(*around(0.7, 4)))


def search(
    lead: CandidateEvidence,
    former: CandidateEvidence | None = None,
    published: CandidateEvidence = PUBLISHED,
) -> SearchEvidence:
    spread = Spread(0.1, 32)
    return SearchEvidence(
        lead, published, former, numbers=CHEAP, spread=spread, trial_spread=spread,
        correlation=KNOWN, eval_episodes=8,
    )  # fmt: skip


def test_what_is_published_goes_nowhere() -> None:
    """There is no lead, whatever its seeds show."""
    worse = candidate(1, chosen(9.0, 9.0), fresh(0.0, 0.1, None))
    assert next_move(search(worse, published=worse), RULES) is None


def test_a_lead_stays_until_its_own_seeds_disappoint() -> None:
    """Those that chose it say nothing for it and nothing against it."""
    assert next_move(search(candidate(7, chosen(0.1, 0.1))), RULES) is None
    assert next_move(search(candidate(7, chosen(9.0, 9.0), fresh(*around(0.51, 4)))), RULES) is None
    move = next_move(search(candidate(7, chosen(9.0, 9.0), fresh(*around(0.4, 4)))), RULES)
    assert move is not None
    assert (move.kind, move.to, move.seeds) == (MoveKind.ROLLBACK, 1, 4)
    assert move.reason.startswith("the lead disappointed: -0.1000 ± ")
    assert move.reason.endswith("against #1, over 4 fresh seeds")
    assert move.gain is not None
    assert move.gain.value == pytest.approx(-0.1)


@pytest.mark.parametrize(("mean", "to"), [(0.75, None), (0.69, None), (0.6, 5), (0.45, 5)])
def test_it_goes_back_to_the_lead_before_it(mean: float, to: int | None) -> None:
    """Where that was better, by a fifth of a standard error."""
    move = next_move(search(candidate(7, chosen(0.9, 0.9), fresh(*around(mean, 4))), FORMER), RULES)
    assert (move and move.to) == to


def test_it_goes_back_to_what_is_published_where_only_that_was_better() -> None:
    """The former lead may be no better than it."""
    former = candidate(5, chosen(0.4, 0.4), fresh(*around(0.4, 4)))
    lead = candidate(7, chosen(0.9, 0.9), fresh(*around(0.42, 4)))
    move = next_move(search(lead, former), RULES)
    assert move is not None
    assert move.to == 1


def test_the_thresholds_are_those_of_the_numbers() -> None:
    """`back` for the former lead, `back_to_published` for the published candidate."""
    lead = candidate(7, chosen(0.9, 0.9), fresh(*around(0.48, 4)))
    before = search(lead)
    assert before.numbers.back > before.numbers.back_to_published
    for name, other in (("back", search(lead, FORMER)), ("back_to_published", search(lead))):
        for least, stays in ((-99.0, True), (99.0, False)):
            numbers = other.numbers.model_copy(
                update={"back": -99.0, "back_to_published": -99.0, name: least}
            )
            assert (next_move(replace(other, numbers=numbers), RULES) is None) is stays


def test_a_failure_on_a_fresh_seed_ends_a_lead() -> None:
    """However well it does elsewhere: it goes back to the lead before it, if there is one."""
    lead = candidate(7, chosen(0.9, 0.9), fresh(9.0, 9.1, None))
    for former, to in ((None, 1), (FORMER, 5)):
        move = next_move(search(lead, former), RULES)
        assert move is not None
        assert (move.kind, move.to, move.reason) == (
            MoveKind.ROLLBACK, to, "the lead failed on a fresh seed"
        )  # fmt: skip


def test_a_lead_that_solves_less_goes_back_to_what_is_published() -> None:
    """Whatever it earns, and however far the trial is."""
    published = candidate(1, chosen(0.5, 0.5, solved=0.9), fresh(*around(0.5, 12), solved=0.9))
    lead = candidate(7, chosen(9.0, 9.0, solved=0.5), fresh(*around(9.0, 12), solved=0.25))
    move = next_move(search(lead, FORMER, published), RULES)
    assert move is not None
    assert (move.kind, move.to) == (MoveKind.ROLLBACK, 1)
    assert move.reason == "the lead's solve rate fell from 90% to 29%"


def test_another_task_that_a_late_seed_shows_ends_a_lead() -> None:
    """Another task never leads; in what is published it was not seen before."""
    compared = [ruler_comparison(""), ruler_comparison(""), ruler_comparison("dynamics")]
    for count, to in ((2, None), (3, 1)):
        results = fresh(*around(9.0, count), compared=compared[:count])
        move = next_move(search(candidate(7, chosen(9.0, 9.0), results), FORMER), RULES)
        assert (move and move.to) == to
        if move is not None:
            assert move.reason == "the lead is another task (dynamics changed)"


def another_reward(
    there: float, solved: float, count: int = 4, own: float = 99.0
) -> CandidateEvidence:
    """Return a lead that changed the reward, by what both rewards agree on."""
    compared = [ruler_comparison("reward", there=value) for value in around(there, count)]
    rates = around(solved, count, 0.05)
    results = fresh(*[own] * count, solved=rates, compared=compared)
    return candidate(7, chosen(own, own), results, changed=("reward",))


SOLVING = candidate(
    1, chosen(0.5, 0.5, solved=0.5), fresh(*around(0.5, 12), solved=around(0.5, 12, 0.05))
)


@pytest.mark.parametrize(
    ("there", "solved", "goes_back"),
    [(0.3, 0.45, True), (0.6, 0.45, False), (0.3, 0.6, False), (0.6, 0.6, False)],
)
def test_with_another_reward_it_stays_while_either_quantity_is_better(
    there: float, solved: float, goes_back: bool
) -> None:
    """The return by the published candidate's reward, or the solve rate; never its own return."""
    move = next_move(search(another_reward(there, solved), None, SOLVING), RULES)
    assert (move is not None) is goes_back


def test_with_another_reward_there_is_nothing_to_compare_with_the_former_lead() -> None:
    """Its seeds were played in the published candidate's environment, so only that can be better."""
    far_better = candidate(5, chosen(9.0, 9.0), fresh(*around(9.0, 4)))
    assert next_move(search(another_reward(0.6, 0.5), far_better, SOLVING), RULES) is None
    move = next_move(search(another_reward(0.3, 0.45), far_better, SOLVING), RULES)
    assert move is not None
    assert move.to == 1


def test_a_reward_that_the_former_lead_had_changed_is_the_same_in_both() -> None:
    """Then their own returns are compared, though neither's is with the published candidate's."""
    compared = [ruler_comparison("reward", there=0.9)] * 4
    former = candidate(5, chosen(5.0, 5.0), fresh(*around(5.0, 4), compared=compared))
    lead = candidate(7, chosen(9.0, 9.0), fresh(*around(4.0, 4), compared=compared))
    move = next_move(search(lead, former), RULES)
    assert move is not None
    assert move.to == 5


def test_what_a_seed_gives_to_both_is_no_disappointment() -> None:
    """Hard seeds of the lead that were as hard for the published candidate."""
    hard = [0.1, 0.2]
    lead = candidate(7, chosen(0.9, 0.9), fresh(*[value + 0.02 for value in hard]))
    published = candidate(1, chosen(0.5, 0.5), fresh(*hard, *around(0.5, 10, 0.2)))
    apart = replace(search(lead, None, published), spread=Spread(0.2, 32))
    assert next_move(apart, RULES) is not None
    shared = replace(apart, correlation=SeedCorrelation(0.95, 10**9))
    assert next_move(shared, RULES) is None


# -- proof -----------------------------------------------------------------------------------------


def test_a_proven_lead_is_published() -> None:
    """At the first look that shows it, with the gain that did."""
    lead = candidate(7, chosen(0.9, 0.9), fresh(*around(0.9, 4, 0.01)))
    move = next_move(search(lead, FORMER), RULES)
    assert move is not None
    assert (move.kind, move.to, move.seeds) == (MoveKind.PROMOTION, 7, 4)
    assert move.reason.startswith("proven against #1: +0.4000 ± ")
    assert move.reason.endswith("over 4 and 12 fresh seeds")
    few = candidate(7, chosen(0.9, 0.9), fresh(*around(0.9, 3, 0.01)))
    assert next_move(search(few, FORMER), RULES) is None


def test_seeds_that_chose_the_published_candidate_prove_nothing_against_it() -> None:
    """Only its fresh ones count, and a look waits for them."""
    published = candidate(1, chosen(*around(0.5, 12)), fresh(*around(0.5, 11)))
    lead = candidate(7, chosen(0.9, 0.9), fresh(*around(0.9, 4, 0.01)))
    assert next_move(search(lead, None, published), RULES) is None


def test_a_look_is_not_taken_again_with_another_spread() -> None:
    """What was known before the trial decides all its looks, or one that failed could pass later.

    At its first look this lead is not proven. Then the run finds that seeds differ less.
    """
    lead = candidate(7, chosen(0.9, 0.9), fresh(*around(0.9, 4, 0.1)))
    at_first = replace(search(lead, FORMER), trial_spread=Spread(0.5, 32))
    assert next_move(at_first, RULES) is None
    assert next_move(replace(at_first, spread=SURE), RULES) is None
    assert next_move(replace(at_first, trial_spread=SURE), RULES) is not None


@pytest.mark.parametrize("more", [(), (0.5, 0.5, 0.5, 0.5), (0.0, 1.0, 0.0, 1.0)])
def test_seeds_after_a_look_do_not_change_it(more: tuple[float, ...]) -> None:
    """Of the published candidate: neither its returns there nor its solve rates."""
    values, rates = (*around(0.5, 12), *more), (*around(0.5, 12, 0.05), *more)
    published = candidate(1, chosen(0.4, 0.6, solved=(0.4, 0.6)), fresh(*values, solved=rates))
    for lead in (candidate(7, (), fresh(*around(0.9, 4, 0.3))), another_reward(0.5, 0.7, 4)):
        found = [stands.passed for _, stands in trials(search(lead, None, published), RULES)]
        base = replace(published, fresh=published.fresh[:12])
        assert found == [s.passed for _, s in trials(search(lead, None, base), RULES)]


def test_two_quantities_have_half_the_error_each() -> None:
    """Bonferroni: the looks of each trial ask for more."""
    ((quantity, single),) = trials(search(candidate(7, (), fresh(0.5, 0.6)), None, SOLVING), RULES)
    assert (quantity.name, single.next) == (RETURN, planned_looks(RULES)[0])
    both = trials(search(another_reward(0.5, 0.5, 2), None, SOLVING), RULES)
    assert [each.name for each, _ in both] == [RETURN_THERE, SOLVE_RATE]
    half = planned_looks(RULES.share_of_alpha(0.5))[0]
    assert all(stands.next == half for _, stands in both)
    assert half.boundary > planned_looks(RULES)[0].boundary


@pytest.mark.parametrize(
    ("there", "solved", "by"),
    [(0.9, 0.5, RETURN_THERE), (0.5, 0.9, SOLVE_RATE), (0.5, 0.5, None)],
)
def test_with_another_reward_either_quantity_proves_it(
    there: float, solved: float, by: str | None
) -> None:
    """Its own return is 99, and proves nothing."""
    move = next_move(search(another_reward(there, solved, 12), None, SOLVING), RULES)
    assert (move is not None) is (by is not None)
    if move is not None:
        assert move.kind is MoveKind.PROMOTION
        assert f"proven against #1: {by} +0.4" in move.reason


def test_differences_are_tested_where_luck_is_shared() -> None:
    """And where every common seed has both returns."""
    lead = candidate(7, (), fresh(0.5, 0.6))
    shared = replace(search(lead), correlation=SeedCorrelation(0.9, 1000))
    by_pairs, plain = planned_looks(RULES, by_pairs=True)[0], planned_looks(RULES)[0]
    assert [stands.next for _, stands in trials(shared, RULES)] == [by_pairs]
    failed = candidate(1, chosen(0.5, 0.5), fresh(None, *around(0.5, 12)))
    apart = replace(shared, published=failed)
    assert [stands.next for _, stands in trials(apart, RULES)] == [plain]


def test_no_ops_under_another_reward_are_proven_no_more_often_than_alpha() -> None:
    """By either of two quantities, at any of the looks; rollbacks only make it rarer."""
    rng, alpha, runs = random.Random(8), 0.1, 400
    numbers = CHEAP.model_copy(update={"back": -99.0, "back_to_published": -99.0})
    rules = JudgingRules(NUMBERS.model_copy(update={"alpha": alpha, "max_evaluations": 16}), 2)

    def rate() -> float:
        return sum(rng.random() < 0.5 for _ in range(8)) / 8

    proven = 0
    for _ in range(runs):
        published = candidate(1, (), fresh(*[rng.gauss(0, 1) for _ in range(16)],
                                           solved=[rate() for _ in range(16)]))  # fmt: skip
        compared = [ruler_comparison("reward", there=rng.gauss(0, 1)) for _ in range(16)]
        results = fresh(*[9.0] * 16, solved=[rate() for _ in range(16)], compared=compared)
        now = replace(search(candidate(7, (), results), None, published), numbers=numbers)
        move = next_move(now, rules)
        proven += move is not None and move.kind is MoveKind.PROMOTION
    assert proven / runs <= alpha + 4 * math.sqrt(alpha * (1 - alpha) / runs)
    assert proven > 0
