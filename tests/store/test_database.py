"""Ledgers of former versions, from stored files; of later ones, refused."""

import shutil
import sqlite3
from dataclasses import replace
from pathlib import Path

import pytest

from orchestrator.core.experiments import StopKind, StopReason
from orchestrator.core.records import Files, Status
from orchestrator.planning.state import replay
from orchestrator.store.ledger import Ledger
from orchestrator.store.migrations import MIGRATIONS
from tests.conftest import Cli, git
from tests.ledgers import FILES, PROVEN, RUNG, SCREENED, WHEN, stored

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
        assert [e.ended for e in ledger.endings("old")] == [1, 2, 3]
        state = replay(ledger.endings("old"), ledger.moves("old"))
        assert state.incumbent is not None
        assert (state.incumbent.n, state.incumbent.commit, state.rung) == (3, "b" * 40, RUNG)
        assert ledger.notes() == ["a note"]
        assert [(o.n, o.ordinal) for o in ledger.open_experiments("old")] == [(4, 3)]
        assert [failure and failure.reason for _, failure in ledger.replies(4)] == ["boom", None]
        assert len(ledger.key()) == 32
    db = sqlite3.connect(path)
    assert db.execute("PRAGMA user_version").fetchone()[0] == len(MIGRATIONS)
    assert db.execute("PRAGMA integrity_check").fetchone()[0] == "ok"
    assert db.execute("PRAGMA foreign_key_check").fetchall() == []
    db.close()
    assert schema(path) == schema(tmp_path / "new.sqlite")


def migrated(version: int, tmp_path: Path, script: str) -> Ledger:
    """Return a stored ledger as today's, after statements in the tables of its version."""
    path = tmp_path / "ledger.sqlite"
    shutil.copyfile(stored(version), path)
    with sqlite3.connect(path) as db:
        db.executescript(script)
    db.close()
    return Ledger(path)


def old_row(n: int, status: str | None, reason: str = "", *, tag: str = "old") -> str:
    """Return the SQL of an experiment as former versions had it."""
    ended, score = ("NULL", "NULL") if status is None else (f"'{status}'", n / 8)
    return (
        "INSERT INTO experiments (n, tag, is_baseline, status, train_episodes, eval_episodes, agent,"
        f" reason, score, created_at) VALUES ({n}, '{tag}', 0, {ended}, 12, 8, 'a', '{reason}',"
        f" {score}, '{WHEN}');"
    )


OLD_ROWS = f"""
UPDATE experiments SET status = 'aborted', reason = 'interrupted' WHERE n = 4;
INSERT INTO runs (tag, parent, evaluator, created_at) VALUES ('other', 'x', '{{}}', '{WHEN}');
{old_row(5, "aborted", "given up: the daemon died 4 times")}
{old_row(6, "crash")}
{old_row(7, "keep", tag="other")}
{old_row(8, "discard")}
{old_row(9, None)}
INSERT INTO accepts (tag, n, after_n, commit_hash, created_at) VALUES
  ('old', 2, 7, '{"c" * 40}', '{WHEN}'), ('other', 7, 8, '{"d" * 40}', '{WHEN}'),
  ('old', 1, 0, '{"e" * 40}', '{WHEN}');
INSERT INTO meta VALUES ('resumed', '[9, 1, 3]');
"""


@pytest.mark.parametrize("version", [1, 2, 3])
def test_old_experiments_get_their_endings_and_ordinals(version: int, tmp_path: Path) -> None:
    """Endings by number; ordinals by what counted or was given up, run by run; open ones the next."""
    with migrated(version, tmp_path, OLD_ROWS) as ledger:
        assert [(e.n, e.ended) for e in ledger.experiments()] == [(n, n) for n in range(1, 9)]
        rows = ledger._db.execute(
            "SELECT n, ordinal, given_up, resumes FROM experiments ORDER BY n"
        )
        assert [tuple(row) for row in rows] == [
            (1, None, 0, 0), (2, 1, 0, 0), (3, 2, 0, 0), (4, None, 0, 0), (5, 3, 1, 0),
            (6, 4, 0, 0), (7, 1, 0, 0), (8, 5, 0, 0), (9, 6, 0, 0),
        ]  # fmt: skip
        assert [(o.n, o.ordinal) for o in ledger.open_experiments("old")] == [(9, 6)]
        assert ledger.free_ordinal("old", ()) == 7
        assert ledger.count_resume(9) == 1
        given_up = ledger.experiment(5)
        assert given_up is not None
        assert given_up.reason == "given up: the daemon died 4 times"
        n = ledger.begin("old", is_baseline=False, rung=RUNG, agent="a", parent="a", when=WHEN)
        assert ledger.finish(replace(given_up, n=n), None, None).ended == 9


