"""One warm referee for each module, and small evaluations with it."""

import dataclasses
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from framework import CandidateError, EvaluationRequest, EvaluationResult, Referee

SMALL = {"train_episodes": 4, "eval_episodes": 8, "num_envs": 8}


@pytest.fixture(scope="module")
def referee() -> Iterator[Referee]:
    with Referee() as referee:
        yield referee


def request_for(folder: Path, **changes: Any) -> EvaluationRequest:
    return EvaluationRequest(candidate_dir=folder, **(SMALL | {"reward_bound": 1.0} | changes))


def evaluate(referee: Referee, folder: Path, **changes: Any) -> EvaluationResult:
    return referee.evaluate(request_for(folder, **changes))


def failure(referee: Referee, folder: Path, **changes: Any) -> CandidateError:
    with pytest.raises(CandidateError) as caught:
        evaluate(referee, folder, **changes)
    return caught.value


def strip(result: EvaluationResult) -> dict[str, Any]:
    """Return what must repeat to the bit: everything but the clock and the memory."""
    varying = {"wall_s", "steps_per_s", "peak_memory_mb", "train_s"}
    document = dataclasses.asdict(result)
    for name in ("seed_results", "more_results"):
        document[name] = [
            {k: v for k, v in seed.items() if k not in varying} for seed in document[name]
        ]
    return {k: v for k, v in document.items() if k not in varying}
