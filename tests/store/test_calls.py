"""Reservations of calls, and the bill, in the ledger."""

from pathlib import Path

import pytest

from orchestrator.core.records import Files, Reply, Rung, Tokens
from orchestrator.core.reviews import NoReview, Opinion, Review, ReviewRequest
from orchestrator.core.spending import Spend
from orchestrator.store.bill import BillRow
from orchestrator.store.ledger import Ledger
from orchestrator.store.runs import Run

WHEN = "2026-11-22T03:04:05.000Z"
WORST = Spend(1000, 0.25)
FILES = Files("env = 1\n", "train = 1\n")
REQUEST = ReviewRequest(FILES, FILES, "", "", (), ())


@pytest.fixture
def ledger(tmp_path: Path) -> Ledger:
    made = Ledger(tmp_path / "ledger.sqlite")
    for tag in ("t", "other"):
        made.create_run(Run(tag, "a" * 40, {}, WHEN))
    return made


def begin(ledger: Ledger, agent: str = "openai:m", tag: str = "t") -> int:
    return ledger.begin(
        tag, is_baseline=False, rung=Rung(12, 8), agent=agent, parent="p", when=WHEN
    )


def test_a_call_is_reserved_until_its_bill_is_known(ledger: Ledger) -> None:
    """Each of a run adds up; another run's are its own."""
    first, second = (ledger.begin_call("t", "a", WORST, WHEN) for _ in range(2))
    ledger.begin_call("other", "a", WORST, WHEN)
    assert ledger.reserved("t") == Spend(2000, 0.5)
    ledger.end_call(first, is_billed=True)
    assert ledger.reserved("t") == WORST
    ledger.end_call(second, is_billed=True)
    assert ledger.reserved("t") == Spend()
    assert ledger.unbilled("t") == (0, Spend())


def test_a_count_beyond_all_bounds_can_be_reserved(ledger: Ledger) -> None:
    """Of a program that told of so many tokens in its last turns, say."""
    ledger.retry_call(ledger.begin_call("t", "a", Spend(2**64, 0.25), WHEN))
    assert ledger.reserved("t") == Spend(2**54, 0.5)


def test_what_was_broken_off_counts_for_good(ledger: Ledger) -> None:
    """A call, and each try of one that failed; once, however often its end is told."""
    call = ledger.begin_call("t", "a", WORST, WHEN)
    ledger.retry_call(call)
    assert (ledger.reserved("t"), ledger.unbilled("t")) == (Spend(2000, 0.5), (1, WORST))
    ledger.end_call(call, is_billed=True)
    assert (ledger.reserved("t"), ledger.unbilled("t")) == (WORST, (1, WORST))
    other = ledger.begin_call("t", "a", WORST, WHEN)
    for _ in range(2):
        ledger.end_call(other, is_billed=False)
    assert (ledger.reserved("t"), ledger.unbilled("t")) == (Spend(2000, 0.5), (2, Spend(2000, 0.5)))


@pytest.mark.parametrize(
    ("has_tokens", "half"), [(True, Spend(0, 0.25)), (False, Spend(1000, 0.0))]
)
def test_of_half_a_bill_only_the_other_half_is_unknown(
    ledger: Ledger, has_tokens: bool, half: Spend
) -> None:
    """What was told is spent; the tries before, of which nothing is known, count whole."""
    plain = ledger.begin_call("t", "a", WORST, WHEN)
    for _ in range(2):
        ledger.end_call_in_part(plain, has_tokens=has_tokens)
    assert (ledger.reserved("t"), ledger.unbilled("t")) == (half, (1, half))
    tried = ledger.begin_call("t", "a", WORST, WHEN)
    ledger.retry_call(tried)
    ledger.end_call_in_part(tried, has_tokens=has_tokens)
    assert ledger.reserved("t") == half.plus(half).plus(WORST)
    assert ledger.unbilled("t") == (3, half.plus(half).plus(WORST))


def test_a_kill_breaks_calls_off(tmp_path: Path, ledger: Ledger) -> None:
    """They are in the ledger before they are made; those of lanes that live on are not touched."""
    ledger.begin_call("t", "a", WORST, WHEN)
    ledger.close()
    with Ledger(tmp_path / "ledger.sqlite") as later:
        own = later.begin_call("t", "a", WORST, WHEN)
        later.break_off_calls("t", besides=[own])
        assert later.unbilled("t") == (1, WORST)
        assert later.reserved("t") == Spend(2000, 0.5)
        later.end_call(own, is_billed=True)
        assert later.reserved("t") == WORST


def test_the_bill_names_who_was_called_and_for_what(ledger: Ledger) -> None:
    """Replies that failed, and reviews; what is unknown of all of them stays unknown."""
    first, second, third = begin(ledger), begin(ledger, "codex"), begin(ledger)
    ledger.save_reply(first, 1, Reply("no edit", Tokens(10, 5, 2, 1), 0.5))
    ledger.save_reply(first, 2, Reply("cut", Tokens(10, None, 2, None), 0.25, "length"))
    ledger.save_reply(second, 1, Reply("done"))
    ledger.save_reply(third, 1, Reply("done", Tokens(1, 0, 1, 0), None))
    said = Review(Opinion.EARNED, "", "openai:r", Tokens(7, None, 3, None), 0.125)
    ledger.save_review(first, REQUEST, said)
    ledger.save_review(third, REQUEST, NoReview("no answer"))
    ledger.save_reply(begin(ledger, "x", "other"), 1, Reply("other", Tokens(9, 9, 9, 9), 9.0))
    assert ledger.bill("t") == [
        BillRow("openai:m", "proposals", 3, Tokens(21, 5, 5, 1), 0.75),
        BillRow("openai:r", "reviews", 1, Tokens(7, None, 3, None), 0.125),
        BillRow("codex", "proposals", 1, Tokens(), None),
        BillRow("", "reviews", 1, Tokens(), None),
    ]
    assert ledger.spent_by_open("t") == Spend(21 + 5 + 10, 0.875)
