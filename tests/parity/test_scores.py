"""Scores are equal to the bit to those that version 0.1 gave."""

import json
from collections.abc import Iterator
from typing import Any

import pytest

from framework import Referee, evaluate_candidate

from .record_scores import (
    FOLDERS,
    FUSED_SCENARIOS,
    FUSED_SCORES,
    SCENARIOS,
    SCORES,
    Scenario,
    checksum,
    exact,
    machine,
    request_for,
)

SCENARIOS_OF = {"torch": SCENARIOS, "fused": FUSED_SCENARIOS}
RECORDS: dict[str, Any] = {
    "torch": json.loads(SCORES.read_text()),
    "fused": json.loads(FUSED_SCORES.read_text()),
}
RECORDED = {
    path: {score["scenario"]: score["result"] for score in record["scores"]}
    for path, record in RECORDS.items()
}
STARTED_AFRESH = SCENARIOS[::7]


def on_the_same_machine(path: str) -> pytest.MarkDecorator:
    recorded = RECORDS[path]["machine"]
    now = machine(path)
    differences = {name: (now[name], recorded[name]) for name in now if now[name] != recorded[name]}
    reason = f"recorded with another build or processor: {differences}"
    return pytest.mark.skipif(bool(differences), reason=reason)


@pytest.fixture(scope="module")
def referee() -> Iterator[Referee]:
    with Referee() as referee:
        yield referee


@pytest.mark.parametrize("path", RECORDS)
def test_the_recording_is_of_these_candidates(path: str) -> None:
    """Twenty scores, five where policies are trained fused; a changed example is recorded anew."""
    assert list(RECORDED[path]) == [scenario.name for scenario in SCENARIOS_OF[path]]
    assert len(RECORDED[path]) == {"torch": 20, "fused": 5}[path]
    assert RECORDS[path]["candidates"] == {name: checksum(name) for name in FOLDERS}


@on_the_same_machine("torch")
@pytest.mark.parametrize("scenario", SCENARIOS, ids=lambda scenario: scenario.name)
def test_a_score_is_the_recorded_one(scenario: Scenario, referee: Referee) -> None:
    """Score, returns of every episode, lengths, solve rates, replays and flags: by torch."""
    result = exact(referee.evaluate(request_for(scenario, "torch")))
    assert result == RECORDED["torch"][scenario.name]


@on_the_same_machine("torch")
@pytest.mark.parametrize("scenario", STARTED_AFRESH, ids=lambda scenario: scenario.name)
def test_an_evaluator_started_for_it_gives_the_recorded_score(scenario: Scenario) -> None:
    """One that starts for the evaluation and ends with it."""
    with Referee() as fresh:
        result = exact(fresh.evaluate(request_for(scenario, "torch")))
    assert result == RECORDED["torch"][scenario.name]


@on_the_same_machine("fused")
@pytest.mark.parametrize("scenario", FUSED_SCENARIOS, ids=lambda scenario: scenario.name)
def test_a_fused_score_is_the_recorded_one(scenario: Scenario) -> None:
    """`evaluate_candidate` itself, which starts an evaluator and ends it."""
    result = evaluate_candidate(candidate_dir=scenario.folder, **scenario.arguments)
    assert result.path == "fused"
    assert exact(result) == RECORDED["fused"][scenario.name]


@pytest.mark.parametrize("candidate", FOLDERS)
def test_scores_do_not_depend_on_the_workers(candidate: str, referee: Referee) -> None:
    """On any machine: seeds side by side or one by one, warm or started afresh."""
    arguments = {"train_episodes": 3, "eval_episodes": 8, "seeds": [101, 5], "num_envs": 8}
    scenarios = [Scenario(candidate, arguments | {"workers": workers}) for workers in (1, 2)]
    requests = [request_for(scenario, "fused") for scenario in scenarios]
    alone, together = (exact(referee.evaluate(each)) for each in requests)
    assert alone == together
    if candidate == "keydoor":
        fresh = evaluate_candidate(candidate_dir=scenarios[0].folder, **scenarios[0].arguments)
        assert exact(fresh) == alone
