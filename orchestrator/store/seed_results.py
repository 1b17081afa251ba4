"""The ledger's evidence: what each seed of each candidate came to, and at which rung."""

import json
from collections.abc import Iterable
from dataclasses import replace

from orchestrator.core.evaluations import SeedResult
from orchestrator.core.records import Rung
from orchestrator.store.database import Database, Row, to_json

SCREEN, CONFIRM, REFERENCE = "screen", "confirm", "reference"
"""What a seed was evaluated for. Ledgers of 0.1 may hold `below` too: a lower rung's screen."""


class Evidence(Database):
    """The part of the ledger that judge, ratchet and search look at."""

    def save_evidence(self, n: int, rung: Rung, seed: SeedResult) -> None:
        """Record what one seed of a finished experiment's candidate came to."""
        with self.transaction():
            self._add_evidence(n, rung, seed)

    def _add_evidence(self, n: int, rung: Rung, seed: SeedResult) -> None:
        self._db.execute(
            "INSERT OR REPLACE INTO evidence VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)",
            (
                n,
                *(seed.rung or rung),
                seed.seed,
                seed.role or SCREEN,
                seed.value,
                seed.solve_rate,
                to_json(seed.curve),
                seed.seconds,
            ),
        )

    def evidence(self, n: int) -> list[SeedResult]:
        """Return what an experiment's seeds came to, without the curves."""
        rows = self._db.execute(
            "SELECT * FROM evidence WHERE n = ? ORDER BY train_episodes, eval_episodes, seed", (n,)
        )
        return [_seed_return(row) for row in rows]

    def references(self, tag: str) -> dict[int, list[SeedResult]]:
        """Return all references of a run, by the experiment that scored."""
        rows = self._db.execute(
            "SELECT evidence.* FROM evidence JOIN experiments USING (n)"
            " WHERE tag = ? AND role = ? ORDER BY n, seed",
            (tag, REFERENCE),
        )
        return _by_experiment(rows)

    def references_at(self, tag: str, rung: Rung, count: int = 10) -> dict[int, list[SeedResult]]:
        """Return the run's last references at a rung, by the experiment that scored."""
        rows = self._db.execute(
            "SELECT * FROM evidence WHERE role = ? AND train_episodes = ? AND eval_episodes = ?"
            " AND n IN (SELECT DISTINCT n FROM evidence JOIN experiments USING (n) WHERE tag = ?"
            " AND role = ? AND evidence.train_episodes = ? AND evidence.eval_episodes = ?"
            " ORDER BY n DESC LIMIT ?) ORDER BY n, seed",
            (REFERENCE, *rung, tag, REFERENCE, *rung, count),
        )
        return _by_experiment(rows)

    def reference(self, n: int, rung: Rung) -> list[SeedResult]:
        """Return the reference of what experiment `n` scored."""
        return [seed for seed in self.evidence(n) if (seed.role, seed.rung) == (REFERENCE, rung)]

    def screen(self, n: int, rung: Rung) -> list[SeedResult]:
        """Return what experiment `n` came to on the default seeds."""
        return [seed for seed in self.evidence(n) if (seed.role, seed.rung) == (SCREEN, rung)]

    def confirmations(self, tag: str, rung: Rung, count: int = 200) -> list[tuple[int, int, float]]:
        """Return the run's last seeds at a rung that were to confirm: experiment, seed, return."""
        rows = self._db.execute(
            "SELECT n, seed, value FROM evidence WHERE role = ? AND train_episodes = ?"
            " AND eval_episodes = ? AND value IS NOT NULL"
            " AND n IN (SELECT n FROM experiments WHERE tag = ?)"
            " ORDER BY n DESC, seed LIMIT ?",
            (CONFIRM, *rung, tag, count),
        )
        return [tuple(row) for row in rows]

    def curves(self, tag: str, rung: Rung, seed: int, count: int = 50) -> list[SeedResult]:
        """Return what one default seed came to, with its curve, in the run's last experiments."""
        rows = self._db.execute(
            "SELECT evidence.* FROM evidence JOIN experiments USING (n) WHERE tag = ? AND role = ?"
            " AND evidence.train_episodes = ? AND evidence.eval_episodes = ? AND seed = ?"
            " AND value IS NOT NULL ORDER BY n DESC LIMIT ?",
            (tag, SCREEN, *rung, seed, count),
        )
        return [replace(_seed_return(row), curve=tuple(json.loads(row["curve"]))) for row in rows]


def _by_experiment(rows: Iterable[Row]) -> dict[int, list[SeedResult]]:
    found: dict[int, list[SeedResult]] = {}
    for row in rows:
        found.setdefault(row["n"], []).append(_seed_return(row))
    return found


def _seed_return(row: Row) -> SeedResult:
    return SeedResult(
        row["seed"], row["value"], row["solve_rate"], seconds=row["seconds"], role=row["role"],
        rung=Rung(row["train_episodes"], row["eval_episodes"]),
    )  # fmt: skip
