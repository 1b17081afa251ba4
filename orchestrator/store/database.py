"""The ledger's database: its tables, the migrations of older ledgers, and durable transactions.

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
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, Self

from orchestrator.core.errors import LedgerError, UserError
from orchestrator.core.experiments import StopKind

Row = sqlite3.Row

_SCHEMA_1 = """
CREATE TABLE meta (key TEXT PRIMARY KEY, value TEXT NOT NULL);
CREATE TABLE runs (
  tag TEXT PRIMARY KEY, parent TEXT NOT NULL, evaluator TEXT NOT NULL, created_at TEXT NOT NULL,
  stop_reason TEXT, pause_reason TEXT, seconds REAL NOT NULL DEFAULT 0
);
CREATE TABLE blobs (sha256 TEXT PRIMARY KEY, text TEXT NOT NULL);
CREATE TABLE experiments (
  n INTEGER PRIMARY KEY AUTOINCREMENT, tag TEXT NOT NULL REFERENCES runs (tag),
  is_baseline INTEGER NOT NULL, status TEXT, train_episodes INTEGER NOT NULL,
  eval_episodes INTEGER NOT NULL, agent TEXT NOT NULL, description TEXT NOT NULL DEFAULT '',
  rationale TEXT NOT NULL DEFAULT '', parent TEXT, commit_hash TEXT,
  env_sha256 TEXT REFERENCES blobs (sha256), train_sha256 TEXT REFERENCES blobs (sha256),
  fingerprint TEXT, score REAL, scores_by_seed TEXT NOT NULL DEFAULT '{}', max_steps INTEGER,
  metrics TEXT NOT NULL DEFAULT '{}', flags TEXT NOT NULL DEFAULT '[]',
  reason TEXT NOT NULL DEFAULT '', details TEXT NOT NULL DEFAULT '',
  seconds TEXT NOT NULL DEFAULT '{}', tokens TEXT NOT NULL DEFAULT '{}', cost_usd REAL,
  created_at TEXT NOT NULL, finished_at TEXT
);
CREATE INDEX experiments_by_run ON experiments (tag, n);
CREATE INDEX experiments_by_fingerprint ON experiments (fingerprint);
CREATE TABLE attempts (
  n INTEGER NOT NULL REFERENCES experiments (n), k INTEGER NOT NULL, reply TEXT NOT NULL,
  finish_reason TEXT NOT NULL, tokens TEXT NOT NULL, cost_usd REAL,
  status TEXT, error TEXT,
  PRIMARY KEY (n, k)
);
CREATE TABLE accepts (
  id INTEGER PRIMARY KEY, tag TEXT NOT NULL, n INTEGER NOT NULL, after_n INTEGER NOT NULL,
  commit_hash TEXT NOT NULL, created_at TEXT NOT NULL
);
CREATE TABLE notes (id INTEGER PRIMARY KEY, text TEXT NOT NULL, created_at TEXT NOT NULL);
CREATE TABLE requests (
  id INTEGER PRIMARY KEY, kind TEXT NOT NULL, argument TEXT, created_at TEXT NOT NULL
);
"""

_SCHEMA_2 = """
CREATE TABLE evaluations (
  n INTEGER PRIMARY KEY REFERENCES experiments (n), evaluation TEXT NOT NULL, seconds REAL NOT NULL
)"""

_SCHEMA_3 = """
CREATE TABLE evidence (
  n INTEGER NOT NULL REFERENCES experiments (n), train_episodes INTEGER NOT NULL,
  eval_episodes INTEGER NOT NULL, seed INTEGER NOT NULL, role TEXT NOT NULL, value REAL,
  solve_rate REAL, curve TEXT NOT NULL DEFAULT '[]', seconds REAL,
  PRIMARY KEY (n, train_episodes, eval_episodes, seed)
);
CREATE INDEX evidence_by_role ON evidence (role, train_episodes, eval_episodes, n);
ALTER TABLE experiments ADD COLUMN verdict TEXT NOT NULL DEFAULT '{}'"""

_SCHEMA_4 = """
ALTER TABLE experiments ADD COLUMN ended INTEGER;
CREATE UNIQUE INDEX experiments_by_ending ON experiments (ended);
ALTER TABLE experiments ADD COLUMN ordinal INTEGER;
ALTER TABLE experiments ADD COLUMN given_up INTEGER NOT NULL DEFAULT 0;
ALTER TABLE experiments ADD COLUMN resumes INTEGER NOT NULL DEFAULT 0;
ALTER TABLE experiments ADD COLUMN resumed_at_step INTEGER;
ALTER TABLE runs ADD COLUMN stop_kind TEXT;
ALTER TABLE accepts RENAME COLUMN after_n TO after_ended;
ALTER TABLE attempts ADD COLUMN agent TEXT;
ALTER TABLE evidence ADD COLUMN resume TEXT"""

_STOP_KINDS = (
    ("the baseline failed", StopKind.BASELINE_FAILED),
    ("limits.", StopKind.LIMIT),
    ("stopped by the user", StopKind.REQUESTED),
    ("stopped at once (SIGTERM)", StopKind.TERMINATED),
    ("stopped at once (interrupted)", StopKind.INTERRUPTED),
    ("bug: ", StopKind.BUG),
    ("script ended", StopKind.FINISHED),
    ("nothing to tune", StopKind.FINISHED),
)
"""Beginnings of former versions' stop reasons; any other one meant that the user must act."""

