"""The check on recorded speed ratios; the ratios themselves are measured by the benchmark."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from benchmarks.speed import Ratio, regressions
from tests.conftest import REPOSITORY

RECORDED = {"evaluation 12/8": 8.0}


@pytest.mark.parametrize(
    ("turns", "worse"),
    [([8.0, 8.1, 7.9], 0), ([6.1, 6.1, 9.0], 0), ([5.9, 5.9, 9.0], 1), ([1.0], 1), ([80.0], 0)],
)
def test_a_quarter_worse_is_a_regression(turns: list[float], worse: int) -> None:
    """The median turn counts, against three quarters of what is recorded."""
    found = regressions([Ratio("evaluation 12/8", turns, 8.0)], RECORDED)
    assert len(found) == worse
    assert all("evaluation 12/8" in line and "recorded 8.00x" in line for line in found)


def test_a_ratio_nobody_recorded_is_no_regression() -> None:
    """A new ratio has nothing to be compared with."""
    assert regressions([Ratio("new", [0.1], 1.0)], RECORDED) == []


@pytest.mark.parametrize(("recorded", "code"), [(0.01, 0), (100.0, 1)])
def test_the_command_fails_on_a_regression(tmp_path: Path, recorded: float, code: int) -> None:
    """`--check FILE` measures for real and exits 1, naming what became slower."""
    file = tmp_path / "recorded.json"
    file.write_text(json.dumps({"quiet over loaded time": recorded}))
    done = subprocess.run(
        [sys.executable, "-m", "benchmarks.speed", "--only", "load", "--turns", "1",
         "--check", str(file)],
        cwd=REPOSITORY,
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )  # fmt: skip
    assert done.returncode == code, done.stderr
    assert ("regression: quiet over loaded time" in done.stderr) == bool(code)
