"""The ledger, on real SQLite files."""

import sqlite3
from dataclasses import replace
from pathlib import Path

import pytest

from orchestrator.core.errors import LedgerError, UserError
from orchestrator.core.evaluations import Report, SeedResult
from orchestrator.core.experiments import Seconds, StopKind, StopReason
from orchestrator.core.records import Files, Status, Tokens
from orchestrator.planning.state import replay
from orchestrator.store.ledger import Ledger
from orchestrator.store.migrations import MIGRATIONS
from orchestrator.store.runs import Run
from tests.store.conftest import RUNG, begin, finished

FILES = Files("env = 1\n", "train = 1\n")


def test_an_experiment_comes_back_as_it_was_recorded(ledger: Ledger) -> None:
    """Every field of an experiment and both files survive the round trip."""
    experiment = finished(
        begin(ledger), status=Status.KEEP, description="ünï", rationale="x\ny", commit="c" * 40,
        score=0.1 + 0.2, scores_by_seed={101: 1 / 3, 138: -0.0}, max_steps=20,
        report=Report({"seed_results": [{"seed": 101}]}), flags=("a", "b"), reason="kept", details="d",
        seconds=Seconds(1.0, 2.0, 0.5), tokens=Tokens(1, None, 3, None), cost_usd=0.25,
        finished_at="2026-11-22T00:00:01Z",
    )  # fmt: skip
    recorded = ledger.finish(experiment, FILES, "fp")
    assert recorded == replace(experiment, ended=1)
    assert ledger.experiment(experiment.n) == recorded
    assert ledger.files(experiment.n) == FILES
    assert list(ledger.experiments("t")) == list(ledger.endings("t")) == [recorded]


def test_a_finished_experiment_is_not_finished_twice(ledger: Ledger) -> None:
    """The first verdict stands, with its place among the endings and its seeds."""
    n = begin(ledger)
    first = ledger.finish(finished(n, reason="first"), FILES, None, [SeedResult(101, 1.0)])
    assert ledger.finish(finished(n, reason="second"), None, None) == first
    assert ledger.experiment(n) == first
    assert [seed.value for seed in ledger.evidence(n)] == [1.0]
    assert begin(ledger) == 2
    assert ledger.finish(finished(2), None, None).ended == 2


def test_experiments_are_told_by_number_or_by_ending(ledger: Ledger) -> None:
    """People see them in order of number; what decisions rest on is the order of endings."""
    ledger.create_run(Run("u", "p" * 40, {}, "now"))
    first, second, third = (begin(ledger) for _ in range(3))
    other = begin(ledger, "u")
    for n in (second, other, third, first):
        tag = "u" if n == other else "t"
        ledger.finish(
            finished(n, tag=tag, report=Report({"mean_solve_rate": 0.5, "x": 1})), None, None
        )
    assert [(e.n, e.ended) for e in ledger.experiments("t")] == [(1, 4), (2, 1), (3, 3)]
    assert [e.n for e in ledger.experiments()] == [1, 2, 3, 4]
    assert [(e.n, e.ended) for e in ledger.endings("t")] == [(2, 1), (3, 3), (1, 4)]
    assert [(e.n, e.ended) for e in ledger.endings("u")] == [(4, 2)]
    assert [e.n for e in ledger.recent("t", 2)] == [3, 1]
    assert [dict(e.report.facts) for e in ledger.recent("t", 1)] == [{"mean_solve_rate": 0.5}]


def test_an_override_follows_the_last_ending(ledger: Ledger) -> None:
    """What ends later comes after it, whatever its number: a restart sees what the daemon saw."""
    first = ledger.begin("t", is_baseline=True, rung=RUNG, agent="", parent="p" * 40, when="now")
    slow, quick = begin(ledger), begin(ledger)
    baseline = finished(first, is_baseline=True, status=Status.BASELINE, score=0.0, commit="b" * 40)
    ledger.finish(baseline, FILES, None)
    ledger.finish(finished(quick, score=1.0, commit="q" * 40), FILES, None)
    accept = ledger.accept("t", quick, "a" * 40, "now")
    assert (accept.n, accept.after_ended, accept.score, accept.rung) == (quick, 2, 1.0, RUNG)
    kept = finished(slow, status=Status.KEEP, score=2.0, commit="s" * 40)
    ledger.finish(kept, FILES, None)
    state = replay(ledger.endings("t"), ledger.accepts("t"))
    assert state.incumbent is not None
    assert (state.incumbent.n, state.incumbent.commit) == (slow, "s" * 40)


def test_a_run_has_the_reason_why_it_ended(ledger: Ledger) -> None:
    """Kind and line survive together, and are gone when the run goes on."""
    stop = StopReason(StopKind.LIMIT, "limits.hours reached (1 of 1)")
    ledger.set_stop_reason("t", stop)
    run = ledger.run("t")
    assert run is not None
    assert run.stop == stop
    ledger.set_stop_reason("t", None)
    assert ledger.run("t") == replace(run, stop=None) == ledger.last_run()


