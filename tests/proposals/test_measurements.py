"""What is read of an evaluator's report for the prompt, and what is left out of a strange one."""

import math
from typing import Any

import pytest

from orchestrator.core.evaluations import Report, SeedResult
from orchestrator.core.experiments import Experiment
from orchestrator.core.records import Rung, Status
from orchestrator.proposals.measurements import (
    MAX_SERIES,
    Interval,
    RewardPart,
    SeedScore,
    checkpoints,
    read_measurements,
)

PART = {"at": [0.0, 1.0], "max": 2.0, "mean": 0.5, "min": -1.0}


def measured(*seeds: dict[str, Any], **facts: object) -> Experiment:
    return Experiment(
        3, "t", False, Status.KEEP, Rung(12, 8), "m", scores_by_seed={101: 0.5, 138: 0.7},
        max_steps=40, report=Report({"seed_results": list(seeds)} | facts),
    )  # fmt: skip


def test_everything_of_a_report_is_read() -> None:
    """Means over the default seeds; held-out seeds apart."""
    one = {
        "seed": 101,
        "solve_rate": 0.5,
        "train_returns": [0.0, 1.0],
        "env_steps": 100,
        "train_s": 2.0,
        "learning": {"entropy": [1.0, 0.5]},
        "reward_parts": {"goal": PART},
    }
    two = one | {"seed": 138, "solve_rate": 1.0, "train_returns": [1.0, 2.0], "train_s": 4.0}
    two |= {"learning": {"entropy": [0.0, 0.5]}, "reward_parts": {"goal": PART | {"max": 3.0}}}
    found = read_measurements(
        measured(one, two, policy_parameters=77, random_return=-1.0, mean_episode_length=9.5),
        [SeedResult(1_000_000, 0.4, 0.75), SeedResult(1_000_001, None)], Interval(0.4, 0.3, 0.5),
    )  # fmt: skip
    assert found.default_seeds == ((101, SeedScore(0.5, 0.5)), (138, SeedScore(0.7, 1.0)))
    assert found.held_out == (SeedScore(0.4, 0.75),)
    assert (found.held_out_solve_rate, found.default_solve_rate) == (0.75, 0.75)
    assert (found.curve, found.env_steps, found.train_s) == ((0.5, 1.5), 100, 3.0)
    assert (found.parameters, found.random_return, found.episode_length) == (77, -1.0, 9.5)
    assert found.learning == {"entropy": (0.5, 0.5)}
    assert found.reward_parts == {"goal": RewardPart((0.0, 1.0), 3.0, 0.5, -1.0)}


STRANGE: list[object] = [
    None, 5, "text", [], {}, {"goal": None}, {"goal": [1, "x"]}, {"goal": [math.nan]},
    {"goal": {"at": [1.0]}}, {"goal": PART | {"max": math.inf}}, {"goal": PART | {"at": "12"}},
    {"goal": [True]},
]  # fmt: skip


@pytest.mark.parametrize("value", STRANGE, ids=repr)
def test_what_is_not_as_expected_is_left_out(value: object) -> None:
    """Older evaluators report neither, and names are a candidate's."""
    found = read_measurements(measured({"seed": 101, "learning": value, "reward_parts": value}))
    assert found.reward_parts == {}
    assert found.learning == {}


def test_names_are_bounded_lines() -> None:
    """However many and long they are."""
    parts = {f"{n}\n" + "x" * 500: PART for n in range(100)}
    found = read_measurements(measured({"reward_parts": parts})).reward_parts
    assert len(found) == MAX_SERIES
    assert all(len(name) <= 40 and "\n" not in name for name in found)


def test_a_report_without_seeds_is_no_obstacle() -> None:
    """As a stopped experiment's, or a fake's."""
    found = read_measurements(measured())
    assert (found.curve, found.train_s, found.parameters) == ((), None, None)
    assert found.default_seeds[0] == (101, SeedScore(0.5))


def test_checkpoints_are_means_of_equal_parts() -> None:
    """Ten of them, or all values where there are fewer."""
    assert checkpoints(range(20)) == tuple(n + 0.5 for n in range(0, 20, 2))
    assert checkpoints([1.0, 2.0]) == (1.0, 2.0)
    assert len(checkpoints(range(1000))) == 10
    assert checkpoints([]) == ()
