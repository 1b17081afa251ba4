"""Which training settings a candidate may override, and what follows from them."""

from pathlib import Path
from typing import Any

import pytest

from referee.overrides import check_overrides, horizon, training_config
from referee.records import CandidateError, EvaluationRequest


def request(**changes: Any) -> EvaluationRequest:
    return EvaluationRequest(candidate_dir=Path("candidate"), **changes)


def test_allowed_overrides_are_returned() -> None:
    """At their bounds too."""
    overrides = {"lr": 1e-12, "gamma": 1, "training_epochs": 1000, "normalize_advantages": False}
    assert check_overrides(overrides) == overrides
    assert check_overrides({}) == {}


@pytest.mark.parametrize(
    ("overrides", "kind", "says"),
    [
        ({"device": "cuda"}, "invalid", "key 'device' is not allowed; allowed: batch_size, "),
        ({"lr": True}, "invalid", "'lr' must be int or float, not bool"),
        ({"lr": 0.0}, "invalid", "'lr' must be 1e-12 to 10, not 0.0"),
        ({"gamma": float("inf")}, "invalid", "'gamma' must be 0 to 1, not inf"),
        ({"max_steps": 0}, "invalid", "'max_steps' must be 1 to 100000, not 0"),
        ([("lr", 0.1)], "rejected", "overrides are [('lr', 0.1)]"),
        (None, "rejected", "overrides are None"),
    ],
)
def test_others_are_refused_by_name(overrides: object, kind: str, says: str) -> None:
    """What only a forged message can be disqualifies; the rest breaks the contract."""
    with pytest.raises(CandidateError) as caught:
        check_overrides(overrides)
    assert caught.value.kind == kind
    assert says in caught.value.reason


def test_the_horizon_is_the_requests_else_the_candidates_else_20() -> None:
    """A contradiction disqualifies."""
    assert horizon({}, request()) == 20
    assert horizon({"max_steps": 30}, request()) == 30
    assert horizon({}, request(max_steps=40)) == 40
    assert horizon({"max_steps": 40}, request(max_steps=40)) == 40
    with pytest.raises(CandidateError, match="pinned to 40") as caught:
        horizon({"max_steps": 30}, request(max_steps=40))
    assert caught.value.kind == "rejected"


def test_sizes_follow_from_the_batch() -> None:
    """The contract's defaults, beneath the overrides; the horizon is above both."""
    assert training_config({}, request(num_envs=32), 20) == {
        "lr": 3e-4, "batch_size": 128, "buffer_size": 640, "max_steps": 20
    }  # fmt: skip
    assert training_config({"lr": 0.1, "batch_size": 8}, request(num_envs=4), 10) == {
        "lr": 0.1, "batch_size": 8, "buffer_size": 256, "max_steps": 10
    }  # fmt: skip
