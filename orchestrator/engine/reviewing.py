"""Reviews of the lanes in flight: each is recorded before anything follows from it."""

import contextlib
import time
from collections.abc import Sequence

from orchestrator.core.records import Phase
from orchestrator.core.reviews import NoReview, Review, ReviewRequest
from orchestrator.core.spending import WorstCase
from orchestrator.core.text import one_line
from orchestrator.engine.calls import Calls
from orchestrator.engine.commands import AskReviewer
from orchestrator.engine.dependencies import Dependencies
from orchestrator.engine.lane import Lane
from orchestrator.engine.news import NO_NEWS, News
from orchestrator.proposals.agent_events import Reviewed, ReviewEvent
from orchestrator.proposals.prompt import as_markdown
from orchestrator.proposals.review_prompt import ReviewBrief
from orchestrator.store.experiment_folder import ExperimentFolders

WAITING_FOR_REVIEW = "waiting for the review"
_MOST_ASKED = 2
"""How often the review of one change is asked for: once more after a kill, say."""


class Reviewing:
    """Has the changes of lanes reviewed."""

    def __init__(self, parts: Dependencies, calls: Calls) -> None:
        self._calls = calls
        self._ledger, self._monitor = parts.ledger, parts.monitor
        self._reviewer = parts.reviewer
        self._folders = ExperimentFolders(parts.workspace)
        self._refused: list[tuple[str, ReviewEvent]] = []

    def ask(self, lane: Lane, brief: ReviewBrief, worst: WorstCase) -> None:
        """Begin a review; one that was broken off too often is told to have ended.

        Args:
            lane: whose candidate would take the lead.
            brief: what the reviewer reads.
            worst: the most that the call may cost.
        """
        assert lane.n is not None
        self.withdraw(lane)
        times = self._ledger.count_review(lane.n, brief.request)
        if times > _MOST_ASKED:
            why = f"{_MOST_ASKED} calls were broken off before their answer"
            self.refuse(lane, brief.request, why)
            return
        self._calls.begin(lane, str(self._reviewer.name), worst)
        self._begun(lane, brief.request)
        self._reviewer.ask(lane.review_key, brief)
        self._monitor.log("reviewing", experiment=lane.n, reviewer=self._reviewer.name)

    def refuse(self, lane: Lane, request: ReviewRequest, why: str) -> None:
        """Have a review end without an answer, and without a call from now on."""
        self.withdraw(lane)
        self._begun(lane, request)
        self._refused.append((lane.review_key, Reviewed(NoReview(why))))

    def _begun(self, lane: Lane, request: ReviewRequest) -> None:
        lane.review, lane.review_began = request, time.monotonic()
        lane.reviews += 1
        lane.work(Phase.JUDGING)
        lane.reason = WAITING_FOR_REVIEW

    def withdraw(self, lane: Lane) -> None:
        """End a review that the lane has in hand."""
        if lane.review is not None:
            self._reviewer.cancel(lane.review_key)
            self._refused = [told for told in self._refused if told[0] != lane.review_key]
            self._calls.break_off(lane)
            self._ended(lane)

    def poll(self) -> Sequence[tuple[str, ReviewEvent]]:
        """Return what has happened since the last call."""
        refused, self._refused = self._refused, []
        return [*refused, *self._reviewer.poll()]

    def waits(self, lane: Lane, reason: str, seconds: float) -> None:
        """Show what the reviewer waits for; it ends by itself, so a stop lets it."""
        lane.reason = one_line(f"{WAITING_FOR_REVIEW}: {reason}", 500)
        self._monitor.log(
            "waiting", level="warning", experiment=lane.n, reason=lane.reason,
            seconds=round(seconds, 1),
        )  # fmt: skip

    def save(self, lane: Lane, event: Reviewed) -> News:
        """Record what came of a review, and return what it means for its lane."""
        request, answer = lane.review, event.answer
        assert lane.n is not None
        assert request is not None
        with self._ledger.transaction():
            self._ledger.save_review(lane.n, request, answer)
            if event.may_be_billed:
                self._calls.end(lane, is_billed=False)
            elif event.sent or isinstance(answer, Review):
                self._calls.answered(lane, answer)
            else:
                self._calls.end(lane, is_billed=True)
        self._ended(lane)
        lane.work(Phase.JUDGING)
        with contextlib.suppress(OSError):  # the ledger has the answer
            if event.sent:
                self._folders.write(lane.n, "review-prompt.md", as_markdown(event.sent))
                self._folders.write(lane.n, "review.md", event.text)
        said = answer.opinion.value if isinstance(answer, Review) else None
        self._monitor.log(
            "reviewed", "info" if said else "warning", experiment=lane.n, opinion=said,
            reason=answer.reason, reviewer=self._reviewer.name,
        )  # fmt: skip
        if lane.waits_for != AskReviewer(request):
            return NO_NEWS  # it began anew meanwhile, and finds the review in the ledger
        return News(answer, has_result=True)

    def _ended(self, lane: Lane) -> None:
        self._calls.forget(lane)
        lane.agent_s += time.monotonic() - lane.review_began
        lane.review = None
