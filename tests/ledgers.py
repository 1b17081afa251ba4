"""One stored ledger for each schema version: `python -m tests.ledgers` writes the present one's.

Run it when a version is new, before a release, and commit the file: what such a ledger becomes
under every later version is tested from it.
"""

from pathlib import Path

from orchestrator.core.evaluations import Evaluation, Purpose, Report, SeedResult
from orchestrator.core.experiments import (
    Experiment,
    LeadMove,
    MoveKind,
    Seconds,
    StopKind,
    StopReason,
)
from orchestrator.core.records import Files, Reply, Rung, Status, Tokens
from orchestrator.store.ledger import Ledger
from orchestrator.store.migrations import MIGRATIONS
from orchestrator.store.runs import Run

DATA = Path(__file__).parent / "data"
RUNG = Rung(12, 8)
WHEN = "2026-11-22T03:04:05.000Z"
FILES = {n: Files("env = 1\n", f"train = {n}\n") for n in (1, 2, 3)}
PROVEN = LeadMove(MoveKind.PROMOTION, 2, 2, "proven", 0.25, 0.125, 4, created_at=WHEN)
"""How the keep was proven, from version 7 on."""
SCREENED = SeedResult(101, 0.5, 0.25, (0.1, 0.5), purpose=Purpose.SCREEN, rung=RUNG)
"""A seed of the open experiment, from version 4 on."""


def stored(version: int) -> Path:
    """Return where the ledger of a version is."""
    return DATA / f"ledger-v{version}.sqlite"


def fill(ledger: Ledger) -> None:
    """Record a run with a bit of everything: a baseline, a keep, a discard, and an open one.

    The keep was the lead first, and is proven before the discard ends.
    """
    ledger.create_run(Run("old", "a" * 40, {"evaluator.seed_count": 2}, WHEN))
    ledger.key()
    for n, status in ((1, Status.BASELINE), (2, Status.LEAD), (3, Status.DISCARD)):
        _begin(ledger, None if n == 1 else n - 1)
        if n > 1:
            ledger.save_reply(n, 1, Reply(f"reply {n}", Tokens(10, None, 2, None), 0.5))
        ledger.finish(
            Experiment(
                n=n, tag="old", is_baseline=n == 1, status=status, rung=RUNG, agent="scripted",
                description=f"experiment {n}", parent="a" * 40, commit=str(n) * 40, score=n / 4,
                scores_by_seed={101: n / 4, 138: n / 4}, max_steps=20, flags=("a flag",),
                report=Report({"mean_solve_rate": 0.5}), reason="because", seconds=Seconds(1.0, 2.0, 0.5),
                tokens=Tokens(10, None, 2, None), cost_usd=0.5, created_at=WHEN, finished_at=WHEN,
                verdict={"lead": True} if status is Status.LEAD else {},
            ),
            FILES[n],
            f"fingerprint {n}",
        )  # fmt: skip
        if status is Status.LEAD:
            ledger.move_lead("old", PROVEN)
            ledger.settle_leads([n], Status.KEEP, WHEN)
    ledger.accept("old", 3, "b" * 40, WHEN)
    ledger.add_note("a note", WHEN)
    ledger.add_seconds("old", 60.0)
    ledger.set_stop_reason("old", StopReason(StopKind.REQUESTED, "stopped by the user"))
    n = _begin(ledger, ordinal=3)
    ledger.save_reply(n, 1, Reply("a reply that failed"))
    ledger.save_failure(n, 1, Evaluation(Status.CRASH, reason="boom", details="Traceback"))
    ledger.save_reply(n, 2, Reply("a reply not yet read"))
    ledger.reserve_code(n, "old", RUNG, "fingerprint 4", Files("env = 1\n", "train = 4\n"))
    ledger.save_seed(n, RUNG, SCREENED, "resume")


def _begin(ledger: Ledger, ordinal: int | None) -> int:
    return ledger.begin(
        "old", is_baseline=ordinal is None, rung=RUNG, agent="scripted", parent="a" * 40,
        when=WHEN, ordinal=ordinal,
    )  # fmt: skip


def main() -> None:
    """Write the present version's ledger."""
    path = stored(len(MIGRATIONS))
    path.unlink(missing_ok=True)
    with Ledger(path) as ledger:
        fill(ledger)
    print(path)


if __name__ == "__main__":
    main()
