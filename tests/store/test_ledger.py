"""The ledger, on real SQLite files."""

import sqlite3
from pathlib import Path

import pytest

from orchestrator.core.errors import LedgerError, UserError
from orchestrator.core.evaluations import Evaluation, Purpose, Report, SeedResult, Verdict
from orchestrator.core.experiments import Experiment, Seconds
from orchestrator.core.records import Files, Reply, Rung, Status, Tokens
from orchestrator.reporting.results import results_document
from orchestrator.reporting.terminal import show_lines
from orchestrator.store.database import MIGRATIONS
from orchestrator.store.ledger import GIVEN_UP, Ledger
from orchestrator.store.runs import Run

FILES = Files("env = 1\n", "train = 1\n")
RUNG = Rung(12, 8)


@pytest.fixture
def ledger(tmp_path: Path) -> Ledger:
    ledger = Ledger(tmp_path / "ledger.sqlite")
    ledger.create_run(Run("t", "p" * 40, {"evaluator.seed_count": 2}, "now"))
    return ledger


def begin(ledger: Ledger) -> int:
    return ledger.begin(
        "t", is_baseline=False, rung=RUNG, agent="a", parent="p" * 40, when="2026-11-22T00:00:00Z"
    )


def finished(n: int, **fields: object) -> Experiment:
    return Experiment(**({"n": n, "tag": "t", "is_baseline": False, "status": Status.DISCARD,
                          "rung": RUNG, "agent": "a", "parent": "p" * 40,
                          "created_at": "2026-11-22T00:00:00Z"} | fields))  # type: ignore[arg-type]  # fmt: skip


def test_an_experiment_comes_back_as_it_was_recorded(ledger: Ledger) -> None:
    """Every field of an experiment and both files survive the round trip."""
    experiment = finished(
        begin(ledger), status=Status.KEEP, description="ünï", rationale="x\ny", commit="c" * 40,
        score=0.1 + 0.2, scores_by_seed={101: 1 / 3, 138: -0.0}, max_steps=20,
        report=Report({"seed_results": [{"seed": 101}]}), flags=("a", "b"), reason="kept", details="d",
        seconds=Seconds(1.0, 2.0, 0.5), tokens=Tokens(1, None, 3, None), cost_usd=0.25,
        finished_at="2026-11-22T00:00:01Z",
    )  # fmt: skip
    ledger.finish(experiment, FILES, "fp")
    assert ledger.experiment(experiment.n) == experiment
    assert ledger.files(experiment.n) == FILES
    assert list(ledger.experiments("t")) == [experiment]


def test_a_finished_experiment_is_not_finished_twice(ledger: Ledger) -> None:
    """The first verdict stands."""
    n = begin(ledger)
    ledger.finish(finished(n, reason="first"), FILES, None)
    ledger.finish(finished(n, reason="second"), None, None)
    experiment = ledger.experiment(n)
    assert experiment is not None
    assert experiment.reason == "first"


def test_an_experiment_without_files_has_none(ledger: Ledger) -> None:
    """A reply that led to no files leaves none to get back."""
    n = begin(ledger)
    ledger.finish(finished(n, status=Status.INVALID), None, None)
    assert ledger.files(n) is None


def test_resumes_are_counted_until_there_is_progress(ledger: Ledger) -> None:
    """A reply, a failure or an evaluation begins the count anew, as does another experiment."""
    n, other = begin(ledger), begin(ledger)
    assert [ledger.count_resume(n) for _ in range(3)] == [1, 2, 3]
    ledger.save_reply(n, 1, Reply("a"))
    assert [ledger.count_resume(n) for _ in range(2)] == [1, 2]
    ledger.save_failure(n, 1, Evaluation(Status.CRASH, reason="boom"))
    assert ledger.count_resume(n) == 1
    ledger.save_evaluation(n, Evaluation(None, score=1.0), 2.0)
    assert [ledger.count_resume(n) for _ in range(2)] == [1, 2]
    assert ledger.count_resume(other) == 1


