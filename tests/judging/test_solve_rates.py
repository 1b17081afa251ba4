"""The guardrail: a fall of the solve rate is found where there is one, and seldom where not."""

import numpy as np
import pytest

from orchestrator.core.evaluations import SeedResult, Verdict
from orchestrator.core.records import Status
from orchestrator.judging.solve_rates import fall, guarded

HIGH, LOW = (0.875, 0.75, 1.0, 0.75, 0.875, 0.75), (0.5, 0.625, 0.5, 0.625, 0.5, 0.5)


def test_a_clear_fall_is_named() -> None:
    """With both rates."""
    assert fall(HIGH, LOW, 8) == "solve rate fell from 83% to 54%"


@pytest.mark.parametrize(
    ("before", "after"),
    [(LOW, HIGH), (HIGH, HIGH), ((1.0, 1.0), (0.875, 0.875)), ((0.0,) * 8, (0.0,) * 4),
     ((1.0,) * 8, (1.0,) * 2), (HIGH, (0.0,)), ((), LOW), ((0.9,), LOW)],
)  # fmt: skip
def test_what_is_no_fall_or_may_be_chance_is_none(
    before: tuple[float, ...], after: tuple[float, ...]
) -> None:
    """Two seeds that miss one episode of eight each prove nothing, nor does a single seed."""
    assert fall(before, after, 8) is None


def test_seeds_that_are_all_alike_can_still_show_a_fall() -> None:
    """Their noise is that of the episodes."""
    assert fall((0.5,) * 8, (0.0,) * 2, 8) == "solve rate fell from 50% to 0%"
    assert fall((1.0,) * 2, (0.0,) * 2, 8) == "solve rate fell from 100% to 0%"


@pytest.mark.parametrize(("probability", "spread"), [(0.3, 0.0), (0.8, 0.15), (0.95, 0.05)])
def test_false_alarms_are_rare(probability: float, spread: float) -> None:
    """Six seeds against twelve, eight episodes each, no difference: about one in twenty."""
    rng = np.random.default_rng(5)

    def seeds(count: int) -> list[float]:
        chances = np.clip(rng.normal(probability, spread, count), 0, 1)
        return [float(rng.binomial(8, chance)) / 8 for chance in chances]

    alarms = sum(fall(seeds(12), seeds(6), 8) is not None for _ in range(1000))
    assert alarms <= 80


def test_a_trifle_is_no_fall() -> None:
    """A point less, clear beyond any noise, is nothing that anybody would call less solved."""
    assert fall((0.80, 0.81) * 8, (0.79, 0.80) * 8, 8) is None
    assert fall((0.80, 0.81) * 8, (0.77, 0.78) * 8, 8) == "solve rate fell from 80% to 78%"


def test_only_a_keep_is_guarded() -> None:
    """It becomes a discard that says so; a discard keeps its reason."""
    results = [SeedResult(n, 1.0, rate) for n, rate in enumerate(LOW)]
    keep = Verdict(Status.KEEP, "kept: +1", gain_text="+1 over 6 seeds")
    verdict = guarded(keep, HIGH, results, 8)
    assert verdict.status is Status.DISCARD
    assert verdict.reason == (
        "discarded: solve rate fell from 83% to 54%, in spite of +1 over 6 seeds"
    )
    assert guarded(keep, LOW, results, 8) is keep
    discard = Verdict(Status.DISCARD, "why")
    assert guarded(discard, HIGH, results, 8) is discard
    unknown = [SeedResult(n, 1.0) for n in range(6)]
    assert guarded(keep, HIGH, unknown, 8) is keep
