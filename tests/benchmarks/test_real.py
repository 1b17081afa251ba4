"""The judge on the real evaluator: that its no-ops are small, and its tables count right."""

import json
import re
from pathlib import Path

import pytest

from benchmarks.judge.real_noops import Noops, nudged
from benchmarks.judge.real_planted import Planted
from benchmarks.judge.real_tables import interval, pooled, tables
from tests.conftest import REPOSITORY

TRAIN = "LEARNING_RATE = 2e-3\nCLIP_EPSILON = 0.2\nENTROPY_COEF = 0.02\n"


def numbers(text: str) -> list[float]:
    return [float(number) for number in re.findall(r"= (\S+)", text)]


def test_a_no_op_moves_one_setting_by_less_than_a_percent() -> None:
    """No two are the same, or they would train alike."""
    texts = [nudged(TRAIN, k) for k in range(1, 201)]
    assert len(set(texts)) == 200
    for text in texts:
        ratios = [now / then for now, then in zip(numbers(text), numbers(TRAIN), strict=True)]
        assert ratios.count(1.0) == 2
        assert 0.99 < min(ratios) <= max(ratios) < 1.01


@pytest.mark.parametrize(
    ("successes", "trials", "low", "high"),
    [(0, 20, 0.0, 0.1684), (20, 20, 0.8316, 1.0), (5, 20, 0.0866, 0.4910)],
)
def test_intervals_of_shares(successes: int, trials: int, low: float, high: float) -> None:
    """As in the tables of Clopper and Pearson (1934)."""
    assert interval(successes, trials) == pytest.approx((low, high), abs=1e-4)


def test_the_stored_figures_are_told_as_they_are() -> None:
    """Two runs together count what each of them has counted."""
    path: Path = REPOSITORY / "benchmarks" / "judge" / "real.json"
    rows = json.loads(path.read_text())
    noops = [Noops(**row) for row in rows["noops"]]
    planted = [Planted(**row) for row in rows["planted"]]
    false = sum(row.keeps for row in noops if row.rule == "naive")
    count = sum(row.experiments for row in noops if row.rule == "naive")
    told = "\n".join(tables(noops, planted))
    assert f"| all | naive | {false} of {count} (" in told
    twice = "\n".join(pooled([*noops, *noops], [*planted, *planted]))
    assert f"| no-ops, naive | {2 * false} of {2 * count} (" in twice