def test_a_proposal_that_was_given_up_was_dealt_with(ledger: Ledger) -> None:
    """Whoever proposes by a list goes on with the next; what was only interrupted comes again."""
    for reason, counted in (("interrupted", 0), (f"{GIVEN_UP}it kills", 1)):
        experiment = finished(begin(ledger), status=Status.ABORTED, reason=reason)
        ledger.finish(experiment, None, None)
        assert ledger.counted_proposals("t") == counted


def test_a_transaction_left_open_is_rolled_back_by_the_next(ledger: Ledger) -> None:
    """A rollback that had no memory to run leaves nothing that later writes could drown in."""
    ledger._db.execute("BEGIN IMMEDIATE")
    ledger._db.execute("INSERT INTO notes (text, created_at) VALUES ('lost', 'now')")
    ledger.add_note("kept", "now")
    with Ledger(ledger._path) as other:
        assert other.notes() == ["kept"]


def test_replies_are_kept_with_their_errors_and_costs(ledger: Ledger) -> None:
    """Replies come back in order; what they cost adds up, unknown staying unknown."""
    n = begin(ledger)
    ledger.save_reply(n, 1, Reply("one \udcff", Tokens(10, None, 2, None), 0.5))
    wrong = Evaluation(Status.CRASH, reason="wrong", details="line 1")
    ledger.save_failure(n, 1, wrong)
    ledger.save_reply(n, 2, Reply("two", Tokens(5, 1, 3, None), 0.25, "length"))
    replies = ledger.replies(n)
    assert [(r.text, r.finish_reason, error) for r, error in replies] == [
        ("one ?", "stop", wrong),
        ("two", "length", None),
    ]
    assert ledger.spent(n) == (Tokens(15, 1, 5, None), 0.75)
    assert [opened.n for opened in ledger.open_experiments("t")] == [n]


def test_the_same_code_is_found_at_the_same_rung_only(ledger: Ledger) -> None:
    """What was aborted or tried at another rung may be tried again."""
    n = begin(ledger)
    ledger.finish(finished(n), FILES, "fp")
    aborted = begin(ledger)
    ledger.finish(finished(aborted, status=Status.ABORTED), FILES, "other")
    assert ledger.tried_before("t", "fp", RUNG) == n
    assert ledger.tried_before("t", "fp", Rung(32, 8)) is None
    assert ledger.tried_before("u", "fp", RUNG) is None
    assert ledger.tried_before("t", "other", RUNG) is None


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


def test_what_a_lower_rung_screened_in_0_1_can_still_be_read(
    ledger: Ledger, tmp_path: Path
) -> None:
    """Seeds of the role `below` and a verdict of that stage: shown, and taken for nothing else."""
    verdict = Verdict(Status.DISCARD, "discarded: -0.3 at 12/8", stage="below", gain=-0.3)
    seeds = tuple(
        SeedResult(seed, 0.5, purpose=Purpose.LOWER_RUNG, rung=RUNG) for seed in (101, 138)
    )
    n, higher = begin(ledger), Rung(32, 8)
    ledger.save_evaluation(n, Evaluation(None, evidence=seeds, verdict=verdict), 1.0)
    known = ledger.evaluation(n)
    assert known is not None
    assert (known[0].verdict, known[0].evidence) == (verdict, seeds)
    stored = {"stage": "below", "gain": -0.3, "statistic": -2.0, "boundary": None}
    ledger.finish(finished(n, rung=higher, verdict=stored), FILES, None, seeds)
    (experiment,) = ledger.experiments("t")
    assert experiment.verdict == stored
    evidence = ledger.evidence(n)
    assert [(seed.seed, seed.purpose, seed.rung) for seed in evidence] == [
        (101, "below", RUNG), (138, "below", RUNG),
    ]  # fmt: skip
    assert ledger.screen(n, RUNG) == ledger.screen(n, higher) == ledger.reference(n, RUNG) == []
    assert ledger.references("t") == {}
    assert show_lines(experiment, evidence, tmp_path, "")[0].startswith(f"experiment {n}: discard")
    assert results_document(ledger, "t")[0]["verdict"]["stage"] == "below"
