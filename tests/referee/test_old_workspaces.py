"""A workspace of version 0.1 has that version's `framework.py`, which still runs on our packages."""

import importlib.util
import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from framework import EvaluationRequest, Referee
from tests.conftest import DATA, REPOSITORY
from tests.parity.record_scores import ADDED, exact

FILE = DATA / "framework-0.1.py"
KEY = b"a workspace's own"
SMALL: dict[str, Any] = {
    "candidate_dir": REPOSITORY / "examples" / "keydoor" / "candidate",
    "train_episodes": 4,
    "eval_episodes": 8,
    "seeds": (101, 7),
}


@pytest.fixture(scope="module")
def result_today() -> dict[str, Any]:
    with Referee() as referee:
        return exact(referee.evaluate(EvaluationRequest(key=KEY, **SMALL)))


@pytest.fixture(scope="module")
def old_framework() -> Iterator[ModuleType]:
    spec = importlib.util.spec_from_file_location("framework_of_version_0_1", FILE)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module  # its dataclasses look it up
    spec.loader.exec_module(module)
    yield module
    del sys.modules[spec.name]


def test_its_referee_gives_the_same_result(
    old_framework: ModuleType, result_today: dict[str, Any]
) -> None:
    """Score, every return, replays and flags, to the bit; the precisions are no longer timed."""
    request = old_framework.EvaluationRequest(key=KEY, time_precisions=True, **SMALL)
    with old_framework.Referee() as referee:
        assert exact(referee.evaluate(request)) == result_today
        waiting = referee.settle()
        assert 2 <= len(waiting) <= 4
    assert not [pid for pid in waiting if Path(f"/proc/{pid}").exists()]


def test_its_function_scores_an_example(old_framework: ModuleType) -> None:
    """`evaluate_candidate`, as its `train.py` and scripts call it."""
    options = SMALL | {"seeds": [101], "train_episodes": 2}
    with Referee() as referee:
        today = referee.evaluate(EvaluationRequest(**options | {"seeds": (101,)}))
    assert old_framework.evaluate_candidate(**options).score == today.score


def test_a_broken_candidate_is_still_told_apart(old_framework: ModuleType, tmp_path: Path) -> None:
    """Error messages of the workers are understood."""
    (tmp_path / "env.py").write_text("1 / 0\n")
    (tmp_path / "train.py").write_text("def training_overrides(**_):\n    return {}\n")
    request = old_framework.EvaluationRequest(candidate_dir=tmp_path)
    with (
        old_framework.Referee() as referee,
        pytest.raises(old_framework.CandidateError, match="ZeroDivisionError") as caught,
    ):
        referee.evaluate(request)
    assert caught.value.kind == "crash"


def served(file: Path, request: dict[str, Any]) -> list[dict[str, Any]]:
    """Return the events with which `FILE --serve` answers one request."""
    done = subprocess.run(
        [sys.executable, str(file), "--serve"],
        input=json.dumps(request) + "\n" + '{"go_on": true}\n' * 3,
        capture_output=True,
        text=True,
        check=True,
    )
    return [json.loads(line) for line in done.stdout.splitlines()]


def test_both_files_answer_the_daemon_alike() -> None:
    """The same events in the same words, whichever file serves and whichever daemon asks."""
    request = SMALL | {
        "candidate_dir": str(SMALL["candidate_dir"]),
        "key": KEY.hex(),
        "more_seeds": [9],
        "checkpoints": [2],
        "follow": True,
        "workers": 1,
        "time_precisions": True,
    }
    old, new = (served(file, request) for file in (FILE, REPOSITORY / "framework.py"))
    for events in (old, new):
        assert events[0].pop("pid")
        events.sort(key=lambda event: event["event"] == "episode")  # these come from other threads
        assert [event["event"] for event in events] == [
            "serving", "checkpoint", "seed", "seed", "seed", "result", *12 * ["episode"],
        ]  # fmt: skip
    assert new[0].pop("resumes") is True  # this version's alone
    assert new[0].pop("compares") is True
    assert new[0].pop("keeps") is True
    for event in new:
        if event["event"] == "seed":
            assert event.pop("resume")
            assert event.pop("compared") is None
    results = [events.pop(5)["result"] for events in (old, new)]
    assert old == new
    assert results[0].pop("precision_s") is None
    measured = {"wall_s", "steps_per_s", "peak_memory_mb", "train_s"}
    for result in results:
        for part in (result, *result["seed_results"], *result["more_results"]):
            for name in measured & part.keys():
                assert part.pop(name) > 0
            for name in ADDED:
                part.pop(name, None)
    assert results[0] == results[1]
