"""What is known of a candidate: which seeds chose it, and which are fresh."""

from dataclasses import replace

import pytest

from orchestrator.core.evaluations import Purpose, Report, SeedResult
from orchestrator.judging.candidate_evidence import (
    UNMEASURED,
    CandidateEvidence,
    SearchEvidence,
    candidate_evidence,
    gathered,
    learning_failure,
)
from orchestrator.judging.gains import NO_SPREAD, Spread
from orchestrator.judging.reference import reference_seeds
from tests.fakes import ruler_comparison
from tests.judging.samples import CHEAP, by_seed, candidate, chosen, fresh

SCREEN = chosen(0.3, 0.7, solved=0.5)
FURTHER = SeedResult(175, 0.9, 0.75, purpose=Purpose.CONFIRM)


def test_what_chose_a_candidate_is_not_fresh() -> None:
    """Default seeds, and those that made it the lead, are known; reference seeds are both."""
    results = [*fresh(10.0, 12.0, solved=(0.5, 1.0)), *SCREEN, FURTHER]
    evidence = candidate_evidence(4, 6, results, published_by=1)
    assert (evidence.n, evidence.scored_by) == (4, 6)
    assert evidence.chosen_by == (*SCREEN, FURTHER)
    assert evidence.returns == (10.0, 12.0)
    assert evidence.known == by_seed(0.3, 0.7, 0.9) | dict(
        zip(reference_seeds(1, 2), (10.0, 12.0), strict=True)
    )
    assert sorted(evidence.solved) == [0.5, 0.5, 0.5, 0.75, 1.0]
    assert evidence.solve_rate == 0.75


def test_the_solve_rate_is_that_of_default_seeds_without_others() -> None:
    """And unknown without any."""
    assert candidate_evidence(4, 4, SCREEN, published_by=1).solve_rate == 0.5
    assert candidate_evidence(4, 4, chosen(1.0), published_by=1).solve_rate is None
    assert UNMEASURED.solve_rate is None


def test_a_seed_that_failed_is_tried() -> None:
    """It has no return, and says so."""
    evidence = candidate_evidence(4, 4, fresh(10.0, None, 12.0), published_by=1)
    assert (evidence.tried, evidence.returns, evidence.has_failed) == (3, (10.0, 12.0), True)
    assert not candidate_evidence(4, 4, fresh(10.0), published_by=1).has_failed


def test_what_follows_a_seed_in_flight_does_not_count_before_it() -> None:
    """So that seeds come in one order, whichever of them ends first; nor has it chosen anything."""
    first, _, third = fresh(1.0, 2.0, 3.0)
    for purpose in (Purpose.REFERENCE, Purpose.TRIAL):
        results = [*SCREEN, replace(third, purpose=purpose), replace(first, purpose=purpose)]
        evidence = candidate_evidence(4, 4, results, published_by=1)
        assert evidence.returns == (1.0,)
        assert evidence.chosen_by == SCREEN


def test_seeds_that_proved_a_candidate_claim_nothing() -> None:
    """Once it is published itself, those of the time before have chosen it."""
    results = [*SCREEN, *fresh(10.0, 12.0, owner=1), *fresh(9.0, owner=4)]
    before = candidate_evidence(4, 4, results, published_by=1)
    after = candidate_evidence(4, 4, results, published_by=4)
    assert before.returns == (10.0, 12.0)
    assert after.returns == (9.0,)
    assert len(after.chosen_by) == 4


def test_candidates_are_told_apart_by_the_experiment_that_scored_them() -> None:
    """More seeds are of the same one; another rung's baseline is another."""
    few, more = (candidate_evidence(3, 3, fresh(*[0.5] * n), published_by=1) for n in (8, 9))
    assert not few.is_other_than(more)
    assert few.is_other_than(candidate_evidence(3, 7, (), published_by=1))
    assert few.is_other_than(UNMEASURED)


def test_the_spread_is_that_of_those_measured_most() -> None:
    """Of the lead and the published candidate, on all their seeds, and of former leads."""
    lead, published = candidate(4, chosen(1.0, 3.0)), candidate(1, (), fresh(11.0, 13.0, 15.0))
    found = gathered(published, (lead,), {1: published.fresh}, {}, {})
    assert found.spread == Spread(pytest.approx((10 / 3) ** 0.5), 3)
    former = {2: fresh(0.0, None, 2.0)}
    assert gathered(lead, (), former, {}, {}).spread == Spread(2**0.5, 2)
    assert gathered(lead, (), {}, former, former).spread == Spread(
        2**0.5, 1
    )  # another task, perhaps
    assert gathered(UNMEASURED, (), {}, {}, {}).spread == NO_SPREAD


