"""The ledger's seed results: the return on each seed of each candidate at each rung.

Where the run's last endings are wanted, `+tag` keeps SQLite from the index on the tag, by which it
would read and sort the whole run: it walks the endings backwards instead, and stops at the limit.
`CROSS JOIN` has it begin with the endings.

In the database they are rows of the table `evidence`, and a purpose is called `role` there. A
restart does not measure the seeds of an open experiment again; nothing else uses these rows until
the experiment ends, which replaces them by the seeds that its verdict used.
"""

import contextlib
import hashlib
import json
import time
from collections.abc import Iterable
from dataclasses import asdict, replace
from pathlib import Path

from orchestrator.core.errors import LedgerError
from orchestrator.core.evaluations import Purpose, RulerComparison, SeedResult
from orchestrator.core.records import Rung
from orchestrator.judging.reference import owner_of, seeds_of_time
from orchestrator.store.database import Database, Row, to_json

_PURPOSES = {purpose.value: purpose for purpose in Purpose}
_OF_CANDIDATE = (Purpose.SCREEN.value, Purpose.CONFIRM.value)
"""Purposes of the seeds that belong to an experiment's own test."""
_FRESH = (Purpose.REFERENCE.value, Purpose.TRIAL.value, Purpose.AUDIT.value)
"""Purposes of the seeds that did not choose the candidate."""

_NEVER = 2**62
"""A place after all endings."""
_SAVE_EVERY_S = 0.25
"""Seeds reported faster than this share a transaction (group commit), since each one waits for the
disk. A kill loses at most these, and measuring them again gives the same results."""


