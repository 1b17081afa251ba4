"""What tests of the ledger share: a ledger with one run, and experiments to record in it."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from orchestrator.core.experiments import Experiment
from orchestrator.core.records import Rung, Status
from orchestrator.store.ledger import Ledger
from orchestrator.store.runs import Run

RUNG = Rung(12, 8)
WHEN = "2026-11-22T00:00:00Z"


@pytest.fixture
def ledger(tmp_path: Path) -> Iterator[Ledger]:
    with Ledger(tmp_path / "ledger.sqlite") as ledger:
        ledger.create_run(Run("t", "p" * 40, {"evaluator.seed_count": 2}, "now"))
        yield ledger


def begin(ledger: Ledger, tag: str = "t", *, ordinal: int | None = None, rung: Rung = RUNG) -> int:
    """Begin an experiment that proposes something."""
    return ledger.begin(
        tag, is_baseline=False, rung=rung, agent="a", parent="p" * 40, when=WHEN, ordinal=ordinal
    )


def finished(n: int, **fields: object) -> Experiment:
    """Return an experiment as it is recorded, a discard unless told otherwise."""
    facts = {"n": n, "tag": "t", "is_baseline": False, "status": Status.DISCARD, "rung": RUNG,
             "agent": "a", "parent": "p" * 40, "created_at": WHEN}  # fmt: skip
    return Experiment(**(facts | fields))  # type: ignore[arg-type]
