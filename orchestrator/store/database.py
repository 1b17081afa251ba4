"""The ledger's database: one connection, migrated when it is opened, and durable transactions.

One writer: runs and experiments are written by one process, from one thread, through one
connection: the daemon that holds the workspace's lock (or `accept`, which takes the lock while no
daemon runs). So rows that were read in a turn are still current when something that depends on them
is written, and no row needs a lock of its own. Other processes may read, and add requests and
notes, on which nothing else depends; SQLite orders their transactions with the writer's.

A rollback journal with `synchronous=EXTRA` makes every commit durable.
"""

import contextlib
import json
import sqlite3
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, Self

from orchestrator.core.errors import LedgerError, UserError
from orchestrator.store.migrations import MIGRATIONS
from orchestrator.store.user_files import NotRegularError, make_private

Row = sqlite3.Row

_BUSY_TIMEOUT_S = 10.0


class _Connection(sqlite3.Connection):
    """A connection whose errors are `LedgerError`s, in reading and in writing."""

    def execute(self, *arguments: Any) -> sqlite3.Cursor:
        try:
            return super().execute(*arguments)
        except sqlite3.OperationalError as error:
            kind = "read" if str(arguments[0]).startswith("SELECT") else "written"
            raise LedgerError(f"the ledger can't be {kind}: {error}") from error


class Database:
    """A connection to a ledger's file, which is created or migrated as needed."""

    def __init__(self, path: Path) -> None:
        """Open the ledger; create or migrate it as needed.

        Raises:
            UserError: it is of a newer version, or is no ledger.
        """
        self._path = path
        try:
            if str(path) != ":memory:":
                make_private(path)
        except NotRegularError as error:
            raise UserError(str(error)) from None
        self._db = sqlite3.connect(
            path, timeout=_BUSY_TIMEOUT_S, isolation_level=None, factory=_Connection
        )
        self._db.row_factory = sqlite3.Row
        self._in_block = False
        try:
            self._db.execute("PRAGMA synchronous = EXTRA")
            self._db.execute("PRAGMA foreign_keys = ON")
            # Rows are read once; a page cache that grows over the night would look like a leak.
            self._db.execute("PRAGMA cache_size = -512")
            self._migrate()
        except sqlite3.DatabaseError as error:
            self._db.close()
            raise UserError(f"{path} can't be used as a ledger: {error}") from None
        except (UserError, LedgerError):
            self._db.close()
            raise

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exception: object) -> None:
        self.close()

    def close(self) -> None:
        """Close the connection."""
        self._db.close()

    @contextlib.contextmanager
    def transaction(self) -> Iterator[None]:
        """All or nothing; durable when the block ends. Blocks may be nested."""
        if self._in_block:
            yield
            return
        self._in_block = True
        try:
            self._roll_back()  # a block that had no memory to end
            self._db.execute("BEGIN IMMEDIATE")
            self._write_pending()
            yield
            self._db.execute("COMMIT")
            self._pending_written()
        except BaseException:
            self._roll_back()
            raise
        finally:
            self._in_block = False

    def _write_pending(self) -> None:
        """Write what is pending for the next transaction."""

    def _pending_written(self) -> None:
        """Drop what was pending: it is durable."""

    def _roll_back(self) -> None:
        if self._db.in_transaction:  # SQLite may have rolled back by itself
            self._db.execute("ROLLBACK")

    def _migrate(self) -> None:
        version = self._version()
        if version > len(MIGRATIONS):
            raise UserError(
                f"{self._path} was written by a newer autorl-daemon (ledger version {version}, "
                f"this one knows {len(MIGRATIONS)}): upgrade autorl-daemon"
            )
        if version == len(MIGRATIONS):
            return
        with self.transaction():
            # Another process may have migrated it while we waited for the lock.
            for number in range(self._version(), len(MIGRATIONS)):
                MIGRATIONS[number](self._db)
                self._db.execute(f"PRAGMA user_version = {number + 1}")

    def _version(self) -> int:
        return int(self._db.execute("PRAGMA user_version").fetchone()[0])

    def _write(self, statement: str, values: Sequence[object]) -> sqlite3.Cursor:
        with self.transaction():
            return self._db.execute(statement, values)


def to_json(value: object) -> str:
    """Return a value as JSON, in the ledger's format."""
    return json.dumps(value, separators=(",", ":"))


def storable(text: str) -> str:
    """Return text that SQLite can hold: lone surrogates are replaced."""
    return text.encode(errors="replace").decode()


def by_seed(text: str) -> dict[int, float]:
    """Return stored scores by seed."""
    return {int(seed): score for seed, score in json.loads(text).items()}