def test_an_experiment_without_files_has_none(ledger: Ledger) -> None:
    """A reply that led to no files leaves none to get back."""
    n = begin(ledger)
    ledger.finish(finished(n, status=Status.INVALID), None, None)
    assert ledger.files(n) is None


def test_a_transaction_left_open_is_rolled_back_by_the_next(ledger: Ledger) -> None:
    """A rollback that had no memory to run leaves nothing that later writes could drown in."""
    ledger._db.execute("BEGIN IMMEDIATE")
    ledger._db.execute("INSERT INTO notes (text, created_at) VALUES ('lost', 'now')")
    ledger.add_note("kept", "now")
    with Ledger(ledger._path) as other:
        assert other.notes() == ["kept"]


def test_a_failed_transaction_leaves_nothing(ledger: Ledger) -> None:
    """All or nothing."""

    class Boom(Exception):
        pass

    with pytest.raises(Boom), ledger.transaction():
        begin(ledger)
        raise Boom
    assert ledger.open_experiments("t") == []


def test_the_key_is_made_once(tmp_path: Path) -> None:
    """The workspace's secret stays the same from one opening to the next, and differs elsewhere."""
    with Ledger(tmp_path / "a") as one, Ledger(tmp_path / "b") as other:
        key = one.key()
        assert len(key) == 32
        assert other.key() != key
    with Ledger(tmp_path / "a") as again:
        assert again.key() == key


def test_requests_are_dropped_up_to_the_one_obeyed(ledger: Ledger) -> None:
    """A request that came in meanwhile is not lost."""
    for kind in ("pause", "accept", "pause"):
        ledger.add_request(kind, None, "now")
    first = ledger.requests()[0]
    ledger.drop_requests("pause", up_to=first.id)
    assert [request.kind for request in ledger.requests()] == ["accept", "pause"]
    ledger.drop_requests("pause", "accept", up_to=first.id + 1)
    assert [request.kind for request in ledger.requests()] == ["pause"]


def test_a_newer_ledger_is_refused_untouched(tmp_path: Path) -> None:
    """A ledger of a later version is left byte-identical, and the cure is named."""
    path = tmp_path / "ledger.sqlite"
    Ledger(path).close()
    with sqlite3.connect(path) as db:
        db.execute(f"PRAGMA user_version = {len(MIGRATIONS) + 1}")
    db.close()
    before = path.read_bytes()
    with pytest.raises(UserError, match="upgrade autorl-daemon"):
        Ledger(path)
    assert path.read_bytes() == before


def test_a_file_that_is_no_ledger_is_refused(tmp_path: Path) -> None:
    """Any other file in its place is named, not overwritten."""
    path = tmp_path / "ledger.sqlite"
    path.write_text("not a database, but long enough to look like one" * 20)
    with pytest.raises(UserError, match="can't be used as a ledger"):
        Ledger(path)


def test_a_reader_in_the_way_is_told_and_nothing_is_lost_later(tmp_path: Path) -> None:
    """A write that can't be committed is rolled back and reported; the next one goes through."""
    path = tmp_path / "ledger.sqlite"
    with Ledger(path) as ledger:
        ledger._db.execute("PRAGMA busy_timeout = 50")
        reader = sqlite3.connect(path, isolation_level=None)
        reader.execute("BEGIN")
        reader.execute("SELECT * FROM meta").fetchall()
        with pytest.raises(LedgerError, match="can't be written"):
            ledger.add_note("lost", "now")
        reader.close()
        ledger.add_note("kept", "now")
    with Ledger(path) as again:
        assert again.notes() == ["kept"]


def test_numbers_may_start_higher(ledger: Ledger) -> None:
    """Refs of a lost ledger are not numbered over."""
    ledger.number_from(7)
    ledger.number_from(3)
    assert begin(ledger) == 8


def test_two_processes_may_write(tmp_path: Path, ledger: Ledger) -> None:
    """The command line leaves a request while the daemon has the ledger open."""
    with Ledger(tmp_path / "ledger.sqlite") as other:
        other.add_request("stop", None, "now")
    assert [request.kind for request in ledger.requests()] == ["stop"]


def test_a_search_learns_from_what_was_stopped_early(ledger: Ledger) -> None:
    """A discard without a score is worth what its learning curve predicted."""
    for train, fields in (("one", {"score": 0.5}), ("two", {"verdict": {"foretold": 0.25}})):
        ledger.finish(finished(begin(ledger), **fields), Files("env", train), train)
    assert ledger.trials("t", RUNG) == [("one", 0.5), ("two", 0.25)]
