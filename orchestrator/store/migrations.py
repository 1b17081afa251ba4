"""The ledger's tables, and the migrations of older ledgers."""

import sqlite3
from collections import Counter
from collections.abc import Callable, Sequence
from functools import partial

from orchestrator.core.experiments import StopKind

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

_SCHEMA_5 = """
ALTER TABLE notes ADD COLUMN deleted_at TEXT;
ALTER TABLE runs ADD COLUMN config TEXT"""

_SCHEMA_6 = """
ALTER TABLE evidence ADD COLUMN compared TEXT;
ALTER TABLE experiments ADD COLUMN edits INTEGER;
CREATE TABLE reviews (
  n INTEGER PRIMARY KEY REFERENCES experiments (n), review TEXT NOT NULL,
  tokens TEXT NOT NULL DEFAULT '{}', cost_usd REAL
);
CREATE TABLE lessons (
  id INTEGER PRIMARY KEY, tag TEXT NOT NULL REFERENCES runs (tag), text TEXT NOT NULL,
  after_n INTEGER NOT NULL, author TEXT NOT NULL, created_at TEXT NOT NULL
)"""

# A ledger of before has overrides alone, and no lead.
_SCHEMA_7 = """
CREATE TABLE moves (
  id INTEGER PRIMARY KEY, tag TEXT NOT NULL, kind TEXT NOT NULL, n INTEGER NOT NULL,
  after_ended INTEGER NOT NULL, commit_hash TEXT, created_at TEXT NOT NULL,
  reason TEXT NOT NULL DEFAULT '', gain REAL, standard_error REAL, seeds INTEGER NOT NULL DEFAULT 0
);
INSERT INTO moves (id, tag, kind, n, after_ended, commit_hash, created_at)
  SELECT id, tag, 'accept', n, after_ended, commit_hash, created_at FROM accepts;
DROP TABLE accepts;
ALTER TABLE experiments ADD COLUMN proven_at TEXT"""

_SCHEMA_8 = """
CREATE TABLE calls (
  id INTEGER PRIMARY KEY, tag TEXT NOT NULL REFERENCES runs (tag), agent TEXT NOT NULL,
  tokens INTEGER NOT NULL, cost_usd REAL NOT NULL, is_open INTEGER NOT NULL DEFAULT 1,
  lost INTEGER NOT NULL DEFAULT 0, began_at TEXT NOT NULL
)"""

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


def _run_script(db: sqlite3.Connection, script: str) -> None:
    for statement in script.split(";\n"):
        db.execute(statement)


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
    partial(_run_script, script=_SCHEMA_1),
    partial(_run_script, script=_SCHEMA_2),
    partial(_run_script, script=_SCHEMA_3),
    _order_of_endings,
    partial(_run_script, script=_SCHEMA_5),
    partial(_run_script, script=_SCHEMA_6),
    partial(_run_script, script=_SCHEMA_7),
    partial(_run_script, script=_SCHEMA_8),
)
"""The i-th migrates a ledger from version i to version i + 1, within the caller's transaction.

A new version needs one function at the end of this list, and a stored ledger of that version
(`python -m tests.ledgers`).
"""
