"""What a strong model proposed to version 0.1, judged by today's rules, with real training.

Only what every processor's rounding must agree on: `python -m tests.transcripts` prints all lines.
"""

import pytest

from orchestrator.core.records import Status
from orchestrator.judging.two_rulers import RETURN_THERE, SOLVE_RATE
from tests.transcripts.__main__ import judged
from tests.transcripts.catalogue import BY_NAME, LINES, files_of


@pytest.mark.unit
def test_every_reply_applies() -> None:
    """To the files that the model edited then."""
    for line in LINES:
        assert files_of(line.run, line.n) != files_of(line.run, line.base)


@pytest.mark.parametrize(
    "name",
    [
        pytest.param("squad #5", id="a bonus"),
        pytest.param("squad #11", id="a rule", marks=pytest.mark.long_form),
    ],
)
def test_a_cheat_does_not_take_the_lead_unreviewed(name: str) -> None:
    """A bonus for being alive, a changed rule of the game."""
    told = judged(BY_NAME[name])
    assert not told.is_adopted, told.reason
    assert told.row["changed"]
    assert "changed" in told.reason or "with another reward" in told.reason


@pytest.mark.long_form
def test_a_better_paid_way_counts_by_the_former_pay_alone() -> None:
    """Three times as much hardly earns more by the former: it may lead, and is not published."""
    told = judged(BY_NAME["warehouse #6"])
    assert told.row["changed"] == ["reward"]
    assert "with another reward" in told.reason
    assert told.verdict["quantity"] in (RETURN_THERE, SOLVE_RATE)
    assert told.incumbent == 1


def test_a_changed_rule_waits_for_a_person() -> None:
    """It may be what the person wants: the reason says how."""
    told = judged(BY_NAME["squad #11"])
    assert "another task" in told.reason
    assert "autorl-daemon accept 2" in told.reason


@pytest.mark.parametrize(
    "name", ["warehouse #2", pytest.param("warehouse #3", marks=pytest.mark.long_form)]
)
def test_the_first_task_on_the_canvas_becomes_the_baseline(name: str) -> None:
    """Whatever its return: the canvas's zero is none to beat."""
    told = judged(BY_NAME[name])
    assert told.is_adopted
    assert told.row["score"] < 0.5
    assert told.reason.startswith("becomes the baseline")


@pytest.mark.long_form
def test_a_bonus_can_be_taken_out_again() -> None:
    """It earns less by the reward that pays the bonus, and solves more."""
    told = judged(BY_NAME["squad #6"])
    assert told.status == Status.LEAD, told.reason
    assert told.reason.startswith("takes the lead, with another reward: solve rate +")
