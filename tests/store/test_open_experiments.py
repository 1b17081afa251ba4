"""What the ledger holds of experiments that are still open, several at a time."""

from dataclasses import replace
from pathlib import Path

import pytest

from orchestrator.core.evaluations import (
    Evaluation,
    Purpose,
    Report,
    RulerComparison,
    SeedResult,
    Verdict,
)
from orchestrator.core.records import Files, Reply, Rung, Status, Tokens
from orchestrator.store.ledger import Ledger
from orchestrator.store.runs import Run
from tests.store.conftest import RUNG, begin, finished

FILES = Files("env = 1\n", "train = 1\n")
OTHER = Files("env = 1\n", "train = 2\n")
CRASH = Evaluation(Status.CRASH, reason="wrong", details="line 1")


def test_replies_are_kept_with_their_errors_and_costs(ledger: Ledger) -> None:
    """Replies come back in order; what they cost adds up, unknown staying unknown."""
    n = begin(ledger, ordinal=1)
    ledger.save_reply(n, 1, Reply("one \udcff", Tokens(10, None, 2, None), 0.5))
    ledger.save_failure(n, 1, CRASH)
    ledger.save_reply(n, 2, Reply("two", Tokens(5, 1, 3, None), 0.25, "length"))
    replies = ledger.replies(n)
    assert [(r.text, r.finish_reason, error) for r, error in replies] == [
        ("one ?", "stop", CRASH),
        ("two", "length", None),
    ]
    assert ledger.spent(n) == (Tokens(15, 1, 5, None), 0.75)
    assert [(opened.n, opened.ordinal) for opened in ledger.open_experiments("t")] == [(n, 1)]
    rows = ledger._db.execute("SELECT agent FROM attempts").fetchall()
    assert [row["agent"] for row in rows] == ["a", "a"]


# -- the same code ---------------------------------------------------------------------------------


def test_code_is_reserved_while_an_experiment_is_open(ledger: Ledger) -> None:
    """Of two experiments in flight with the same code, the second learns of the first."""
    first, second = begin(ledger), begin(ledger)
    assert ledger.reserve_code(first, "t", RUNG, "fp", FILES) is None
    assert ledger.reserve_code(first, "t", RUNG, "fp", FILES) is None  # its own, after a restart
    assert ledger.files(first) == FILES
    assert ledger.reserve_code(second, "t", RUNG, "fp", FILES) == first
    assert ledger.files(second) is None
    assert ledger.reserve_code(second, "t", RUNG, "other", OTHER) is None
    assert ledger.files(second) == OTHER


def test_a_repair_gives_its_former_code_free(ledger: Ledger) -> None:
    """What counts is the code that the experiment has now."""
    first, second = begin(ledger), begin(ledger)
    ledger.reserve_code(first, "t", RUNG, "fp", FILES)
    ledger.reserve_code(first, "t", RUNG, "repaired", OTHER)
    assert ledger.reserve_code(second, "t", RUNG, "fp", FILES) is None


@pytest.mark.parametrize(
    ("status", "is_known"),
    [(Status.DISCARD, True), (Status.CRASH, True), (Status.INVALID, True),
     (Status.ABORTED, False), (Status.TIMEOUT, False)],
)  # fmt: skip
def test_code_that_was_evaluated_is_not_evaluated_again(
    ledger: Ledger, status: Status, *, is_known: bool
) -> None:
    """What was aborted, timed out, or tried at another rung or in another run may be tried again."""
    parent = "p" * 40
    n = begin(ledger)
    ledger.finish(finished(n, status=status), FILES, "fp")
    ledger.create_run(Run("u", "p" * 40, {}, "now"))
    elsewhere, above, again = begin(ledger, "u"), begin(ledger, rung=Rung(32, 8)), begin(ledger)
    assert ledger.reserve_code(elsewhere, "u", RUNG, "fp", FILES) is None
    assert ledger.reserve_code(above, "t", Rung(32, 8), "fp", FILES) is None
    same = ledger.reserve_code(again, "t", RUNG, "fp", FILES, parent=parent)
    assert same == (n if is_known else None)


@pytest.mark.parametrize(
    ("status", "is_known"),
    [(Status.DISCARD, False), (Status.KEEP, False), (Status.REJECTED, False),
     (Status.CRASH, True), (Status.INVALID, True)],
)  # fmt: skip
def test_code_may_be_judged_again_against_another_incumbent(
    ledger: Ledger, status: Status, *, is_known: bool
) -> None:
    """Undoing is allowed; what failed by itself fails whatever it is compared with."""
    n = begin(ledger)
    ledger.finish(replace(finished(n, status=status), verdict={"incumbent": 7}), FILES, "fp")
    again = begin(ledger)
    for incumbent in ((7,), (n,)):  # the same one, under another commit; or the code's own
        repeated = ledger.reserve_code(
            again, "t", RUNG, "fp", FILES, parent="other", incumbent=incumbent
        )
        assert repeated == n
    repeated = ledger.reserve_code(again, "t", RUNG, "fp", FILES, parent="other", incumbent=(8,))
    assert repeated == (n if is_known else None)


