"""When the budget climbs, and by which evidence."""

import pytest

from orchestrator.config.schema import BudgetConfig, JudgeConfig, LimitsConfig
from orchestrator.core.evaluations import SeedResult
from orchestrator.core.records import Rung
from orchestrator.judging.incumbent import (
    IncumbentEvidence,
    challenge,
    incumbent_evidence,
    learning_failure,
)
from orchestrator.judging.reference import SeedCorrelation, reference_seeds, reference_wanted
from orchestrator.planning.ladder import climb_reason, rung_above
from orchestrator.planning.planner import Finish, MeasureIncumbent, RunChallenge, next_step
from orchestrator.planning.state import Incumbent, RunState

LOW, MIDDLE, HIGH = Rung(12, 8), Rung(32, 8), Rung(64, 12)
LADDER = [list(LOW), list(MIDDLE), list(HIGH)]
BUDGET = BudgetConfig(ladder=LADDER, patience=3, min_keeps=2)
RULES = JudgeConfig(reference=16, reference_first=8, reference_step=2)
STATE = RunState(rung=LOW, incumbent=Incumbent(1, "c1", 0.5, {101: 0.5}, 1))
KNOWN = IncumbentEvidence(returns=(0.4, 0.5, 0.6, 0.5) * 2, tried=8, sd=0.1, solve_rate=0.9)


def why(state: RunState = STATE, known: IncumbentEvidence = KNOWN, rules: JudgeConfig = RULES,
        **budget: object) -> str | None:  # fmt: skip
    config = BUDGET.model_copy(update=budget)
    return climb_reason(state, config, rules, known)


def test_nothing_to_leave_a_rung_for() -> None:
    """Few keeps, no plateau: the rung has more to tell."""
    assert why() is None


def test_a_reference_never_tries_beyond_twice_its_limit() -> None:
    """However many it should have at first: an incumbent that fails everywhere ends the run."""
    rules = RULES.model_copy(update={"reference": 8, "reference_first": 1000})
    tried, steps = 0, 0
    while True:
        known = IncumbentEvidence(returns=(), tried=tried)
        due = next_step(STATE, BUDGET, LimitsConfig(), hours=0, rules=rules, known=known)
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
    assert why(known=few, max_solve_rate=0.9) is None


def test_the_ladder_is_climbed_one_rung_at_a_time() -> None:
    """And never beyond its top."""
    assert [rung_above(rung, BUDGET) for rung in (LOW, MIDDLE, HIGH)] == [MIDDLE, HIGH, None]


def test_a_standing_is_of_the_incumbent() -> None:
    """Seeds that failed count as tried; a short reference borrows the spread of earlier ones."""
    rows = {
        1: [SeedResult(1, 0.0), SeedResult(2, 2.0)],
        4: [SeedResult(3, 10.0, 0.5), SeedResult(4, 12.0, 1.0), SeedResult(5, None)],
    }
    known = incumbent_evidence(rows, 4, [SeedResult(101, 9.0)])
    assert known.returns == (10.0, 12.0)
    assert known.tried == 3
    assert known.sd == pytest.approx(2**0.5)
    assert known.solve_rate == 0.75
    assert known.by_seed == {3: 10.0, 4: 12.0, 101: 9.0}
    assert known.degrees_of_freedom == 1
    assert incumbent_evidence(rows, 9) == IncumbentEvidence(
        sd=known.sd, degrees_of_freedom=1, scored_by=9
    )


def test_a_standing_knows_what_candidates_share() -> None:
    """Of challengers on seeds of any reference; what confirmed them elsewhere says nothing."""
    reference = [SeedResult(seed, float(seed % 4)) for seed in range(16)]
    alike = [(n, seed, 5.0 + seed % 4) for n in (7, 8) for seed in range(8 * (n - 7), 8 * n - 48)]
    known = incumbent_evidence({1: reference}, 1, (), [*alike, (6, 99, 3.0), (6, 98, 1.0)])
    assert known.correlation == SeedCorrelation(1.0, 14)


def test_a_challenge_pairs_the_seeds() -> None:
    """The incumbent's return on each seed that it was measured on, in the challenger's order."""
    rows = [SeedResult(seed, seed / 2) for seed in reference_seeds(3, 10)]
    known = incumbent_evidence({3: rows}, 3, [SeedResult(101, 0.25), SeedResult(138, 0.5)])
    met = challenge(known, 9, JudgeConfig(max_evaluations=16), 2)
    assert met.seeds == (101, 138)
    assert len(met.more_seeds) == 14
    measured = met.more_seeds[:10]
    assert met.incumbent.paired == (0.25, 0.5, *(seed / 2 for seed in measured), *[None] * 4)


def test_a_challenger_is_spared_seeds_on_which_the_incumbent_failed() -> None:
    """What is the seed's fault is not the challenger's."""
    seeds = reference_seeds(3, 40)
    rows = [SeedResult(seed, None if seed == seeds[2] else 1.0) for seed in seeds[:10]]
    met = challenge(incumbent_evidence({3: rows}, 3), 9, JudgeConfig(max_evaluations=16), 2)
    assert len(met.more_seeds) == 14
    assert set(met.more_seeds) == set(seeds[:15]) - {seeds[2]}


@pytest.mark.parametrize("judged", range(5))
def test_references_are_measured_before_a_challenge(judged: int) -> None:
    """The step asks for the seeds that are missing, by how many challengers there have been."""
    state = RunState(**{**vars(STATE), "since_keep_at_rung": judged})
    wanted = reference_wanted(RULES, judged)
    assert wanted == min(16, 8 + 2 * judged)
    budget = BudgetConfig(ladder=LADDER, patience=50)

    def step(tried: int) -> object:
        known = IncumbentEvidence(returns=(0.5,) * tried, tried=tried, sd=0.1)
        return next_step(state, budget, LimitsConfig(), hours=0, rules=RULES, known=known)

    assert step(2) == MeasureIncumbent(LOW, 1, reference_seeds(1, wanted)[2:])
    assert step(wanted) == RunChallenge(LOW)


def test_an_incumbent_that_fails_everywhere_ends_the_run() -> None:
    """Or on most seeds, so that little is known of it: the run says what to do and ends."""
    for returns in ((), (0.5,) * 7):
        known = IncumbentEvidence(returns=returns, tried=16)
        step = next_step(STATE, BUDGET, LimitsConfig(), hours=0, rules=RULES, known=known)
        assert isinstance(step, Finish)
        assert "accept" in step.reason


@pytest.mark.parametrize(("failed", "tried"), [(1, 8), (3, 9), (8, 8), (8, 15)])
def test_a_seed_that_fails_is_replaced_by_another(failed: int, tried: int) -> None:
    """Until enough is known of the incumbent, or twice as many were tried."""
    known = IncumbentEvidence(returns=(0.5,) * (tried - failed), tried=tried)
    step = next_step(STATE, BUDGET, LimitsConfig(), hours=0, rules=RULES, known=known)
    more = min(failed - (tried - 8), 16 - tried)
    assert step == MeasureIncumbent(LOW, 1, reference_seeds(1, tried + more)[tried:])


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
    reports = [dict(zip(names, side, strict=True)) for side in (below, above)]
    assert bool(learning_failure(*reports)) is fails
    assert learning_failure({}, reports[1]) is None
