"""Scores are equal to the bit to those that version 0.1 gave."""

import json
from collections.abc import Iterator
from typing import Any

import pytest

from framework import EvaluationRequest, Referee, default_seeds, evaluate_candidate

from .record_scores import FOLDERS, SCENARIOS, SCORES, Scenario, checksum, exact, machine

RECORD: dict[str, Any] = json.loads(SCORES.read_text())
RECORDED = {score["scenario"]: score["result"] for score in RECORD["scores"]}
STARTED_AFRESH = SCENARIOS[::7]
DIFFERENCES = {
    name: (value, RECORD["machine"][name])
    for name, value in machine().items()
    if value != RECORD["machine"][name]
}
on_the_same_machine = pytest.mark.skipif(
    bool(DIFFERENCES), reason=f"recorded with another build or processor: {DIFFERENCES}"
)


@pytest.fixture(scope="module")
def referee() -> Iterator[Referee]:
    with Referee() as referee:
        yield referee


def request_for(scenario: Scenario) -> EvaluationRequest:
    """Return what `evaluate_candidate` makes of a scenario."""
    arguments = dict(scenario.arguments)
    seeds = arguments.pop("seeds", default_seeds(arguments.pop("seed_count", 2)))
    return EvaluationRequest(candidate_dir=scenario.folder, seeds=tuple(seeds), **arguments)


def test_the_recording_is_of_these_candidates() -> None:
    """Twenty scores; an example that changes is recorded anew."""
    assert list(RECORDED) == [scenario.name for scenario in SCENARIOS]
    assert len(RECORDED) == 20
    assert RECORD["candidates"] == {name: checksum(name) for name in FOLDERS}


@on_the_same_machine
@pytest.mark.parametrize("scenario", SCENARIOS, ids=lambda scenario: scenario.name)
def test_a_score_is_the_recorded_one(scenario: Scenario, referee: Referee) -> None:
    """Score, returns of every episode, lengths, solve rates, replays and flags."""
    assert exact(referee.evaluate(request_for(scenario))) == RECORDED[scenario.name]


@on_the_same_machine
@pytest.mark.parametrize("scenario", STARTED_AFRESH, ids=lambda scenario: scenario.name)
def test_an_evaluator_started_for_it_gives_the_recorded_score(scenario: Scenario) -> None:
    """`evaluate_candidate` itself, which starts an evaluator and ends it."""
    result = evaluate_candidate(candidate_dir=scenario.folder, **scenario.arguments)
    assert exact(result) == RECORDED[scenario.name]


@pytest.mark.parametrize("candidate", FOLDERS)
def test_scores_do_not_depend_on_the_workers(candidate: str, referee: Referee) -> None:
    """On any machine: seeds side by side or one by one, warm or started afresh."""
    arguments = {"train_episodes": 3, "eval_episodes": 8, "seeds": [101, 5], "num_envs": 8}
    scenarios = [Scenario(candidate, arguments | {"workers": workers}) for workers in (1, 2)]
    alone, together = (exact(referee.evaluate(request_for(each))) for each in scenarios)
    assert alone == together
    if candidate == "keydoor":
        fresh = evaluate_candidate(candidate_dir=scenarios[0].folder, **scenarios[0].arguments)
        assert exact(fresh) == alone