class SeedResults(Database):
    """The part of the ledger that judge, planner and search read."""

    def __init__(self, path: Path) -> None:
        """Open the ledger; see `Database`."""
        self._earlier: tuple[object, dict[int, list[SeedResult]]] | None = None
        self._pending: list[tuple[int, Rung, SeedResult, str | None]] = []
        self._saved_at_s = 0.0
        self.evidence_changes = 0
        """Endings and reference seeds written so far: while it stays the same, so does what
        candidates that have ended are known by (read outside of a transaction)."""
        super().__init__(path)

    def close(self) -> None:
        """Save what is pending, and close the connection."""
        try:
            with contextlib.suppress(LedgerError):  # else they are measured again
                self.save_pending()
        finally:
            super().close()

    def save_pending(self, *, after_s: float = 0.0) -> None:
        """Make pending seeds durable, if the last transaction is at least `after_s` ago."""
        if self._pending and time.monotonic() - self._saved_at_s >= after_s:
            with self.transaction():
                """All that is pending is written with it."""

    def _write_pending(self) -> None:
        for n, rung, result, resume in self._pending:
            self._add_seed(n, rung, result, resume)

    def _pending_written(self) -> None:
        self._pending.clear()
        self._saved_at_s = time.monotonic()

    def save_seed(self, n: int, rung: Rung, result: SeedResult, resume: str | None = None) -> None:
        """Record a seed's result, in place of an earlier one at the same rung.

        Args:
            n: the open experiment that measures it, or the finished one whose candidate is measured
                on reference seeds.
            rung: the budget, unless the result names its own.
            result: the result, with the learning curve.
            resume: opaque text with which the evaluator takes the seed as measured, kept until the
                experiment ends; not kept for reference seeds.
        """
        self._pending.append((n, rung, result, resume))
        self.save_pending(after_s=_SAVE_EVERY_S)

    def _add_seed(self, n: int, rung: Rung, result: SeedResult, resume: str | None = None) -> None:
        self.evidence_changes += result.purpose.value in _FRESH
        self._db.execute(
            "INSERT OR REPLACE INTO evidence (n, train_episodes, eval_episodes, seed, role, value,"
            " solve_rate, curve, seconds, resume, compared)"
            " VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
            (
                n,
                *(result.rung or rung),
                result.seed,
                result.purpose.value,
                result.value,
                result.solve_rate,
                to_json(result.curve),
                result.seconds,
                resume if result.purpose.value in _OF_CANDIDATE else None,
                _comparison(result),
            ),
        )

    def _forget_seeds(self, n: int) -> None:
        """Delete the seeds of an open experiment's own test."""
        self._db.execute("DELETE FROM evidence WHERE n = ? AND role IN (?, ?)", (n, *_OF_CANDIDATE))

    def measured_seeds(self, n: int, rung: Rung) -> dict[int, tuple[SeedResult, str | None]]:
        """Return the recorded seeds of an open experiment at a rung.

        Each with its curve, and the text with which the evaluator takes it as measured.
        """
        self.save_pending()
        rows = self._db.execute(
            "SELECT evidence.* FROM evidence JOIN experiments USING (n) WHERE n = ?"
            " AND ended IS NULL AND role IN (?, ?) AND evidence.train_episodes = ?"
            " AND evidence.eval_episodes = ? ORDER BY evidence.rowid",
            (n, *_OF_CANDIDATE, *rung),
        ).fetchall()
        return {row["seed"]: (_with_curve(row), row["resume"]) for row in rows}

    def evidence(self, n: int, *, curves: bool = False) -> list[SeedResult]:
        """Return the results of an experiment's seeds, with their curves if asked for."""
        self.save_pending()
        rows = self._db.execute(
            "SELECT * FROM evidence WHERE n = ? ORDER BY train_episodes, eval_episodes, seed", (n,)
        )
        # A purpose that this version does not know is never asked for.
        read = _with_curve if curves else _seed_result
        return [read(row) for row in rows if row["role"] in _PURPOSES]

    def references(self, tag: str) -> dict[int, list[SeedResult]]:
        """Return all reference results of a run, by the experiment that scored the candidate."""
        self.save_pending()
        rows = self._db.execute(
            "SELECT evidence.* FROM evidence JOIN experiments USING (n)"
            " WHERE tag = ? AND role IN (?, ?, ?) AND ended NOT NULL ORDER BY n, seed",
            (tag, *_FRESH),
        )
        return _by_experiment(rows)

    def references_of_time(
        self, tag: str, rung: Rung, owner: int, count: int = 10, *, before: int | None = None
    ) -> dict[int, list[SeedResult]]:
        """Return the fresh seeds of a published candidate's time at a rung, by experiment.

        Args:
            tag: the run.
            rung: the budget.
            owner: the experiment that scored the published candidate there.
            count: the largest number of experiments, those that ended last.
            before: the place among the endings before which they ended; None for no matter when.
        """
        self.save_pending()
        where = (
            "role IN (?, ?, ?) AND evidence.train_episodes = ? AND evidence.eval_episodes = ?"
            " AND seed BETWEEN ? AND ?"
        )
        values = (*_FRESH, *rung, *_limits(owner))
        rows = self._db.execute(
            f"SELECT * FROM evidence WHERE {where} AND n IN (SELECT n FROM experiments"  # noqa: S608
            " WHERE +tag = ? AND ended < ? AND EXISTS"
            f" (SELECT 1 FROM evidence WHERE evidence.n = experiments.n AND {where})"
            " ORDER BY ended DESC LIMIT ?) ORDER BY n, seed",
            (*values, tag, _NEVER if before is None else before, *values, count),
        )
        return _by_experiment(rows)

    def references_before(
        self, tag: str, rung: Rung, owner: int, count: int = 10
    ) -> dict[int, list[SeedResult]]:
        """Return the fresh seeds of earlier published candidates' times at a rung, by experiment.

        While the present time lasts they stay the same, so they are read once.

        Args:
            tag: the run.
            rung: the budget.
            owner: the experiment that scored the present published candidate there.
            count: the largest number of experiments, those that ended last. Whoever was published
                in the time of their seeds is there too: seeds are compared with its.
        """
        key = (tag, rung, owner, count)
        if self._earlier is None or self._earlier[0] != key:
            self._earlier = key, self._references_before(tag, rung, owner, count)
        return self._earlier[1]

    def _references_before(
        self, tag: str, rung: Rung, owner: int, count: int
    ) -> dict[int, list[SeedResult]]:
        self.save_pending()
        rows = self._db.execute(
            "SELECT n FROM experiments WHERE +tag = ? AND ended NOT NULL AND EXISTS"
            " (SELECT 1 FROM evidence WHERE evidence.n = experiments.n AND role IN (?, ?, ?)"
            " AND evidence.train_episodes = ? AND evidence.eval_episodes = ?"
            " AND seed NOT BETWEEN ? AND ?) ORDER BY ended DESC LIMIT ?",
            (tag, *_FRESH, *rung, *_limits(owner), count),
        ).fetchall()
        now = seeds_of_time(owner)

        def of(n: int) -> list[SeedResult]:
            return [result for result in self.reference(n, rung) if result.seed not in now]

        found = {row["n"]: of(row["n"]) for row in rows}
        owners = {owner_of(result.seed) for results in found.values() for result in results}
        more = {n: of(n) for n in owners - found.keys()}
        return found | {n: results for n, results in more.items() if results}

    def reference_seconds(self, tag: str) -> tuple[float, float]:
        """Return the evaluator seconds of all reference seeds of a run, and of those for proof."""
        row = self._db.execute(
            "SELECT total(evidence.seconds),"
            " total(CASE role WHEN ? THEN 0 ELSE evidence.seconds END)"
            " FROM evidence JOIN experiments USING (n) WHERE role IN (?, ?, ?) AND tag = ?",
            (Purpose.REFERENCE.value, *_FRESH, tag),
        ).fetchone()
        return float(row[0]), float(row[1])

    def reference(self, n: int, rung: Rung) -> list[SeedResult]:
        """Return the reference results of the candidate that experiment `n` scored."""
        return [s for s in self.at_rung(n, rung) if s.purpose.value in _FRESH]

    def at_rung(self, n: int, rung: Rung) -> list[SeedResult]:
        """Return all results of experiment `n` at a rung, by seed."""
        self.save_pending()
        rows = self._db.execute(
            "SELECT * FROM evidence WHERE n = ? AND train_episodes = ? AND eval_episodes = ?"
            " ORDER BY seed",
            (n, *rung),
        )
        return [_seed_result(row) for row in rows if row["role"] in _PURPOSES]

    def curves(
        self, tag: str, rung: Rung, seed: int, count: int = 50, *, env: str | None = None
    ) -> list[SeedResult]:
        """Return the results on one default seed, with curves, of the run's last experiments.

        Args:
            tag: the run.
            rung: the budget.
            seed: the default seed.
            count: the largest number of results.
            env: only of experiments whose env.py is this text: returns under other rewards predict
                nothing. None for all.
        """
        self.save_pending()
        env_sha256 = env and hashlib.sha256(env.encode()).hexdigest()
        rows = self._db.execute(
            "SELECT evidence.* FROM experiments CROSS JOIN evidence USING (n)"
            " WHERE +tag = ? AND role = ? AND evidence.train_episodes = ?"
            " AND evidence.eval_episodes = ? AND seed = ? AND value IS NOT NULL"
            " AND ended NOT NULL AND coalesce(env_sha256 = ?, 1) ORDER BY ended DESC LIMIT ?",
            (tag, Purpose.SCREEN.value, *rung, seed, env_sha256, count),
        )
        return [_with_curve(row) for row in rows]


