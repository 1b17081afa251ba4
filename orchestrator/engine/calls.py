"""What the calls of the lanes may cost is reserved before each, and settled once its bill is known.

The reservation is in the ledger before the call is made, so neither a kill nor another lane can
spend it twice.
"""

import contextlib
from collections.abc import Iterator

from orchestrator.core.records import Reply
from orchestrator.core.reviews import NoReview, Review
from orchestrator.core.spending import Spend, WorstCase
from orchestrator.engine.back_off import TRANSIENT_ERRORS
from orchestrator.engine.dependencies import Dependencies
from orchestrator.engine.lane import Lane
from orchestrator.planning.state import RunState


class Calls:
    """Keeps the reservations of one run."""

    def __init__(self, parts: Dependencies) -> None:
        self._tag, self._ledger, self._monitor = parts.run.tag, parts.ledger, parts.monitor
        self._excess = Spend()
        """How much more a call has cost than was thought possible: an endpoint that disregards the
        limit on its answers, a program of which nobody knows how many tokens it takes."""

    def used(self, state: RunState) -> Spend:
        """Return what is spent, and what calls in flight and calls without a bill may cost."""
        spent = Spend(state.tokens, state.cost_usd).plus(self._ledger.spent_by_open(self._tag))
        return spent.plus(self._ledger.reserved(self._tag))

    def reservation(self, worst: WorstCase) -> Spend:
        """Return what is reserved for a call."""
        return worst.spend.plus(self._excess)

    def begin(self, lane: Lane, who: str, worst: WorstCase) -> None:
        """Reserve what a call may cost, before it is made."""
        lane.worst, reserved = worst, self.reservation(worst)
        if reserved != Spend():
            when = self._monitor.now()
            lane.call = self._ledger.begin_call(self._tag, who, reserved, when)

    @contextlib.contextmanager
    def making(self, lane: Lane, who: str, worst: WorstCase) -> Iterator[None]:
        """Reserve what a call may cost while it is made; one that could not be costs nothing."""
        self.begin(lane, who, worst)
        try:
            yield
        except BaseException:
            self.break_off(lane, is_billed=True)
            raise

    def retried(self, lane: Lane) -> None:
        """Record that a try failed, perhaps billed, and another follows."""
        if lane.call is not None:
            self._ledger.retry_call(lane.call)
            lane.is_retrying = True

    def end(self, lane: Lane, *, is_billed: bool) -> None:
        """Record that a call is over; `is_billed` if its bill is known, or there is none."""
        if lane.call is not None:
            self._ledger.end_call(lane.call, is_billed=is_billed)

    def answered(
        self, lane: Lane, answer: Reply | Review | NoReview, *, is_free: bool = False
    ) -> None:
        """Record that a call was answered, at the cost that the answer tells of."""
        worst, tokens, usd = lane.worst or WorstCase(), answer.tokens, answer.cost_usd
        has_tokens = worst.tokens is None or None not in (tokens.input, tokens.output)
        has_usd = worst.cost_usd is None or usd is not None
        if lane.call is None or is_free or has_tokens == has_usd:
            self.end(lane, is_billed=is_free or has_tokens)
        else:  # what is known is spent: its reservation would count it twice
            self._ledger.end_call_in_part(lane.call, has_tokens=has_tokens)
        over_tokens = max(0, tokens.total - worst.spend.tokens)
        over_usd = max(0.0, (usd or 0.0) - worst.spend.cost_usd)
        self._excess = Spend(
            max(self._excess.tokens, over_tokens), max(self._excess.cost_usd, over_usd)
        )

    def forget(self, lane: Lane) -> None:
        """Take note that the lane has no call any more."""
        lane.call, lane.worst, lane.is_retrying = None, None, False

    def break_off(self, lane: Lane, *, is_billed: bool = False) -> None:
        """Record that a call was broken off: it may be billed, unless that is said."""
        with contextlib.suppress(*TRANSIENT_ERRORS):  # open, it counts as much
            self.end(lane, is_billed=is_billed)
        self.forget(lane)
