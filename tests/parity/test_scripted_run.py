"""A scripted run of more than 60 replies leaves what it left before the engine was rewritten.

Equal but for times and the wording of reasons: ledger rows, commits, refs and `results.tsv`. See
`scripted_run.py` for what happens in it and `reading.py` for what is read.
"""

import copy
import json
import math
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.parity.reading import VERDICT, WORDING
from tests.parity.scripted_run import RECORDING, RUNS

_SHOWN = 30


def recording() -> dict[str, Any]:
    # A longer horizon is flagged too now, so the flag has another name.
    text = RECORDING.read_text().replace("horizon shortened", "horizon changed")
    recorded: dict[str, Any] = json.loads(text)
    # Of the rules of 0.1 there was no move of a lead, and more in a verdict.
    recorded["naive"]["moves"] = []
    for row in (*recorded["naive"]["experiments"], *recorded["naive"]["results_json"]):
        for name in row["verdict"].keys() - set(VERDICT):
            del row["verdict"][name]
    return recorded


def differences(before: Any, now: Any, where: str = "") -> Iterator[str]:
    """Yield where two runs differ; floats may by rounding, reasons by their wording."""
    if isinstance(before, dict) and isinstance(now, dict):
        yield from _differences_by_key(before, now, where)
    elif isinstance(before, list) and isinstance(now, list):
        if len(before) != len(now):
            yield f"{where}: {len(before)} -> {len(now)} entries"
        for index, (old, new) in enumerate(zip(before, now, strict=False)):
            number = old.get("n", index) if isinstance(old, dict) else index
            yield from differences(old, new, f"{where}[{number}]")
    elif isinstance(before, float) and isinstance(now, float):
        if not math.isclose(before, now, rel_tol=1e-9, abs_tol=1e-12):
            yield f"{where}: {before!r} -> {now!r}"
    elif before != now or type(before) is not type(now):
        yield f"{where}: {before!r} -> {now!r}"


def _differences_by_key(before: dict[str, Any], now: dict[str, Any], where: str) -> Iterator[str]:
    for key in sorted(before.keys() | now.keys()):
        if key not in before or key not in now:
            yield f"{where}.{key} is only {'now' if key in now else 'before'}"
        elif key == "role" and before["value"] is None:
            pass  # version 0.1 filed every seed on which a challenger failed under `screen`
        elif key in WORDING:
            if bool(before[key]) != bool(now[key]):
                yield f"{where}.{key}: {before[key]!r} -> {now[key]!r}"
        else:
            yield from differences(before[key], now[key], f"{where}.{key}")


@pytest.mark.parametrize("name", RUNS)
def test_the_scripted_run_leaves_what_it_left_before(name: str, tmp_path: Path) -> None:
    """Whatever code stands: the same experiments, verdicts, evidence, commits and refs."""
    found = list(differences(recording()[name], RUNS[name](tmp_path)))
    assert not found, f"{len(found)} differences:\n" + "\n".join(found[:_SHOWN])


def test_the_recording_holds_every_kind_of_experiment() -> None:
    """What is compared has each status, stage of a verdict, move of the lead, and purpose of a seed."""
    runs = recording().values()
    experiments = [row for run in runs for row in run["experiments"]]
    replies = {(index, row["reply"]) for index, run in enumerate(runs) for row in run["attempts"]}
    first_turns = {reply for reply in replies if "repair" not in reply[1]}
    assert len(first_turns) >= 60
    assert len(replies) > len(first_turns)
    assert {row["status"] for row in experiments} == {
        "baseline", "keep", "discard", "invalid", "rejected", "crash", "timeout", "aborted",
    }  # fmt: skip
    stages = {row["verdict"]["stage"] for row in experiments if row["verdict"]}
    assert stages == {"naive", "curves", "seeds"}
    assert {move["kind"] for run in runs for move in run["moves"]} == {"promotion", "rollback"}
    assert any(row["is_baseline"] and row["status"] == "rejected" for row in experiments)
    assert {row["train_episodes"] for row in experiments if row["is_baseline"]} == {12, 32, 64}
    evidence = [row for run in runs for row in run["evidence"]]
    assert {row["role"] for row in evidence} == {
        "screen", "confirm", "reference", "trial", "audit",
    }  # fmt: skip
    assert any(row["role"] == "reference" and row["value"] is None for row in evidence)
    assert all(run["accepts"] for run in runs)


@pytest.mark.parametrize(
    ("part", "row", "key", "value"),
    [
        ("experiments", 4, "score", 1.1840001),
        ("experiments", 4, "status", "discard"),
        ("experiments", 4, "reason", ""),
        ("evidence", 6, "value", None),
        ("attempts", 3, "reply", "replies/0001.md"),
        ("commits", 2, "parents", ["HEAD"]),
        ("accepts", 0, "after_n", 1),
    ],
)
def test_the_comparison_finds_a_difference(part: str, row: int, key: str, value: object) -> None:
    """One value that is another is found, and only that; the wording of a reason is none."""
    before = recording()["sound"]
    now = copy.deepcopy(before)
    now["experiments"][1]["reason"] = "because"
    assert not list(differences(before, now))
    now[part][row][key] = value
    (found,) = differences(before, now)
    assert key in found
    del now[part][row]
    assert list(differences(before, now))