@pytest.mark.parametrize("version", [1, 2, 3])
def test_old_overrides_follow_the_ending_that_they_followed(version: int, tmp_path: Path) -> None:
    """Also where the last number before them was another run's, or there was none."""
    with migrated(version, tmp_path, OLD_ROWS) as ledger:
        of_old = [(a.n, a.after_ended) for a in ledger.accepts("old")]
        assert of_old == [(3, 3), (2, 7), (1, 0)]
        assert [(a.n, a.after_ended) for a in ledger.accepts("other")] == [(7, 8)]
        state = replay(ledger.endings("old"), ledger.moves("old"))
        assert state.incumbent is not None
        assert (state.incumbent.n, state.since_keep_at_rung) == (2, 1)


def test_an_override_counts_what_was_open_then_as_later(tmp_path: Path) -> None:
    """An experiment in hand when a person decided ended after that, though its number is lower."""
    script = "INSERT INTO accepts SELECT 9, 'old', 2, 4, 'x', created_at FROM accepts;"
    with migrated(3, tmp_path, script) as ledger:
        assert [a.after_ended for a in ledger.accepts("old")] == [3, 3]


STOPS = {
    "the baseline failed: crash: boom": StopKind.BASELINE_FAILED,
    "limits.hours reached (1 of 1)": StopKind.LIMIT,
    "stopped by the user": StopKind.REQUESTED,
    "stopped at once (SIGTERM)": StopKind.TERMINATED,
    "stopped at once (interrupted)": StopKind.INTERRUPTED,
    "bug: KeyError: 1": StopKind.BUG,
    "script ended": StopKind.FINISHED,
    "nothing to tune: every value in reach was tried": StopKind.FINISHED,
    "the run is at 12/8, beyond budget.max_train_episodes": StopKind.STUCK,
    "the accepted candidate #2 failed on 3 of 4 fresh seeds": StopKind.STUCK,
}


@pytest.mark.parametrize("version", [1, 2, 3])
def test_old_stop_reasons_get_their_kinds(version: int, tmp_path: Path) -> None:
    """Read from the text once, which stays as it was; a run that has not ended has no reason."""
    rows = ", ".join(f"('{n}', 'x', '{{}}', '{WHEN}', '{text}')" for n, text in enumerate(STOPS))
    script = f"INSERT INTO runs (tag, parent, evaluator, created_at, stop_reason) VALUES {rows};"
    with migrated(version, tmp_path, script) as ledger:
        runs = [ledger.run(str(n)) for n in range(len(STOPS))]
        assert {r.stop.text: r.stop.kind for r in runs if r and r.stop} == STOPS
        old = ledger.run("old")
        assert old is not None
        assert old.stop is None


@pytest.mark.parametrize("version", [2, 3])
def test_an_old_report_is_measured_again(version: int, tmp_path: Path) -> None:
    """The saved report of an experiment that is open has a form of its own: it is dropped."""
    script = 'INSERT INTO evaluations VALUES (4, \'{"status": null, "evidence": []}\', 1.5);'
    with migrated(version, tmp_path, script) as ledger:
        assert ledger.saved_report(4) is None
        assert len(ledger.replies(4)) == 2


def test_seeds_of_an_open_experiment_are_stored(tmp_path: Path) -> None:
    """What version 4 keeps of an experiment in hand is read by every later one."""
    with migrated(4, tmp_path, "") as ledger:
        assert ledger.measured_seeds(4, RUNG) == {101: (SCREENED, "resume")}
        assert ledger.files(4) == Files("env = 1\n", "train = 4\n")
        run = ledger.run("old")
        assert run is not None
        assert run.stop == StopReason(StopKind.REQUESTED, "stopped by the user")


def test_moves_of_the_lead_are_stored(tmp_path: Path) -> None:
    """What version 7 keeps of a lead that was proven is read by every later one."""
    with migrated(7, tmp_path, "") as ledger:
        assert ledger.lead_moves("old") == [PROVEN]
        assert [move.n for move in ledger.moves("old")] == [2, 3]
        proven = ledger.experiment(2)
        assert proven is not None
        assert (proven.status, proven.took_lead, proven.proven_at) == (Status.KEEP, True, WHEN)


@pytest.mark.parametrize("version", range(1, 7))
def test_a_ledger_of_before_has_no_leads(version: int, tmp_path: Path) -> None:
    """Its overrides are its moves, in their order; its keeps were proven one by one."""
    with migrated(version, tmp_path, "") as ledger:
        assert ledger.lead_moves("old") == []
        assert ledger.moves("old") == ledger.accepts("old")
        assert [accept.n for accept in ledger.accepts("old")] == [3]
        assert not any(e.took_lead or e.proven_at for e in ledger.experiments("old"))


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
