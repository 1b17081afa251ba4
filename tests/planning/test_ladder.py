"""When the budget climbs, and by which evidence."""

from dataclasses import replace

import pytest

from orchestrator.config.schema import BudgetConfig, JudgeConfig, LimitsConfig
from orchestrator.core.experiments import StopKind
from orchestrator.core.records import Rung
from orchestrator.judging.candidate_evidence import UNMEASURED, CandidateEvidence, SearchEvidence
from orchestrator.judging.reference import reference_seeds
from orchestrator.judging.rules import JudgingRules
from orchestrator.planning.candidates import Incumbent
from orchestrator.planning.ladder import climb_reason, rung_above
from orchestrator.planning.planner import (
    Finish,
    MeasureCandidate,
    RunBaseline,
    RunChallenge,
    Step,
    is_judgeable,
    next_step,
)
from orchestrator.planning.state import RunState
from tests.judging.samples import candidate, chosen, fresh

LOW, MIDDLE, HIGH = Rung(12, 8), Rung(32, 8), Rung(64, 12)
LADDER = [list(LOW), list(MIDDLE), list(HIGH)]
BUDGET = BudgetConfig(ladder=LADDER, patience=3, min_keeps=2)
RULES = JudgingRules(JudgeConfig(), 2)
STATE = RunState(rung=LOW, incumbent=Incumbent(1, "c1", 0.5, {101: 0.5}, 1))
LEADING = replace(STATE, leads=(Incumbent(5, "c5", 0.9, {101: 0.9}, 5),))
EVIDENCE = candidate(1, chosen(0.4, 0.6, solved=0.8), fresh(0.4, 0.6, solved=0.9))


def why(
    state: RunState = STATE, evidence: CandidateEvidence = EVIDENCE, **budget: object
) -> str | None:
    config = BUDGET.model_copy(update=budget)
    return climb_reason(state, config, evidence)


def step(
    state: RunState, lead: CandidateEvidence, published: CandidateEvidence | None = None
) -> Step:
    evidence = SearchEvidence(lead, published or lead)
    return next_step(state, BUDGET, LimitsConfig(), hours=0, rules=RULES, evidence=evidence)


def test_nothing_to_leave_a_rung_for() -> None:
    """Few keeps, no plateau: the rung has more to tell."""
    assert why() is None


@pytest.mark.parametrize(
    ("state", "key"),
    [({"keeps_at_rung": 2}, "budget.min_keeps"), ({"since_keep_at_rung": 3}, "budget.patience")],
)
def test_keeps_and_plateaus_climb_unless_they_are_null(state: dict[str, int], key: str) -> None:
    """The reason names the condition; null turns it off."""
    there = RunState(**{**vars(STATE), **state})
    assert key in (why(there) or "")
    assert why(there, **{key.removeprefix("budget."): None}) is None


def test_a_saturated_solve_rate_climbs_where_it_is_asked_for() -> None:
    """Off by default: returns may still rise when every episode is solved."""
    assert why() is None
    known = candidate(1, chosen(0.4, 0.6, solved=0.8), fresh(0.4, 0.6, 0.5, 0.5, solved=0.9))
    assert "budget.max_solve_rate" in (why(evidence=known, max_solve_rate=0.9) or "")
    assert why(evidence=known, max_solve_rate=0.91) is None
    few = candidate(1, chosen(0.4, 0.6, solved=1.0), fresh(0.5, 0.5, 0.5, solved=1.0))
    assert why(evidence=few, max_solve_rate=0.9) is None  # those that chose it don't count


def test_the_ladder_is_climbed_one_rung_at_a_time() -> None:
    """And never beyond its top."""
    assert [rung_above(rung, BUDGET) for rung in (LOW, MIDDLE, HIGH)] == [MIDDLE, HIGH, None]


