"""Lessons in the ledger: the latest count, and experiments since them are counted."""

from pathlib import Path

from orchestrator.core.experiments import Experiment, Lessons
from orchestrator.core.records import Rung, Status
from orchestrator.store.ledger import Ledger
from orchestrator.store.runs import Run


def end(ledger: Ledger, tag: str, status: Status) -> None:
    is_baseline = status is Status.BASELINE
    n = ledger.begin(
        tag, is_baseline=is_baseline, rung=Rung(12, 8), agent="m", parent="p", when="now"
    )
    ledger.finish(Experiment(n, tag, is_baseline, status, Rung(12, 8), "m"), None, None)


def test_lessons_are_of_a_run(tmp_path: Path) -> None:
    """The latest replace those before; baselines and aborted experiments teach nothing."""
    with Ledger(tmp_path / "ledger.sqlite") as ledger:
        for tag in ("a", "b"):
            ledger.create_run(Run(tag, "p", {}, tag))
        assert ledger.lessons("a") is None
        for status in (Status.BASELINE, Status.KEEP, Status.ABORTED, Status.CRASH):
            end(ledger, "a", status)
        end(ledger, "b", Status.KEEP)
        assert ledger.experiments_since_lessons("a", 9) == 2
        assert ledger.experiments_since_lessons("a", 1) == 1
        ledger.add_lessons("a", "one", "m", "then")
        assert ledger.experiments_since_lessons("a", 9) == 0
        assert ledger.experiments_since_lessons("b", 9) == 1
        end(ledger, "a", Status.DISCARD)
        assert ledger.experiments_since_lessons("a", 9) == 1
        ledger.add_lessons("a", "two \ud800", "human", "now")
        assert ledger.lessons("a") == Lessons("two ?", 6, "human", "now")
        assert ledger.lessons("b") is None
