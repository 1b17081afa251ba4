"""Reviews: asked for once, recorded before anything follows, and never waited for without end."""

from collections.abc import Callable
from typing import Any

import pytest

from orchestrator.core.errors import LedgerError
from orchestrator.core.experiments import Experiment
from orchestrator.core.records import Phase, Status, Tokens
from orchestrator.core.reviews import NoReview, Opinion, Review
from orchestrator.engine.engine import TRANSIENT_ERRORS, Engine
from orchestrator.engine.reviewing import WAITING_FOR_REVIEW
from orchestrator.proposals.agent_events import AgentWaits
from orchestrator.store.ledger import Ledger
from tests.engine.conftest import TAG, Lab
from tests.fakes import StubReviewer, reply

EARNED = Review(Opinion.EARNED, "better play", "stub", Tokens(100, None, 10, None), 0.5)
GAMING = Review(Opinion.GAMING, "a bonus", "stub", Tokens(100, None, 10, None), 0.5)


def said(experiment: Experiment) -> str:
    """Return what is recorded of an experiment's review."""
    return " ".join((experiment.review or {}).values())


def engine_of(lab: Lab, reviewer: StubReviewer | None, *scores: float, **sections: Any) -> Engine:
    """Return an engine whose keeps are reviewed."""
    replies = [reply(lab.train(SCORE=score)) for score in scores]
    return lab.engine(replies, reviewer=reviewer, **sections)


def until(engine: Engine, holds: Callable[[], object]) -> None:
    """Let an engine make turns until something holds."""
    for _ in range(2000):
        if holds():
            return
        try:
            assert engine.turn() is None
        except TRANSIENT_ERRORS:
            engine.run_record.is_behind = engine._stepper.has_changed = True
    raise AssertionError("it never held")


def reviews(lab: Lab) -> list[str]:
    """Return what the ledger's reviews say."""
    rows = lab.ledger._db.execute("SELECT review FROM reviews ORDER BY n").fetchall()
    return [row["review"] for row in rows]


def test_a_keep_is_reviewed_before_it_is_recorded(lab: Lab) -> None:
    """The reviewer sees the brief and the change; its opinion, tokens and cost are recorded."""
    reviewer = StubReviewer()
    engine = engine_of(lab, reviewer, 1.0)
    until(engine, lambda: reviewer.open)
    [lane] = engine.lanes
    assert (lane.phase, lane.reason) == (Phase.JUDGING, WAITING_FOR_REVIEW)
    engine.turn()
    shown = lab.monitor.shown[-1]
    assert (shown["phase"], shown["reason"]) == ("judging", WAITING_FOR_REVIEW)
    assert lab.statuses() == ["baseline"]
    [brief] = reviewer.asked
    assert brief.program == (lab.root / "program.md").read_text()
    assert brief.request.before == lab.files
    assert "SCORE = 1.0" in brief.request.after.train
    reviewer.answers = [EARNED]
    engine.run()
    keep = list(lab.ledger.experiments(TAG))[1]
    assert keep.status is Status.KEEP
    assert "better play" in said(keep)
    assert (keep.tokens.total, keep.cost_usd) == (110, 0.5)
    assert '"opinion":"earned"' in reviews(lab)[0]
    assert len(reviewer.asked) == 1
    assert ("reviewed", "earned") in [
        (event, facts.get("opinion")) for event, facts in lab.monitor.events
    ]
    assert (lab.root / "logs/experiments/2/reply.md").exists()


def test_without_a_reviewer_nothing_is_recorded(lab: Lab) -> None:
    """No job, no row; the answer has no reason."""
    engine_of(lab, None, 1.0).run()
    keep = list(lab.ledger.experiments(TAG))[1]
    assert (keep.status, keep.review) == (Status.KEEP, None)
    assert reviews(lab) == []