_BUSY_TIMEOUT_S = 10.0


def _run_script(db: sqlite3.Connection, script: str) -> None:
    for statement in script.split(";\n"):
        db.execute(statement)


def _first_schema(db: sqlite3.Connection) -> None:
    _run_script(db, _SCHEMA_1)


def _evaluations(db: sqlite3.Connection) -> None:
    _run_script(db, _SCHEMA_2)


def _evidence(db: sqlite3.Connection) -> None:
    _run_script(db, _SCHEMA_3)


def _order_of_endings(db: sqlite3.Connection) -> None:
    _run_script(db, _SCHEMA_4)
    db.execute(
        "UPDATE experiments SET given_up = 1"
        " WHERE status = 'aborted' AND substr(reason, 1, 10) = 'given up: '"
    )
    _number_endings(db)
    # The column still holds the number of the last finished experiment. Numbers were endings.
    db.execute(
        "UPDATE accepts SET after_ended ="
        " coalesce((SELECT max(ended) FROM experiments WHERE n <= after_ended), 0)"
    )
    rows = db.execute("SELECT tag, stop_reason FROM runs WHERE stop_reason NOT NULL").fetchall()
    for row in rows:
        text = row["stop_reason"]
        kinds = (kind for start, kind in _STOP_KINDS if text.startswith(start))
        kind = next(kinds, StopKind.STUCK)
        db.execute("UPDATE runs SET stop_kind = ? WHERE tag = ?", (kind.value, row["tag"]))
    db.execute(
        "UPDATE attempts SET agent ="
        " (SELECT agent FROM experiments WHERE experiments.n = attempts.n)"
    )
    # Reports of open experiments, in a former version's format: these experiments are evaluated
    # again.
    db.execute("DELETE FROM evaluations")
    db.execute("DELETE FROM meta WHERE key = 'resumed'")


def _number_endings(db: sqlite3.Connection) -> None:
    """Number endings and ordinals of former versions, which ran one experiment at a time.

    An aborted proposal left its ordinal to the next one, unless it was given up. An open experiment
    has the next one.
    """
    ended, ordinals = 0, Counter[str]()
    rows = db.execute(
        "SELECT n, tag, is_baseline, status, given_up FROM experiments ORDER BY status IS NULL, n"
    ).fetchall()
    for row in rows:
        if row["status"] is not None:
            ended += 1
            db.execute("UPDATE experiments SET ended = ? WHERE n = ?", (ended, row["n"]))
        if not row["is_baseline"] and (row["status"] != "aborted" or row["given_up"]):
            ordinals[row["tag"]] += 1
            ordinal = ordinals[row["tag"]]
            db.execute("UPDATE experiments SET ordinal = ? WHERE n = ?", (ordinal, row["n"]))


MIGRATIONS: Sequence[Callable[[sqlite3.Connection], None]] = (
    _first_schema, _evaluations, _evidence, _order_of_endings,
)  # fmt: skip
"""The i-th migrates a ledger from version i to version i + 1, within the caller's transaction.

A new version needs one function at the end of this list, and a stored ledger of that version
(`python -m tests.ledgers`).
"""


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

    @property
    def changes(self) -> int:
        """Rows changed by this connection so far; while it stays the same, so do all rows."""
        return self._db.total_changes

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
