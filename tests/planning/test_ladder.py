"""When the budget climbs, and by which evidence."""

import pytest

from orchestrator.config.schema import BudgetConfig, JudgeConfig, LimitsConfig
from orchestrator.core.experiments import StopKind
from orchestrator.core.records import Rung
from orchestrator.judging.incumbent import IncumbentEvidence
from orchestrator.judging.reference import reference_seeds
from orchestrator.judging.rules import JudgingRules
from orchestrator.planning.ladder import climb_reason, rung_above
from orchestrator.planning.planner import Finish, MeasureIncumbent, RunChallenge, next_step
from orchestrator.planning.state import Incumbent, RunState

LOW, MIDDLE, HIGH = Rung(12, 8), Rung(32, 8), Rung(64, 12)
LADDER = [list(LOW), list(MIDDLE), list(HIGH)]
BUDGET = BudgetConfig(ladder=LADDER, patience=3, min_keeps=2)
RULES = JudgingRules(JudgeConfig(reference=16, reference_first=8, reference_step=2), 2)
STATE = RunState(rung=LOW, incumbent=Incumbent(1, "c1", 0.5, {101: 0.5}, 1))
EVIDENCE = IncumbentEvidence(returns=(0.4, 0.5, 0.6, 0.5) * 2, tried=8, sd=0.1, solve_rate=0.9)


def why(
    state: RunState = STATE,
    evidence: IncumbentEvidence = EVIDENCE,
    rules: JudgingRules = RULES,
    **budget: object,
) -> str | None:
    config = BUDGET.model_copy(update=budget)
    return climb_reason(state, config, rules, evidence)


def test_nothing_to_leave_a_rung_for() -> None:
    """Few keeps, no plateau: the rung has more to tell."""
    assert why() is None


def test_a_reference_never_tries_beyond_twice_its_limit() -> None:
    """However many it should have at first: an incumbent that fails everywhere ends the run."""
    rules = JudgingRules(JudgeConfig(reference=8, reference_first=1000), 2)
    tried, steps = 0, 0
    while True:
        evidence = IncumbentEvidence(returns=(), tried=tried)
        due = next_step(STATE, BUDGET, LimitsConfig(), hours=0, rules=rules, evidence=evidence)
        if not isinstance(due, MeasureIncumbent):
            break
        tried, steps = tried + len(due.seeds), steps + 1
    assert isinstance(due, Finish)
    assert tried == 16


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
    assert "budget.max_solve_rate" in (why(max_solve_rate=0.9) or "")
    assert why(max_solve_rate=0.91) is None
    few = IncumbentEvidence(returns=(0.5,) * 7, tried=7, sd=0.1, solve_rate=1.0)
    assert why(evidence=few, max_solve_rate=0.9) is None
    naive = JudgingRules(JudgeConfig(rule="naive"), 2)
    assert why(rules=naive, max_solve_rate=0.9) is None  # what the sound rule measured before


def test_the_ladder_is_climbed_one_rung_at_a_time() -> None:
    """And never beyond its top."""
    assert [rung_above(rung, BUDGET) for rung in (LOW, MIDDLE, HIGH)] == [MIDDLE, HIGH, None]


@pytest.mark.parametrize("judged", range(5))
def test_references_are_measured_before_a_challenge(judged: int) -> None:
    """The step asks for the seeds that are missing, by how many challengers there have been."""
    state = RunState(**{**vars(STATE), "since_keep_at_rung": judged})
    wanted = RULES.reference_wanted(judged)
    assert wanted == min(16, 8 + 2 * judged)
    budget = BudgetConfig(ladder=LADDER, patience=50)

    def step(tried: int) -> object:
        evidence = IncumbentEvidence(returns=(0.5,) * tried, tried=tried, sd=0.1)
        return next_step(state, budget, LimitsConfig(), hours=0, rules=RULES, evidence=evidence)

    assert step(2) == MeasureIncumbent(LOW, 1, reference_seeds(1, wanted)[2:])
    assert step(wanted) == RunChallenge(LOW)


def test_an_incumbent_that_fails_everywhere_ends_the_run() -> None:
    """Or on most seeds, so that little is known of it: the run says what to do and ends."""
    for returns in ((), (0.5,) * 7):
        evidence = IncumbentEvidence(returns=returns, tried=16)
        step = next_step(STATE, BUDGET, LimitsConfig(), hours=0, rules=RULES, evidence=evidence)
        assert isinstance(step, Finish)
        assert step.reason.kind is StopKind.STUCK
        assert "accept" in step.reason.text


@pytest.mark.parametrize(("failed", "tried"), [(1, 8), (3, 9), (8, 8), (8, 15)])
def test_a_seed_that_fails_is_replaced_by_another(failed: int, tried: int) -> None:
    """Until enough is known of the incumbent, or twice as many were tried."""
    evidence = IncumbentEvidence(returns=(0.5,) * (tried - failed), tried=tried)
    step = next_step(STATE, BUDGET, LimitsConfig(), hours=0, rules=RULES, evidence=evidence)
    more = min(failed - (tried - 8), 16 - tried)
    assert step == MeasureIncumbent(LOW, 1, reference_seeds(1, tried + more)[tried:])