def test_what_is_not_kept_is_not_reviewed(lab: Lab) -> None:
    """A call costs money."""
    reviewer = StubReviewer(EARNED)
    engine_of(lab, reviewer, -1.0).run()
    assert lab.statuses() == ["baseline", "discard"]
    assert reviewer.asked == []


def test_a_limit_counts_what_reviews_cost(lab: Lab) -> None:
    """Tokens of reviews count like those of replies."""
    engine = engine_of(lab, StubReviewer(EARNED, EARNED), 1.0, 2.0, 3.0, limits={"tokens": 150})
    assert "limits.tokens" in engine.run().text
    assert lab.statuses() == ["baseline", "keep", "keep"]


def test_a_pause_of_the_reviewers_is_shown(lab: Lab) -> None:
    """The phase stays `judging`, and `stop` lets it end: it has a time limit of its own."""
    reviewer = StubReviewer(AgentWaits("HTTP 429", 60.0))
    engine = engine_of(lab, reviewer, 1.0)
    until(engine, lambda: reviewer.asked and not reviewer.answers)
    engine.turn()
    shown = lab.monitor.shown[-1]
    assert shown["phase"] == "judging"
    assert shown["reason"] == f"{WAITING_FOR_REVIEW}: HTTP 429"
    lab.ledger.add_request("stop", None, "now")
    engine.turn()
    assert len(engine.lanes) == 1
    reviewer.answers = [EARNED]
    engine.run()
    assert lab.statuses() == ["baseline", "keep"]


def test_a_stop_at_once_ends_it(lab: Lab) -> None:
    """And aborts its experiment, as for proposals."""
    reviewer = StubReviewer()
    engine = engine_of(lab, reviewer, 1.0)
    until(engine, lambda: reviewer.open)
    lab.monitor.end_now()
    engine.run()
    assert lab.statuses() == ["baseline", "aborted"]
    assert reviewer.open == {}


def test_a_pause_lets_it_end(lab: Lab) -> None:
    """What is in flight ends; nothing more begins."""
    reviewer = StubReviewer()
    engine = engine_of(lab, reviewer, 1.0, 2.0)
    until(engine, lambda: reviewer.open)
    lab.ledger.add_request("pause", None, "now")
    engine.turn()
    reviewer.answers = [EARNED]
    lab.until_paused(engine)
    assert lab.statuses() == ["baseline", "keep"]


def test_a_held_evaluator_does_not_hold_it(lab: Lab) -> None:
    """A stop while the evaluator waits for a person loses no review."""
    reviewer = StubReviewer()
    engine = engine_of(lab, reviewer, 1.0)
    until(engine, lambda: reviewer.open)
    engine._jobs.held.add("evaluator")
    lab.ledger.add_request("stop", None, "now")
    engine.turn()
    reviewer.answers = [EARNED]
    engine.run()
    assert lab.statuses() == ["baseline", "keep"]


class LedgerThatEndsNothing(Ledger):
    """A ledger that can't record an ending, as if the daemon was killed just before."""

    def finish(self, *_arguments: Any, **_named: Any) -> Any:
        """Fail."""
        raise LedgerError("locked")


@pytest.mark.parametrize("answer", [GAMING, NoReview("broken", Tokens(7, None, 0, None))])
def test_a_restart_looks_it_up(lab: Lab, answer: Review | NoReview) -> None:
    """Killed after the answer was recorded, before the ending was: nobody is asked again."""
    engine = engine_of(lab, StubReviewer(answer), 1.0)
    until(engine, lambda: lab.statuses() == ["baseline"])
    lab.ledger.__class__ = LedgerThatEndsNothing
    until(engine, lambda: reviews(lab) and answer.reason in reviews(lab)[0])
    assert lab.statuses() == ["baseline"]
    lab.ledger.__class__ = Ledger
    again = StubReviewer()
    engine_of(lab, again, 1.0).run()
    assert again.asked == []
    keep = list(lab.ledger.experiments(TAG))[1]
    assert answer.reason in said(keep)
    assert keep.tokens.total == answer.tokens.total


