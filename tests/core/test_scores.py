"""How the score of an experiment is written, complete or not."""

from typing import Any

import pytest

from orchestrator.core.experiments import Experiment
from orchestrator.core.records import Rung, Status
from orchestrator.core.scores import score_text


def experiment(status: Status = Status.DISCARD, **facts: Any) -> Experiment:
    return Experiment(3, "t", False, status, Rung(12, 8), "scripted", **facts)


@pytest.mark.parametrize(
    ("facts", "seed_count", "text"),
    [
        ({"score": 0.0}, 2, "0.0000"),
        ({"scores_by_seed": {101: 0.31}}, 2, "0.3100 on 1 of 2 seeds"),
        ({"scores_by_seed": {101: 0.0}}, 3, "0.0000 on 1 of 3 seeds"),
        ({"scores_by_seed": {101: 0.5, 138: 0.7}}, 4, "0.6000 on 2 of 4 seeds"),
        ({"scores_by_seed": {101: 0.31}}, None, "0.3100 on 1 seed"),
        ({"verdict": {"foretold": -0.25}}, 2, "-0.2500 predicted by its learning curve"),
        ({"verdict": {"foretold": None}}, 2, "—"),
        ({}, 2, "—"),
    ],
)
def test_a_stopped_discard_shows_how_far_it_came(
    facts: dict[str, Any], seed_count: int | None, text: str
) -> None:
    """The mean of the seeds that were evaluated, or what its curve predicted; a dash for neither."""
    assert score_text(experiment(**facts), seed_count) == text


@pytest.mark.parametrize("status", [Status.CRASH, Status.TIMEOUT, Status.REJECTED, Status.ABORTED])
def test_what_failed_shows_no_number(status: Status) -> None:
    """A candidate that failed after its first seed has not scored anything."""
    assert score_text(experiment(status, scores_by_seed={101: 0.9}), 2) == "—"
