"""Comparisons with the incumbent's environment: asked of those that can, and read with suspicion."""

import json
from typing import Any

import pytest

from orchestrator.core.evaluations import EvaluatorWaits, Measurement, RulerComparison
from orchestrator.core.records import Files
from tests.evaluation.conftest import MakeDriver
from tests.evaluation.driver import RUNG, Driver

INCUMBENT = Files("an environment", "a training")
WHAT = Measurement(RUNG, (101, 138), more_seeds=(7,), compared_with=INCUMBENT)
FOUND: dict[str, Any] = {
    "episodes": 64, "observations": 64, "rewards": 3, "ends": 0, "successes": 1,
    "reward_ratio": None, "return_there": -0.25, "solve_rate_there": 1,
}  # fmt: skip


def train(**found: Any) -> str:
    return f"SCORE = 0.5\nCOMPARED = {json.dumps(FOUND | found)}\n"


def test_comparisons_come_with_every_seed(make_driver: MakeDriver) -> None:
    """In the events and in the report, those of seeds measured before included."""
    driver = make_driver(compares=True, resumes=True)
    expected = RulerComparison(**FOUND)
    told = driver.evaluate(train(), WHAT)
    assert [seed.compared for seed in told.seeds] == [expected] * 3
    driver.events.clear()
    driver.begin(train(), WHAT, measured={101: json.dumps({"value": 0.5})})
    again = driver.finish()
    assert driver.seeds_told() == [138, 7]
    assert [seed.compared for seed in again.seeds] == [expected] * 3


def test_none_is_asked_for_where_the_environments_are_the_same_code(
    make_driver: MakeDriver,
) -> None:
    """The request is as it was, and nothing is told."""
    driver = make_driver(compares=True)
    evaluation = driver.evaluate(train(), Measurement(RUNG, (101,)))
    assert [seed.compared for seed in evaluation.seeds] == [None]


def test_an_older_evaluator_is_not_asked(driver: Driver) -> None:
    """It would refuse the key; its workspace goes on without comparisons."""
    evaluation = driver.evaluate(train(), WHAT)
    assert evaluation.score == 0.5
    assert [seed.compared for seed in evaluation.seeds] == [None, None, None]


MALFORMED: dict[str, Any] = {
    "a list": [],
    "a number": 1,
    "nothing": {},
    "no episodes": FOUND | {"episodes": 0, "observations": 0, "rewards": 0, "successes": 0},
    "a count that is no integer": FOUND | {"rewards": 3.0},
    "a count that is a truth": FOUND | {"rewards": True},
    "more than all": FOUND | {"ends": 65},
    "less than none": FOUND | {"successes": -1},
    "a ratio that is no number": FOUND | {"reward_ratio": "3"},
    "an infinite ratio": FOUND | {"reward_ratio": float("inf")},
    "no return": FOUND | {"return_there": None},
    "a return that is no number": FOUND | {"return_there": float("nan")},
    "an impossible share": FOUND | {"solve_rate_there": 1.5},
}


@pytest.mark.parametrize("found", MALFORMED.values(), ids=MALFORMED)
def test_a_malformed_comparison_counts_as_a_death(make_driver: MakeDriver, found: Any) -> None:
    """Numbers that can't be right are never judged by."""
    driver = make_driver(compares=True)
    text = json.dumps(found).replace("Infinity", "1e999").replace("NaN", "1e999")
    driver.begin(f"SCORE = 0.5\nCOMPARED = {text}\n", WHAT)
    assert "malformed" in driver.until(EvaluatorWaits).reason
    assert driver.seeds_told() == []


def test_a_comparison_that_nobody_asked_for_is_malformed(make_driver: MakeDriver) -> None:
    """It could be with any environment."""
    driver = make_driver(compares=True)
    event = {"event": "seed", "seed": 101, "value": 1.0, "solve_rate": 0.5, "curve": [0.0]}
    said = json.dumps(event | {"compared": FOUND})
    driver.begin(f"SAY = {json.dumps(said)}\nSCORE = 0.5\n", Measurement(RUNG, (101,)))
    assert "malformed" in driver.until(EvaluatorWaits).reason
