"""The ledger, in SQLite: the truth, from which refs, folders and tables can be made again."""

import contextlib
import secrets
from pathlib import Path

from orchestrator.store.bill import Bill
from orchestrator.store.calls import Calls
from orchestrator.store.database import storable
from orchestrator.store.lessons import LessonBook
from orchestrator.store.moves import Moves
from orchestrator.store.open_experiments import OpenExperiments
from orchestrator.store.requests import Requests
from orchestrator.store.reviews import Reviews
from orchestrator.store.runs import Runs


class Ledger(Runs, OpenExperiments, Moves, Reviews, Calls, Bill, Requests, LessonBook):
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

    def home(self) -> str | None:
        """Return the workspace's path at its last start, None before the first one."""
        row = self._db.execute("SELECT value FROM meta WHERE key = 'home'").fetchone()
        return row and str(row["value"])

    def set_home(self, root: Path) -> None:
        """Record the workspace's path."""
        self._write("INSERT OR REPLACE INTO meta VALUES ('home', ?)", (storable(str(root)),))

    def moved_from(self, root: Path) -> str | None:
        """Return the workspace's former path if it has been moved or copied, None if not."""
        home = self.home()
        if home is None or home == storable(str(root)):
            return None
        with contextlib.suppress(OSError):
            if Path(home).samefile(root):  # another name of the same folder
                return None
        return home

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
