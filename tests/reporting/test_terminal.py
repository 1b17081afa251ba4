"""What is said on a terminal, from records alone."""

from dataclasses import replace
from pathlib import Path

import pytest

from orchestrator.core.evaluations import Report
from orchestrator.core.experiments import Experiment
from orchestrator.core.records import Rung, Status
from orchestrator.reporting.terminal import show_lines

KEPT = Experiment(1, "t", False, Status.KEEP, Rung(12, 8), "scripted")


@pytest.mark.parametrize(
    ("used", "seconds", "says"),
    [
        ("fp32", {"fp32": 0.5, "bf16": 0.2}, "fp32; bf16 would take 0.40 of its time here: try"),
        ("fp32", {"fp32": 0.5, "bf16": 1.0}, "fp32, and rightly so: bf16 would take 2.0 times as"),
        ("bf16", {"fp32": 0.5, "bf16": 1.0}, "bf16; fp32 would take 0.50 of its time here: try"),
        ("fp32", {"fp32": 0.5, "bf16": 0.46}, "fp32, and rightly so"),
    ],
)
def test_show_recommends_a_precision(used: str, seconds: dict[str, float], says: str) -> None:
    """Where both were timed, `show` says which one suits the candidate, and what a change costs."""
    metrics = {"precision": used, "precision_s": seconds}
    lines = show_lines(replace(KEPT, report=Report(metrics)), [], Path("logs"), "")
    (line,) = [line for line in lines if line.startswith("precision")]
    assert line.removeprefix("precision  ").startswith(says)
    if "try" in says:
        assert "can't be compared" in line


def test_show_is_silent_about_precisions_that_were_not_timed() -> None:
    """No timing, no line."""
    assert not [x for x in show_lines(KEPT, [], Path("logs"), "") if x.startswith("precision")]
