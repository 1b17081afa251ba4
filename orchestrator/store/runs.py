"""The ledger's runs: beginning, running time, and why one has stopped or paused."""

import json
from dataclasses import dataclass
from typing import Any

from orchestrator.core.experiments import StopKind, StopReason
from orchestrator.store.database import Database, Row, to_json


@dataclass(frozen=True)
class Run:
    """One tag: a chain of experiments from one baseline, scored by one evaluator."""

    tag: str
    parent: str
    """The commit that was HEAD when the run began."""
    evaluator: dict[str, Any]
    """Hashes and settings that must not change within a run: scores depend on them."""
    created_at: str
    stop: StopReason | None = None
    """Why it stopped; None while it runs."""
    pause_reason: str | None = None
    seconds: float = 0.0
    """Running time, all sessions together."""
    config: str | None = None
    """What the last daemon read as its configuration, as `RunningConfig` writes it."""


class Runs(Database):
    """The part of the ledger that holds runs."""

    def run(self, tag: str) -> Run | None:
        """Return a run by its tag."""
        row = self._db.execute("SELECT * FROM runs WHERE tag = ?", (tag,)).fetchone()
        return _run(row) if row else None

    def runs(self) -> list[Run]:
        """Return all runs, the oldest first."""
        return [_run(row) for row in self._db.execute("SELECT * FROM runs ORDER BY created_at")]

    def last_run(self) -> Run | None:
        """Return the run with the latest experiment."""
        row = self._db.execute(
            "SELECT runs.* FROM runs LEFT JOIN experiments USING (tag)"
            " ORDER BY n DESC NULLS LAST, runs.created_at DESC LIMIT 1"
        ).fetchone()
        return _run(row) if row else None

    def create_run(self, run: Run) -> None:
        """Record a new run."""
        self._write(
            "INSERT INTO runs (tag, parent, evaluator, created_at) VALUES (?, ?, ?, ?)",
            (run.tag, run.parent, to_json(run.evaluator), run.created_at),
        )

    def set_stop_reason(self, tag: str, stop: StopReason | None) -> None:
        """Record why the run stopped; None while it runs."""
        kind, text = (stop.kind.value, stop.text) if stop else (None, None)
        self._write(
            "UPDATE runs SET stop_kind = ?, stop_reason = ? WHERE tag = ?", (kind, text, tag)
        )

    def set_pause_reason(self, tag: str, reason: str | None) -> None:
        """Record why the run is paused; None when it is not."""
        self._write("UPDATE runs SET pause_reason = ? WHERE tag = ?", (reason, tag))

    def set_config(self, tag: str, config: str) -> None:
        """Record the configuration that the daemon works with."""
        self._write("UPDATE runs SET config = ? WHERE tag = ?", (config, tag))

    def add_seconds(self, tag: str, seconds: float) -> None:
        """Add to the running time."""
        self._write("UPDATE runs SET seconds = seconds + ? WHERE tag = ?", (seconds, tag))


def _run(row: Row) -> Run:
    return Run(
        tag=row["tag"],
        parent=row["parent"],
        evaluator=json.loads(row["evaluator"]),
        created_at=row["created_at"],
        stop=StopReason(StopKind(row["stop_kind"]), row["stop_reason"])
        if row["stop_kind"]
        else None,
        pause_reason=row["pause_reason"],
        seconds=row["seconds"],
        config=row["config"],
    )