# -- ordinals --------------------------------------------------------------------------------------


def test_ordinals_are_taken_by_what_is_open_or_counted(ledger: Ledger) -> None:
    """No two proposals in flight share one; an aborted one leaves its own, given up it does not."""
    assert ledger.free_ordinal("t", ()) == 1
    assert ledger.free_ordinal("t", {1, 2}) == 3
    numbers = {ordinal: begin(ledger, ordinal=ordinal) for ordinal in (1, 2, 3)}
    assert ledger.free_ordinal("t", ()) == 4
    ledger.finish(finished(numbers[2], status=Status.ABORTED), None, None)
    assert ledger.free_ordinal("t", ()) == 2
    assert ledger.free_ordinal("t", {2}) == 4
    ledger.finish(finished(numbers[3], status=Status.ABORTED), None, None, given_up=True)
    ledger.finish(finished(numbers[1], status=Status.INVALID), None, None)
    assert ledger.free_ordinal("t", {2}) == 4
    ledger.create_run(Run("u", "p" * 40, {}, "now"))
    assert ledger.free_ordinal("u", ()) == 1


def test_a_reason_alone_gives_nothing_up(ledger: Ledger) -> None:
    """Being given up is a fact of its own, not a way to begin a sentence."""
    n = begin(ledger, ordinal=1)
    aborted = finished(n, status=Status.ABORTED, reason="given up: so it says")
    ledger.finish(aborted, None, None)
    assert ledger.free_ordinal("t", ()) == 1


# -- resumes ---------------------------------------------------------------------------------------


def test_resumes_are_counted_until_there_is_progress(ledger: Ledger) -> None:
    """A reply, a seed, a report or a failure recorded meanwhile begins the count anew."""
    n = begin(ledger)
    assert [ledger.count_resume(n) for _ in range(3)] == [1, 2, 3]
    ledger.save_reply(n, 1, Reply("a"))
    assert [ledger.count_resume(n) for _ in range(2)] == [1, 2]
    ledger.save_seed(n, RUNG, SeedResult(101, 1.0))
    assert [ledger.count_resume(n) for _ in range(2)] == [1, 2]
    ledger.save_report(n, Evaluation(None, score=1.0), 2.0)
    assert [ledger.count_resume(n) for _ in range(2)] == [1, 2]
    ledger.save_failure(n, 1, CRASH)
    assert [ledger.count_resume(n) for _ in range(2)] == [1, 2]


def test_a_failure_is_progress_although_it_forgets_seeds(ledger: Ledger) -> None:
    """As many records as before, of another attempt, are not the same step."""
    n = begin(ledger)
    ledger.save_reply(n, 1, Reply("a"))
    for seed in (101, 138):
        ledger.save_seed(n, RUNG, SeedResult(seed, 1.0))
    assert [ledger.count_resume(n) for _ in range(2)] == [1, 2]  # one reply, two seeds
    ledger.save_failure(n, 1, CRASH)
    ledger.save_reply(n, 2, Reply("b"))  # two replies, one failure
    assert ledger.count_resume(n) == 1


def test_each_experiment_has_its_own_resumes(ledger: Ledger) -> None:
    """Two experiments taken up by each start are both found out when no daemon survives them."""
    one, two = begin(ledger), begin(ledger)
    assert [(ledger.count_resume(one), ledger.count_resume(two)) for _ in range(4)] == [
        (1, 1), (2, 2), (3, 3), (4, 4),
    ]  # fmt: skip
    ledger.save_reply(two, 1, Reply("progress"))
    assert (ledger.count_resume(one), ledger.count_resume(two)) == (5, 1)


COMPARED = RulerComparison(
    episodes=64, observations=0, rewards=64, ends=1, successes=2, reward_ratio=0.1 + 0.2,
    return_there=-1 / 3, solve_rate_there=0.5,
)  # fmt: skip


# -- seeds and reports -----------------------------------------------------------------------------


