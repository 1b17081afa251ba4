"""What the ledger holds of reviews."""

from dataclasses import replace

from orchestrator.core.records import Files, Reply, Tokens
from orchestrator.core.reviews import NoReview, Opinion, Review, ReviewRequest
from orchestrator.store.ledger import Ledger
from tests.store.conftest import begin, finished

BEFORE, AFTER = Files("env = 1\n", "train = 1\n"), Files("env = 2 # \udc80\n", "train = 1\n")
REQUEST = ReviewRequest(BEFORE, AFTER, "idea", "why", ("reward",), ("score: 0 -> 1",))
REVIEW = Review(Opinion.GAMING, "a bonus \udcff", "openai:m", Tokens(10, 2, 5, None), 0.5)


def test_a_review_is_looked_up_by_the_change(ledger: Ledger) -> None:
    """Words and facts may be others after a restart; other files are another change."""
    n = begin(ledger)
    assert ledger.review(n, REQUEST) is None
    ledger.save_review(n, REQUEST, REVIEW)
    found = replace(REVIEW, reason="a bonus ?")
    assert ledger.review(n, REQUEST) == found
    assert ledger.review(n, replace(REQUEST, facts=("score: 0 -> 2",), description="x")) == found
    assert ledger.review(n, replace(REQUEST, before=AFTER)) is None
    assert ledger.review(n, replace(REQUEST, after=BEFORE)) is None
    assert ledger.review(begin(ledger), REQUEST) is None


def test_no_review_is_an_answer_too(ledger: Ledger) -> None:
    """With its reason, and with what it cost."""
    n = begin(ledger)
    answer = NoReview("no answer within 300 s", Tokens(3, None, 1, None), 0.25)
    ledger.save_review(n, REQUEST, answer)
    assert ledger.review(n, REQUEST) == answer


def test_calls_are_counted_before_they_are_made(ledger: Ledger) -> None:
    """Those of one change; that one was asked for is no answer."""
    n = begin(ledger)
    assert [ledger.count_review(n, REQUEST) for _ in range(3)] == [1, 2, 3]
    assert ledger.review(n, REQUEST) is None
    assert ledger.count_review(n, replace(REQUEST, before=AFTER)) == 1
    assert ledger.spent(n) == (Tokens(), None)


def test_reviews_are_paid_for_by_their_experiment(ledger: Ledger) -> None:
    """All of them, if the incumbent changed and one more was needed, beside the replies."""
    n = begin(ledger)
    ledger.save_reply(n, 1, Reply("one", Tokens(100, None, 20, None), 1.0))
    ledger.count_review(n, REQUEST)
    ledger.save_review(n, REQUEST, REVIEW)
    other = replace(REQUEST, before=AFTER)
    assert ledger.count_review(n, other) == 1
    ledger.save_review(n, other, NoReview("broken", Tokens(1, None, 1, None)))
    assert ledger.spent(n) == (Tokens(111, 2, 26, None), 1.5)
    assert ledger.spent(begin(ledger)) == (Tokens(), None)


def test_a_review_is_progress(ledger: Ledger) -> None:
    """A daemon that died after it was not stuck at the same step; one that only asked was."""
    n = begin(ledger)
    assert [ledger.count_resume(n), ledger.count_resume(n)] == [1, 2]
    ledger.count_review(n, REQUEST)
    assert ledger.count_resume(n) == 3
    ledger.save_review(n, REQUEST, REVIEW)
    assert ledger.count_resume(n) == 1


def test_a_review_outlives_its_experiments_end(ledger: Ledger) -> None:
    """It is part of the record."""
    n = begin(ledger)
    ledger.save_review(n, REQUEST, REVIEW)
    ledger.finish(finished(n), BEFORE, "fp")
    assert ledger.review(n, REQUEST) is not None
