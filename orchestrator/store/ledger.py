"""The ledger, in SQLite: the truth, from which refs, folders and tables can be made again."""

import secrets

from orchestrator.store.open_experiments import OpenExperiments
from orchestrator.store.requests import Requests
from orchestrator.store.runs import Runs


class Ledger(Runs, OpenExperiments, Requests):
    """A workspace's ledger: its runs, their experiments, and users' requests."""

    def key(self) -> bytes:
        """Return the workspace's secret, from which environment seeds derive; made on first use."""
        with self.transaction():
            row = self._db.execute("SELECT value FROM meta WHERE key = 'secret'").fetchone()
            if row is None:
                secret = secrets.token_hex(32)
                self._db.execute("INSERT INTO meta VALUES ('secret', ?)", (secret,))
                return bytes.fromhex(secret)
            return bytes.fromhex(row["value"])

    def number_from(self, n: int) -> None:
        """Give later experiments numbers above `n`."""
        with self.transaction():
            self._db.execute(
                "INSERT INTO sqlite_sequence (name, seq) SELECT 'experiments', 0 WHERE NOT EXISTS"
                " (SELECT 1 FROM sqlite_sequence WHERE name = 'experiments')"
            )
            self._db.execute(
                "UPDATE sqlite_sequence SET seq = max(seq, ?) WHERE name = 'experiments'", (n,)
            )
