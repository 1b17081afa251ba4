"""The replies of one experiment without a verdict: failures, and requests to see code. Pure."""

from collections.abc import Sequence
from dataclasses import replace

from orchestrator.core.evaluations import Evaluation
from orchestrator.core.records import Attempt, Reply, Status
from orchestrator.core.text import clean
from orchestrator.engine.outcome import Candidate, Outcome
from orchestrator.planning.planner import may_repair
from orchestrator.proposals.show_requests import may_show

_OTHER_CHARS = 2000


class Turns:
    """The conversation with the agent about one experiment, so far."""

    def __init__(self, max_repairs: int) -> None:
        self.attempts: tuple[Attempt, ...] = ()
        """What the next prompt quotes."""
        self._max_repairs = max_repairs
        self._failed: list[tuple[Evaluation, Candidate | None]] = []

    @property
    def may_show(self) -> bool:
        """May one more reply ask to see code?"""
        return may_show(self.attempts)

    @property
    def may_repair(self) -> bool:
        """May the agent answer again after the last failure?"""
        statuses = [failure.status for failure, _ in self._failed]
        return may_repair(
            statuses[-1],
            failures=len(statuses),
            crashes=statuses.count(Status.CRASH),
            max_repairs=self._max_repairs,
        )

    def show(self, reply: Reply, shows: tuple[int, ...]) -> None:
        """Take note of a reply that asks to see experiments; it is no failure."""
        self.attempts += (Attempt(reply.text, shows=shows),)

    def fail(self, reply: Reply, failure: Evaluation, candidate: Candidate | None) -> int:
        """Take note of a reply that failed; return its number within the experiment."""
        error = "\n".join(filter(None, [failure.reason, failure.details]))
        self.attempts += (Attempt(reply.text, error),)
        self._failed.append((failure, candidate))
        return len(self.attempts)

    def outcome(self, description: str) -> Outcome:
        """Return the outcome of an experiment without a usable reply.

        It is that of the last reply, or of the last crash before it, whose files and traceback say
        more than a spoilt repair; the errors of the other replies are in its details.
        """
        if not self._failed:
            failure = Evaluation(Status.INVALID, reason=self._no_answer())
            return Outcome(Status.INVALID, failure.reason, failure, None, description)
        chosen = len(self._failed) - 1
        crashes = [i for i, (one, _) in enumerate(self._failed) if one.status is Status.CRASH]
        if self._failed[chosen][0].status is Status.INVALID and crashes:
            chosen = crashes[-1]
        failure, candidate = self._failed[chosen]
        others = [one for i, (one, _) in enumerate(self._failed) if i != chosen]
        assert failure.status is not None
        whole = _with_others(failure, others)
        return Outcome(failure.status, failure.reason, whole, candidate, description)

    def _no_answer(self) -> str:
        if not self.attempts:
            return "the agent had no answer"
        asked = ", ".join(f"#{n}" for n in self.attempts[-1].shows)
        return f"no_edit: the agent asked to see {asked} and had no further answer"


def _with_others(failure: Evaluation, others: Sequence[Evaluation]) -> Evaluation:
    if not others:
        return failure
    said = [
        f"{number}. {clean(one.reason, _OTHER_CHARS)}\n{clean(one.details, _OTHER_CHARS)}".strip()
        for number, one in enumerate(others, 1)
    ]
    title = "Other replies of this experiment failed too:"
    details = "\n\n".join(filter(None, [failure.details, title, *said]))
    return replace(failure, details=details)
