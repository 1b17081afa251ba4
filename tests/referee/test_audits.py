"""Whether scored batches pay more than others: a test, and its false alarms."""

import numpy as np
import pytest

from referee.audits import gain_beyond_chance

SLOTS = 32
Pair = tuple[np.ndarray, np.ndarray]


def pair(draw: np.random.Generator, gain: float = 0.0, shared: float = 0.0) -> Pair:
    """One seed whose scored batch pays `gain` more; `shared` is drawn once for a whole batch."""
    scored, other = (draw.normal(size=SLOTS) + shared * draw.normal() for _ in range(2))
    return scored + gain, other


def test_a_gain_beyond_chance_is_told() -> None:
    """Where every seed's scored batch pays more; never less, and never on one seed alone."""
    draw = np.random.default_rng(1)
    gain = gain_beyond_chance([pair(draw, 2.0) for _ in range(6)])
    assert gain == pytest.approx(2.0, abs=0.3)
    assert gain_beyond_chance([pair(draw, -2.0) for _ in range(6)]) is None
    assert gain_beyond_chance([pair(draw, 2.0)]) is None
    assert gain_beyond_chance([]) is None


def test_equal_pay_without_any_spread_is_no_gain() -> None:
    """A perfect policy earns the same everywhere."""
    same = np.full(SLOTS, 2.5)
    assert gain_beyond_chance([(same, same)] * 5) is None
    assert gain_beyond_chance([(same + 1, same)] * 5) == 1.0


@pytest.mark.parametrize("shared", [0.0, 3.0], ids=["each its own world", "one world a batch"])
@pytest.mark.parametrize("seeds", [2, 3, 6, 20])
def test_chance_raises_few_alarms(seeds: int, shared: float) -> None:
    """Of 1000 honest evaluations at most four, also where a batch shares one world."""
    draw = np.random.default_rng(seeds)
    alarms = sum(
        gain_beyond_chance([pair(draw, shared=shared) for _ in range(seeds)]) is not None
        for _ in range(1000)
    )
    assert alarms <= 4
