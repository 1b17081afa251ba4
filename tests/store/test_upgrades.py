"""Ledgers of former versions, from stored files; of later ones, refused."""

import shutil
import sqlite3
from pathlib import Path

import pytest

from orchestrator.core.records import Status
from orchestrator.planning.state import replay
from orchestrator.store.database import MIGRATIONS
from orchestrator.store.ledger import Ledger
from tests.conftest import Cli, git
from tests.ledgers import FILES, RUNG, WHEN, stored

VERSIONS = range(1, len(MIGRATIONS) + 1)


def schema(path: Path) -> list[str]:
    """Return every table and index as SQL, in order of name."""
    with sqlite3.connect(path) as db:
        rows = db.execute("SELECT sql FROM sqlite_master WHERE sql NOT NULL ORDER BY name")
        found = [" ".join(row[0].split()) for row in rows]
    db.close()
    return found


@pytest.mark.parametrize("version", VERSIONS)
def test_a_ledger_of_each_version_is_migrated(version: int, tmp_path: Path) -> None:
    """Everything in a stored ledger is there after its migration, in the schema of a new one."""
    assert stored(version).exists(), "write it with `python -m tests.ledgers` and commit it"
    path = tmp_path / "ledger.sqlite"
    shutil.copyfile(stored(version), path)
    with Ledger(path) as ledger, Ledger(tmp_path / "new.sqlite"):
        experiments = list(ledger.experiments("old"))
        assert [e.status for e in experiments] == [Status.BASELINE, Status.KEEP, Status.DISCARD]
        assert [e.score for e in experiments] == [0.25, 0.5, 0.75]
        assert experiments[1].flags == ("a flag",)
        assert {e.n: ledger.files(e.n) for e in experiments} == FILES
        state = replay(experiments, ledger.accepts("old"))
        assert state.incumbent is not None
        assert (state.incumbent.n, state.incumbent.commit, state.rung) == (3, "b" * 40, RUNG)
        assert ledger.notes() == ["a note"]
        assert [opened.n for opened in ledger.open_experiments("old")] == [4]
        assert [failure and failure.reason for _, failure in ledger.replies(4)] == ["boom", None]
        assert len(ledger.key()) == 32
    db = sqlite3.connect(path)
    assert db.execute("PRAGMA user_version").fetchone()[0] == len(MIGRATIONS)
    assert db.execute("PRAGMA integrity_check").fetchone()[0] == "ok"
    assert db.execute("PRAGMA foreign_key_check").fetchall() == []
    db.close()
    assert schema(path) == schema(tmp_path / "new.sqlite")


@pytest.mark.parametrize("version", VERSIONS)
def test_a_migrated_ledger_takes_new_experiments(version: int, tmp_path: Path) -> None:
    """The next experiment gets the next number."""
    path = tmp_path / "ledger.sqlite"
    shutil.copyfile(stored(version), path)
    with Ledger(path) as ledger:
        n = ledger.begin("old", is_baseline=False, rung=RUNG, agent="a", parent="a" * 40, when=WHEN)
    assert n == 5


def test_a_daemon_leaves_a_newer_ledger_alone(cli: Cli, stubbed) -> None:  # type: ignore[no-untyped-def]
    """Start, status and results name the cure, exit 2, and not a byte of the ledger changes."""
    Ledger(stubbed.ledger).close()
    with sqlite3.connect(stubbed.ledger) as db:
        db.execute(f"PRAGMA user_version = {len(MIGRATIONS) + 1}")
    db.close()
    before, refs = stubbed.ledger.read_bytes(), git(stubbed.root, "for-each-ref")
    for command in (["start"], ["start", "--foreground"], ["status"], ["results"], ["note", "x"]):
        done = cli(*command, cwd=stubbed.root)
        assert done.returncode == 2, done.stderr
        assert "upgrade autorl-daemon" in done.stderr
        assert len(done.stderr.splitlines()) == 1
    assert stubbed.ledger.read_bytes() == before
    assert list(stubbed.state.glob("ledger.sqlite-*")) == []
    assert git(stubbed.root, "for-each-ref") == refs
