"""Moves of the lead and overrides in the ledger, and what became of leads."""

import pytest

from orchestrator.core.experiments import LeadMove, MoveKind
from orchestrator.core.records import Files, Status
from orchestrator.store.ledger import Ledger
from orchestrator.store.runs import Run
from tests.store.conftest import WHEN, begin, finished

FILES = Files("env = 1\n", "train = 1\n")
LATER = "2026-11-22T01:00:00Z"
BACK = LeadMove(MoveKind.ROLLBACK, 1, 0, "it disappointed", -0.25, 0.125, 3, created_at=WHEN)
PROVEN = LeadMove(MoveKind.PROMOTION, 2, 0, "proven", 0.5, 0.25, 8, created_at=LATER)


def ends(ledger: Ledger, *statuses: Status, tag: str = "t") -> list[int]:
    """Record experiments that end one after the other; return their numbers."""
    numbers = []
    for status in statuses:
        n = begin(ledger, tag)
        verdict = {"lead": True} if status is Status.LEAD else {}
        experiment = finished(
            n, tag=tag, status=status, verdict=verdict, score=1.0, commit="c" * 40
        )
        ledger.finish(experiment, FILES, None)
        numbers.append(n)
    return numbers


def statuses(ledger: Ledger, tag: str = "t") -> list[tuple[Status, str | None]]:
    return [(e.status, e.proven_at) for e in ledger.experiments(tag)]


def test_a_move_comes_back_with_its_place_among_the_endings(ledger: Ledger) -> None:
    """Whatever place it was given; all its facts survive the round trip."""
    ends(ledger, Status.BASELINE, Status.LEAD)
    recorded = ledger.move_lead("t", PROVEN)
    assert recorded == LeadMove(MoveKind.PROMOTION, 2, 2, "proven", 0.5, 0.25, 8, created_at=LATER)
    assert ledger.lead_moves("t") == ledger.moves("t") == [recorded]
    assert recorded.commit is None


def test_moves_and_overrides_are_in_one_order(ledger: Ledger) -> None:
    """Of each run its own; half a character in a reason does not stop the writing."""
    ledger.create_run(Run("u", "p" * 40, {}, "now"))
    ends(ledger, Status.BASELINE, Status.LEAD)
    ends(ledger, Status.BASELINE, Status.LEAD, tag="u")
    ledger.move_lead("t", BACK)
    ledger.accept("t", 2, "a" * 40, WHEN)
    ledger.move_lead("u", LeadMove(MoveKind.ROLLBACK, 3, 0, "\udcff", created_at=WHEN))
    ends(ledger, Status.LEAD)
    ledger.move_lead("t", LeadMove(MoveKind.PROMOTION, 5, 0, "proven", created_at=WHEN))
    found = ledger.moves("t")
    assert [(move.n, move.after_ended, move.commit) for move in found] == [
        (1, 4, None), (2, 4, "a" * 40), (5, 5, None)
    ]  # fmt: skip
    assert ledger.accepts("t") == [found[1]]
    assert ledger.lead_moves("t") == [found[0], found[2]]
    assert [(move.n, move.reason) for move in ledger.moves("u")] == [(3, "?")]
    assert ledger.files_at("a" * 40) == FILES


def test_leads_that_are_settled_say_when_they_were_proven(ledger: Ledger) -> None:
    """Others stay as they are."""
    _, *leads = ends(ledger, Status.BASELINE, Status.LEAD, Status.LEAD, Status.LEAD)
    ledger.settle_leads(leads[:2], Status.KEEP, LATER)
    assert statuses(ledger) == [
        (Status.BASELINE, None), (Status.KEEP, LATER), (Status.KEEP, LATER), (Status.LEAD, None)
    ]  # fmt: skip
    ledger.settle_leads([leads[2]], Status.DISCARD)
    assert statuses(ledger)[-1] == (Status.DISCARD, None)
    ledger.settle_leads([], Status.KEEP, LATER)
    assert all(experiment.took_lead for experiment in ledger.experiments("t") if experiment.n > 1)


@pytest.mark.parametrize("still", [[], [2], [2, 4], [4]])
def test_what_leads_no_more_is_discarded(ledger: Ledger, still: list[int]) -> None:
    """Only of this run, and nothing that was proven or never led; a second time nothing changes."""
    ledger.create_run(Run("u", "p" * 40, {}, "now"))
    ends(ledger, Status.BASELINE, Status.LEAD, Status.KEEP, Status.LEAD, Status.CRASH)
    ends(ledger, Status.LEAD, tag="u")
    ledger.leave_leads("t", still)
    now = {2: Status.DISCARD, 4: Status.DISCARD} | dict.fromkeys(still, Status.LEAD)
    expected = [Status.BASELINE, now[2], Status.KEEP, now[4], Status.CRASH]
    assert [status for status, _ in statuses(ledger)] == expected
    assert statuses(ledger, "u") == [(Status.LEAD, None)]
    before = ledger._db.total_changes
    ledger.leave_leads("t", still)
    assert ledger._db.total_changes == before


def test_a_move_and_what_it_settles_are_one_transaction(ledger: Ledger) -> None:
    """Where one can't be recorded the other isn't."""
    ends(ledger, Status.BASELINE, Status.LEAD)
    with pytest.raises(RuntimeError), ledger.transaction():
        ledger.move_lead("t", PROVEN)
        ledger.settle_leads([2], Status.KEEP, LATER)
        raise RuntimeError
    assert ledger.moves("t") == []
    assert statuses(ledger)[1] == (Status.LEAD, None)