def test_the_spread_of_a_trial_is_of_before_it() -> None:
    """Neither fresh seeds of the two nor those of what led later, or it would move with them."""
    lead = candidate(4, chosen(1.0, 3.0), fresh(0.0, 99.0))
    published = candidate(1, chosen(11.0, 13.0), fresh(0.0, 50.0))
    references = {1: published.fresh, 2: fresh(0.0, 2.0), 4: lead.fresh, 6: fresh(0.0, 70.0)}
    before = {n: references[n] for n in (1, 2)}
    found = gathered(published, (lead,), references, before, {})
    assert found.trial_spread == Spread(2**0.5, 3)
    assert found.spread.sd > 9
    further = replace(lead, fresh=fresh(0.0, 99.0, 5.0))
    assert gathered(published, (further,), {}, before, {}).trial_spread == found.trial_spread


def test_spreads_are_of_one_reward() -> None:
    """Challengers of a lead with another reward have its spread, its trial the published one's."""
    other = [ruler_comparison("reward", there=1.0)] * 2
    lead = candidate(4, chosen(100.0, 300.0), fresh(100.0, 300.0, compared=other))
    published = candidate(1, chosen(1.0, 3.0), fresh(0.0, 2.0))
    references = {1: published.fresh, 2: fresh(0.0, 2.0), 4: lead.fresh}
    found = gathered(published, (lead,), references, references, {})
    assert found.spread == Spread(pytest.approx((40_000 / 3) ** 0.5), 3)
    assert found.trial_spread == Spread(2**0.5, 2)
    former = {1: published.fresh, 4: lead.fresh}
    assert gathered(published, (), former, {}, {}).spread == Spread(
        pytest.approx((5 / 3) ** 0.5), 3
    )


def test_what_a_seed_gives_to_all_is_learnt_from_earlier_times() -> None:
    """Those of this one move while a trial goes on."""
    earlier = {1: fresh(*map(float, range(20))), 4: fresh(*map(float, range(20)))}
    lead = candidate(9)
    assert gathered(candidate(5), (lead,), {}, {}, earlier).correlation.is_shared
    assert not gathered(candidate(5), (lead,), earlier, earlier, {}).correlation.is_shared


def test_the_step_before_the_lead_is_its_former() -> None:
    """If it was scored at this rung; the published candidate is none."""
    published, first, lead = candidate(1), candidate(3), candidate(4)
    assert gathered(published, (first, lead), {}, {}, {}).former == first
    assert gathered(published, (replace(first, scored_by=0), lead), {}, {}, {}).former is None
    assert gathered(published, (lead,), {}, {}, {}).former is None
    assert gathered(published, (), {}, {}, {}).lead == published


@pytest.mark.parametrize(("proof_s", "may"), [(0.0, True), (20.0, True), (20.5, False)])
def test_proof_has_a_share_of_the_evaluators_time(proof_s: float, may: bool) -> None:
    """Here a fifth."""
    search = SearchEvidence(
        candidate(4), candidate(1), numbers=CHEAP, evaluator_s=100.0, proof_s=proof_s
    )
    assert search.may_prove is may
    assert not search.is_lead_published
    assert SearchEvidence(candidate(1), candidate(1)).is_lead_published
    assert SearchEvidence().lead == CandidateEvidence()


@pytest.mark.parametrize(
    ("below", "above", "fails"),
    [((1.0, 0.1), (0.05, 0.1), True), ((1.0, 0.1), (0.2, 0.1), False),
     ((0.05, 0.1), (0.05, 0.1), False)],
)  # fmt: skip
def test_learning_fails_only_where_it_worked_below(
    below: tuple[float, float], above: tuple[float, float], fails: bool
) -> None:
    """More than random actions earn, below and not above; one that never learnt may climb."""
    names = ("mean_eval_return", "random_return")
    reports = [Report(dict(zip(names, side, strict=True))) for side in (below, above)]
    assert bool(learning_failure(*reports)) is fails
    assert learning_failure(Report(), reports[1]) is None
