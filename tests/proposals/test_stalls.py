"""The agent is told when the run stalls or repeats itself, and only then."""

from dataclasses import replace

from orchestrator.core.experiments import Experiment
from orchestrator.core.records import Files, Rung, Status
from orchestrator.proposals.brief import Aside, Brief
from orchestrator.proposals.stalls import STALLED, warnings

BRIEF = Brief(1, "", Files("", ""), Rung(12, 8), 1)
WORDS = (
    "wider policy", "smaller discount", "visited cells plane", "reward for nearness", "gru memory",
    "batch of eight", "dropout", "layer norm", "entropy bonus", "gradient clipping",
)  # fmt: skip


def done(n: int, status: Status = Status.DISCARD, **facts: object) -> Experiment:
    known = {"description": WORDS[n % 10], "ended": n} | facts
    return Experiment(n, "t", status is Status.BASELINE, status, Rung(12, 8), "m", **known)  # type: ignore[arg-type]


def told(*history: Experiment, **facts: object) -> str:
    return warnings(replace(BRIEF, history=history, **facts))  # type: ignore[arg-type]


def test_a_run_that_goes_well_is_told_nothing() -> None:
    """Nor one that has hardly begun."""
    assert told() == ""
    assert told(done(1, Status.BASELINE), *(done(n) for n in range(2, 5))) == ""
    stalled = [done(n) for n in range(1, 30)]
    assert told(*stalled, done(30, Status.KEEP)) == ""


def test_many_experiments_without_a_keep_are_told() -> None:
    """Their number counts from the last keep, baseline, or accept."""
    past = [done(0, Status.KEEP), *(done(n) for n in range(1, STALLED + 1))]
    assert f"Nothing took the lead in the last {STALLED} experiments" in told(*past)
    assert told(*past, asides=(Aside(4, "accepted", is_accept=True),)) == ""
    assert told(*past[:4], done(40, Status.ABORTED), *past[4:-1]) == ""


def test_failures_in_a_row_are_told() -> None:
    """With the kind that is most of them."""
    failed = [done(n, Status.INVALID, reason="duplicate: of #3") for n in (1, 2, 3)]
    assert "The last 3 experiments were not even judged (3 of them invalid: dup" in told(*failed)
    assert told(*failed, done(9)) == ""


def test_the_same_thing_again_is_told() -> None:
    """By the words of the descriptions."""
    same = [done(n, description=f"a wider policy with {n} hidden units, again") for n in (1, 2, 3)]
    text = told(*same, done(4))
    assert "#1, #2, #3 try nearly the same thing" in text