def test_a_kill_costs_one_call_more_at_most(lab: Lab) -> None:
    """A third time it is not asked for: there is no review, and the experiment goes on."""
    for _ in range(2):
        reviewer = StubReviewer()
        engine = engine_of(lab, reviewer, 1.0)
        until(engine, lambda asked=reviewer: asked.open)
    last = StubReviewer()
    engine_of(lab, last, 1.0).run()
    assert last.asked == []
    keep = list(lab.ledger.experiments(TAG))[1]
    assert keep.status is Status.KEEP
    assert "2 calls were broken off" in said(keep)


def test_an_accept_meanwhile_is_no_danger(lab: Lab) -> None:
    """The incumbent changes while the reviewer thinks: the answer is recorded all the same."""
    reviewer = StubReviewer(EARNED)
    engine = engine_of(lab, reviewer, 1.0, 2.0)
    until(engine, lambda: len(lab.statuses()) == 2 and reviewer.open)
    lab.ledger.add_request("accept", "1", "now")
    engine.turn()
    reviewer.answers = [EARNED] * 5  # the experiment may be judged anew, and reviewed anew
    until(engine, lambda: len(lab.statuses()) == 3)
    assert len(reviews(lab)) == 2


def test_no_program_no_review(lab: Lab) -> None:
    """It would judge without the brief; the keep is not lost, and the run pauses at its next."""
    reviewer = StubReviewer()
    engine = engine_of(lab, reviewer, 1.0)
    until(engine, lambda: any(lane.n == 2 for lane in engine.lanes))
    (lab.root / "program.md").unlink()
    until(engine, lambda: len(lab.statuses()) == 2)
    assert reviewer.asked == []
    assert "program.md can't be read" in said(list(lab.ledger.experiments(TAG))[1])


class LedgerThatFailsOnce(Ledger):
    """A ledger that can't record the next review."""

    failures = 1

    def save_review(self, *arguments: Any) -> None:
        """Fail, or record it."""
        if self.failures:
            self.failures -= 1
            raise LedgerError("locked")
        super().save_review(*arguments)


def test_an_answer_outlives_a_locked_ledger(lab: Lab) -> None:
    """It is taken in again, and nobody is asked twice."""
    lab.ledger.__class__ = LedgerThatFailsOnce
    reviewer = StubReviewer(EARNED)
    engine = engine_of(lab, reviewer, 1.0)
    until(engine, lambda: len(lab.statuses()) == 2)
    assert len(reviewer.asked) == 1
    assert "better play" in said(list(lab.ledger.experiments(TAG))[1])


def test_a_reviewer_that_was_turned_off_is_not_asked(lab: Lab) -> None:
    """A reload between two experiments; the review that there was stays."""
    reviewer = StubReviewer(EARNED)
    engine = engine_of(lab, reviewer, 1.0, 2.0)
    until(engine, lambda: len(lab.statuses()) == 2)
    reviewer.name = None
    engine.run()
    assert len(reviewer.asked) == 1
    assert lab.statuses() == ["baseline", "keep", "keep"]


def test_a_veto_rejects_what_would_be_kept(lab: Lab) -> None:
    """As `review.veto` has it; the reason is recorded for people and the agent."""
    engine_of(lab, StubReviewer(GAMING), 1.0).run()
    rejected = list(lab.ledger.experiments(TAG))[1]
    assert (rejected.status, rejected.score) == (Status.REJECTED, None)
    assert rejected.reason.startswith("vetoed by the reviewer stub, gaming: a bonus (kept: +1")
    assert "score 1.0000 (not counted)" in rejected.flags


def test_without_a_veto_an_opinion_is_only_recorded(lab: Lab) -> None:
    """A person reads it in `show`."""
    engine_of(lab, StubReviewer(GAMING), 1.0, review={"veto": []}).run()
    kept = list(lab.ledger.experiments(TAG))[1]
    assert (kept.status, said(kept)) == (Status.KEEP, "gaming a bonus stub")