def test_seeds_of_an_open_experiment_come_back_as_measured(ledger: Ledger, tmp_path: Path) -> None:
    """In the order of recording, with curve and resume text, in another process, rung by rung."""
    n, other = begin(ledger), begin(ledger)
    screened = SeedResult(
        138, 0.1 + 0.2, 0.5, (0.1, 1 / 3), 2.5, Purpose.SCREEN, RUNG, COMPARED, True
    )
    confirmed = SeedResult(1_000_000, None, purpose=Purpose.CONFIRM, rung=RUNG)
    ledger.save_seed(n, RUNG, SeedResult(138, 9.0, rung=RUNG), "old")
    ledger.save_seed(n, RUNG, screened, "text")
    ledger.save_seed(n, RUNG, confirmed)
    ledger.save_seed(n, Rung(32, 8), SeedResult(101, 7.0), "above")
    ledger.save_seed(other, RUNG, SeedResult(101, 8.0))
    ledger.save_pending()
    with Ledger(tmp_path / "ledger.sqlite") as again:
        measured = again.measured_seeds(n, RUNG)
        assert measured == {138: (screened, "text"), 1_000_000: (confirmed, None)}
        assert list(measured) == [138, 1_000_000]
        assert list(again.measured_seeds(n, Rung(32, 8))) == [101]


def test_seeds_told_in_a_burst_share_a_transaction(ledger: Ledger, tmp_path: Path) -> None:
    """The first is durable at once; those right after it are with the next write, or when read."""
    n = begin(ledger)
    with Ledger(tmp_path / "ledger.sqlite") as reader:
        ledger.save_seed(n, RUNG, SeedResult(1, 1.0))
        assert list(reader.measured_seeds(n, RUNG)) in ([], [1])  # `begin` was just a write, too
        for seed in range(2, 30):
            ledger.save_seed(n, RUNG, SeedResult(seed, 1.0))
        assert len(reader.measured_seeds(n, RUNG)) < 29
        assert len(ledger.measured_seeds(n, RUNG)) == 29
        assert len(reader.measured_seeds(n, RUNG)) == 29
        ledger.save_seed(n, RUNG, SeedResult(30, 1.0))
        ledger.save_reply(n, 1, Reply("a"))
        assert len(reader.measured_seeds(n, RUNG)) == 30


def test_a_failure_forgets_what_its_candidate_measured(ledger: Ledger) -> None:
    """The repaired candidate is another: nothing of the old one may be taken for its own."""
    n, other = begin(ledger), begin(ledger)
    for k in (n, other):
        ledger.save_reply(k, 1, Reply("a"))
        ledger.save_seed(k, RUNG, SeedResult(101, 1.0))
        ledger.save_report(k, Evaluation(None, score=1.0), 2.0)
    ledger.save_failure(n, 1, CRASH)
    assert ledger.measured_seeds(n, RUNG) == {}
    assert ledger.saved_report(n) is None
    assert list(ledger.measured_seeds(other, RUNG)) == [101]
    assert ledger.saved_report(other) is not None


def test_an_end_replaces_what_was_measured(ledger: Ledger) -> None:
    """The seeds of the verdict stand; resume texts, other seeds and the report are gone."""
    n = begin(ledger)
    for seed in (101, 138, 1_000_000):
        ledger.save_seed(n, RUNG, SeedResult(seed, 1.0), "text")
    ledger.save_report(n, Evaluation(None, score=1.0), 2.0)
    used = [
        SeedResult(101, 2.0, compared=COMPARED),
        SeedResult(1_000_001, 3.0, purpose=Purpose.CONFIRM),
    ]
    ledger.finish(finished(n), FILES, None, used)
    evidence = [(s.seed, s.value, s.purpose, s.rung) for s in ledger.evidence(n)]
    assert evidence == [(101, 2.0, Purpose.SCREEN, RUNG), (1_000_001, 3.0, Purpose.CONFIRM, RUNG)]
    assert [s.compared for s in ledger.evidence(n)] == [COMPARED, None]
    assert ledger.measured_seeds(n, RUNG) == {}
    assert ledger.saved_report(n) is None
    assert (
        ledger._db.execute("SELECT count(*) FROM evidence WHERE resume NOT NULL").fetchone()[0] == 0
    )


def test_a_saved_report_comes_back_whole(ledger: Ledger) -> None:
    """Status, verdict, seeds, flags, even an infinite statistic: as if there had been no restart."""
    n = begin(ledger)
    seeds = (
        SeedResult(101, 0.5, 0.25, (0.5, 1.0), 1.5, Purpose.SCREEN, RUNG, COMPARED),
        SeedResult(1_000_000, None, purpose=Purpose.CONFIRM),
    )
    verdict = Verdict(Status.KEEP, "kept: +1", stage="confirm", gain=1.0, statistic=float("inf"))
    evaluation = Evaluation(
        None, 0.5, {101: 0.5}, 20, Report({"mean_solve_rate": 0.25, "seed_results": [{"seed": 101}]}),
        ("reward scale: 10",), "fine", "out \udcff", replay="{}", seeds=seeds, verdict=verdict,
    )  # fmt: skip
    ledger.save_report(n, evaluation, 2.5)
    assert ledger.saved_report(n) == (evaluation, 2.5)
    rejected = Evaluation(Status.REJECTED, 1.0, reason="no")
    ledger.save_report(n, rejected, 1.0)
    assert ledger.saved_report(n) == (rejected, 1.0)