def test_a_rung_where_nothing_is_learnt_is_left() -> None:
    """After `patience_unlearnt` scored experiments; null turns it off."""
    there = RunState(**{**vars(STATE), "scored_at_rung": 6})
    nothing = candidate(1, (), fresh(0.0, 0.0, solved=0.0))
    assert "budget.patience_unlearnt" in (why(there, nothing) or "")
    assert why(there, nothing, patience_unlearnt=None) is None
    assert why(there, nothing, patience_unlearnt=7) is None


def test_a_rung_where_something_is_learnt_is_not() -> None:
    """By a challenger or the baseline, or by the lead on fresh seeds."""
    there = RunState(**{**vars(STATE), "scored_at_rung": 6})
    learnt = RunState(**{**vars(there), "learnt_at_rung": True})
    nothing = candidate(1, (), fresh(0.0, 0.0, solved=0.0))
    assert why(learnt, nothing) is None
    assert why(there, candidate(1, (), fresh(0.0, 0.0, solved=(0.0, 0.02)))) is None
    assert why(there, replace(nothing, is_task=False)) is not None  # more training may find it


def test_a_failed_climb_out_of_nothing_is_not_tried_again() -> None:
    """As any other."""
    failed = RunState(**{**vars(STATE), "scored_at_rung": 6, "climb_failed": True})
    assert why(failed, UNMEASURED) is None


# -- what a rung begins with -----------------------------------------------------------------------


def test_a_climb_takes_the_lead_along() -> None:
    """First the published candidate is scored there, then the lead; then challengers are judged."""
    state = replace(LEADING, keeps_at_rung=2)
    lead, published = candidate(5, (), fresh(0.9, 0.9)), candidate(1, (), fresh(0.5, 0.5))
    climb = step(state, lead, published)
    assert climb == RunBaseline(MIDDLE, "2 keeps at the budget below (budget.min_keeps)")
    there = replace(
        LEADING, rung=MIDDLE, leads=(replace(LEADING.leads[0], score=None, scored_by=None),)
    )
    due = step(there, candidate(5), candidate(1))
    assert due == RunBaseline(MIDDLE, "the lead, not yet scored at this budget", is_of_lead=True)
    assert not is_judgeable(there, MIDDLE, RULES, SearchEvidence(lead, published))


def test_a_rung_begins_with_two_seeds_of_each() -> None:
    """No dear reference: the lead's first, then the published candidate's, then a challenger."""
    orders = []
    counts = {5: 0, 1: 0}
    while not isinstance(
        due := step(
            LEADING,
            candidate(5, chosen(0.5, 0.6), fresh(*[0.5, 0.6][: counts[5]])),
            candidate(1, chosen(0.5, 0.6), fresh(*[0.5, 0.6][: counts[1]])),
        ),
        RunChallenge,
    ):
        assert isinstance(due, MeasureCandidate)
        orders.append((due.n, due.seeds))
        counts[due.n] += len(due.seeds)
    assert orders == [(5, reference_seeds(1, 2)), (1, reference_seeds(1, 2))]


def test_a_published_candidate_that_fails_everywhere_ends_the_run() -> None:
    """After twice the seeds that were wanted; the run says what to do."""
    results: list[None] = []
    while isinstance(due := step(STATE, candidate(1, (), fresh(*results))), MeasureCandidate):
        results += [None] * len(due.seeds)
    assert isinstance(due, Finish)
    assert due.reason.kind is StopKind.STUCK
    assert "failed on 4 of 4 fresh seeds" in due.reason.text
    assert "accept" in due.reason.text


def test_a_baseline_that_is_no_task_needs_no_seeds() -> None:
    """A challenger is judged at once."""
    assert STATE.incumbent is not None
    state = replace(STATE, incumbent=replace(STATE.incumbent, is_task=False))
    evidence = candidate(1, is_task=False)
    assert step(state, evidence) == RunChallenge(LOW)
    assert is_judgeable(state, LOW, RULES, SearchEvidence(evidence, evidence))
    assert not is_judgeable(STATE, LOW, RULES, SearchEvidence(candidate(1), candidate(1)))