def _limits(owner: int) -> tuple[int, int]:
    """Return the first and the last fresh seed of a published candidate's time."""
    seeds = seeds_of_time(owner)
    return seeds[0], seeds[-1]


def _by_experiment(rows: Iterable[Row]) -> dict[int, list[SeedResult]]:
    results: dict[int, list[SeedResult]] = {}
    for row in rows:
        results.setdefault(row["n"], []).append(_seed_result(row))
    return results


def _with_curve(row: Row) -> SeedResult:
    return replace(_seed_result(row), curve=tuple(json.loads(row["curve"])))


def _comparison(result: SeedResult) -> str | None:
    """Return a comparison as stored: `null` for one that was asked for and not made."""
    if result.compared is None:
        return "null" if result.is_comparison_asked else None
    return to_json(asdict(result.compared))


def _seed_result(row: Row) -> SeedResult:
    compared = json.loads(row["compared"]) if row["compared"] else None
    return SeedResult(
        row["seed"],
        row["value"],
        row["solve_rate"],
        seconds=row["seconds"],
        purpose=_PURPOSES[row["role"]],
        rung=Rung(row["train_episodes"], row["eval_episodes"]),
        compared=RulerComparison(**compared) if compared else None,
        is_comparison_asked=row["compared"] is not None,
    )
