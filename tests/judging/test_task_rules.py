"""Is a candidate a task, and is anything learnt in it?"""

from typing import Any

import pytest

from orchestrator.core.evaluations import Report
from orchestrator.judging.task_rules import is_learnt, is_task, no_task, no_task_flag


def report(trained: list[float], random: list[float], solved: float = 0.0, **more: Any) -> Report:
    seed = {"episode_returns": trained, "evidence_returns": [], "random_returns": random}
    return Report({
        "mean_solve_rate": solved, "mean_eval_return": sum(trained) / len(trained),
        "random_return": sum(random) / len(random), "seed_results": [seed, seed], **more,
    })  # fmt: skip


CANVAS = report([0.0] * 8, [0.0] * 16)
LEARNS = report([0.9, 1.0] * 4, [0.0, 0.1] * 8)


def test_a_canvas_is_no_task() -> None:
    """Every episode earns the same, whatever is done."""
    assert no_task(CANVAS, (), ()) == "every episode earns 0, trained or at random"
    assert not is_task((no_task_flag("because"),))


@pytest.mark.parametrize(
    "told",
    [LEARNS, report([0.0] * 8, [0.0] * 15 + [-1.0]), report([1.0] * 8, [0.0] * 16),
     report([0.0] * 8, [0.0] * 16, solved=0.5), Report(), Report({"mean_solve_rate": 0.0})],
)  # fmt: skip
def test_where_anything_varies_it_is_a_task(told: Report) -> None:
    """Also where an older evaluator does not tell."""
    assert no_task(told, ("budget exceeded: 1 s",), ("identical starts",)) is None
    assert is_task(("budget exceeded: 1 s",))


def test_a_vetoed_flag_makes_no_task() -> None:
    """Whatever is learnt."""
    why = no_task(LEARNS, ("identical starts: 2 of 2",), ("identical starts",))
    assert why == "it is flagged identical starts"


def test_returns_that_are_no_numbers_are_left_out() -> None:
    """Evaluators once let them through, and ledgers hold them."""
    odd = report([0.9, 1.0] * 4, [float("nan"), 0.0, 0.1, float("inf")] * 8)
    assert is_learnt(odd)
    assert no_task(odd, (), ()) is None
    assert no_task(report([0.0] * 8, [float("nan")] * 8), (), ()) is None
    assert not is_learnt(report([0.0] * 8, [float("nan")] * 8))


def test_what_is_learnt_is_solved_or_clearly_above_random_play() -> None:
    """A mean that is a little higher than random play's may be luck."""
    assert is_learnt(LEARNS)
    assert is_learnt(report([0.0] * 8, [0.0] * 16, solved=0.125))
    assert not is_learnt(CANVAS)
    assert not is_learnt(report([0.1, 0.0] * 4, [0.0, 0.1] * 8))
    assert not is_learnt(report([-1.0] * 8, [0.0] * 16))
    assert is_learnt(report([1.0] * 8, [0.0] * 16))  # without any noise
    assert not is_learnt(Report())
    assert is_learnt(Report({"mean_eval_return": 1.0, "random_return": 0.1}))
