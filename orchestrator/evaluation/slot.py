"""One evaluation at a time: its process, its time limit, and retries when the process dies."""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from orchestrator.core.errors import EvaluatorError
from orchestrator.core.evaluations import (
    Evaluation,
    EvaluationEnded,
    EvaluatorEvent,
    EvaluatorFailed,
    EvaluatorWaits,
)
from orchestrator.core.records import Status
from orchestrator.evaluation.child import Child
from orchestrator.evaluation.conversation import Conversation
from orchestrator.evaluation.launcher import Launcher
from orchestrator.evaluation.messages import MalformedError, read_message, read_serving

_PAUSES_S = (0.0, 10.0, 60.0)
"""Pause before each fresh evaluator after a death: memory may be short for a while."""
_LONGEST_PAUSE_S = 60.0
"""Longest pause between two attempts to start an evaluator while the system has no room."""
_KEEPING = frozenset({"keep_dir", "is_watched"})
"""Parts of a request that the evaluator of an older workspace does not know."""
_ATTENTION_S = 0.05
"""Interval of checks that no descriptor replaces: a process that exits, a pipe that is full."""


@dataclass
class _Job:
    """An evaluation that was begun and has not ended."""

    conversation: Conversation
    settings: Mapping[str, Any]
    """The part of the request that the configuration sets."""
    is_sent: bool = False
    """Whether the slot's child has the request."""
    deadline: float | None = None
    """Time when the child is killed; None while it has nothing to do."""
    left_s: float = 0.0
    """Time left when the caller was asked."""
    retry_at: float | None = None
    """Time when a fresh child is started; None while there is one."""
    deaths: int = 0
    failed_starts: int = 0
    """Failed attempts in a row to start a child."""


class Slot:
    """A place for one evaluation, with a child that stays warm between evaluations."""

    def __init__(
        self,
        launcher: Launcher,
        limit_s: float,
        clock: Callable[[], float],
        tell: Callable[[str, EvaluatorEvent], None],
    ) -> None:
        """Make a free slot without a child.

        Args:
            launcher: starts and kills children.
            limit_s: time for the scored seeds together, then for each further one.
            clock: monotonic seconds.
            tell: called with the key of the evaluation and each of its events; after the last one
                (`EvaluationEnded`, `EvaluatorFailed`) the slot is free.
        """
        self._launcher = launcher
        self._limit_s = limit_s
        self._clock = clock
        self._tell = tell
        self._child: Child | None = None
        self._job: _Job | None = None
        self.key: str | None = None
        """The evaluation in this slot; None while it is free."""

    @property
    def readiness(self) -> int:
        """Readiness of the child: 2 it has started, 1 it is starting, 0 there is none."""
        if self._child is None or self._child.has_ended:
            return 0
        return 2 if self._child.is_up else 1

    def warm_up(self) -> None:
        """Start the child, if there is none. Raises `OSError` or `MemoryError`."""
        if self._child is not None:
            self._child.read()  # it may have died since
            if self._child.has_ended:
                self._dismiss()
        if self._child is None:
            self._child = self._launcher.start()

    def begin(self, key: str, conversation: Conversation, settings: Mapping[str, Any]) -> None:
        """Begin an evaluation in this free slot.

        Raises:
            OSError, MemoryError: no process can be had for now; the slot stays free.
        """
        assert self.key is None
        self.warm_up()
        self.key, self._job = key, _Job(conversation, settings)
        try:
            self._send_request(self._job)
        except BaseException:
            self.cancel()
            raise

    def go_on(self, *, wanted: bool) -> None:
        """Process the caller's answer; the process that asked may have died meanwhile."""
        job = self._job
        assert job is not None
        job.conversation.answer(wanted=wanted)
        if job.is_sent and self._child is not None:
            self._child.send({"go_on": wanted})
            job.deadline = self._clock() + job.left_s
        elif job.conversation.nothing_is_wanted:
            self._end(EvaluationEnded(Evaluation(None)))
        elif self._child is not None:
            self._send_request(job)

    def cancel(self) -> None:
        """Free the slot. A busy child is killed: its messages belong to no other evaluation."""
        if self._job is not None and self._job.is_sent:
            self._dismiss()
        self.key = self._job = None

    def close(self) -> None:
        """Free the slot and kill the child."""
        self._dismiss()
        self.cancel()

    def descriptors(self) -> Iterator[int]:
        """Return the child's pipes, also of an idle one, so that its death is noticed."""
        return iter(()) if self._child is None else self._child.descriptors()

    def timeouts_s(self) -> Iterator[float]:
        """Return in how many seconds `poll` has something to do without news from the pipes."""
        if self._child is not None:
            if self._child.first_line() is not None:
                yield 0.0
            if self._child.needs_attention:
                yield _ATTENTION_S
        if self._job is not None:
            for moment in (self._job.deadline, self._job.retry_at):
                if moment is not None:
                    yield moment - self._clock()

    def poll(self) -> None:
        """Report the child's messages, then check the clock."""
        if self._child is not None:
            self._listen(self._child)
        if self._job is not None:
            self._look_at_clock(self._job)

    # -- messages of the child ---------------------------------------------------------------------

    def _listen(self, child: Child) -> None:
        """Read the child's messages, and notice its end."""
        child.read()
        try:
            while (line := child.first_line()) is not None:
                self._take(child, line)
                child.drop_line()
        except MalformedError as error:
            said = f"the evaluator sent a malformed message: {error}; {child.stderr_text()}"
            self._lose(child, said)
        else:
            if (said_last := child.last_words()) is not None:
                self._lose(child, said_last)

    def _take(self, child: Child, line: bytes) -> None:
        """Process one line. Raises `MalformedError` for a malformed one."""
        job = self._job
        if not child.is_up:
            serving = read_serving(line)
            child.resumes, child.compares = serving.resumes, serving.compares
            child.keeps = serving.keeps
            child.is_up = self._launcher.is_proven = True
            if job is not None:
                job.failed_starts = 0
                self._send_request(job)
            return
        if job is None or not job.is_sent:
            raise MalformedError("nothing was asked")
        step = job.conversation.take(read_message(line, job.conversation.what))
        if step.is_last:
            assert step.event is not None
            self._end(step.event)
            return
        if step.asks:
            assert job.deadline is not None
            now = self._clock()
            job.left_s = self._limit_s if step.renews_time else max(0.0, job.deadline - now)
            job.deadline = None  # the caller's time is not counted
            if step.event is None:
                child.send({"go_on": True})
                job.deadline = now + job.left_s
        if step.event is not None:
            self._tell_caller(step.event)

    def _lose(self, child: Child, said: str) -> None:
        """Drop a child that died or sent a malformed message; retry, or end the evaluation."""
        self._dismiss()
        job = self._job
        if job is None:
            return
        if child.is_up:
            job.deaths += 1
            if job.deaths > len(_PAUSES_S):
                reason = f"the evaluator died {job.deaths} times with this candidate: {said}"
                self._end(EvaluationEnded(Evaluation(Status.CRASH, reason=reason)))
            else:
                self._retry(job, said, _PAUSES_S[job.deaths - 1])
        elif self._launcher.is_proven:  # so it is no fault of its file
            self._retry_start(job, f"at its start {said}")
        else:
            self._end(EvaluatorFailed(said))

    # -- time --------------------------------------------------------------------------------------

    def _look_at_clock(self, job: _Job) -> None:
        """Start a fresh child when its pause is over; kill one when its time is up."""
        now = self._clock()
        if job.retry_at is not None and now >= job.retry_at:
            self._restart(job)
        elif job.deadline is not None and now >= job.deadline and self._child is not None:
            if not job.is_sent:
                said = f"the evaluator did not start within {self._limit_s:g} s"
                self._lose(self._child, said)
                return
            self._dismiss()
            reason = f"killed after {self._limit_s:g} s (evaluator.timeout_s)"
            self._end(EvaluationEnded(Evaluation(Status.TIMEOUT, reason=reason)))

    def _restart(self, job: _Job) -> None:
        try:
            self._launcher.check_unchanged()
            self._child = self._launcher.start()
        except EvaluatorError as error:
            self._end(EvaluatorFailed(str(error)))
        except (OSError, MemoryError) as error:
            said = f"no evaluator can be started: {str(error) or type(error).__name__}"
            self._retry_start(job, said)
        else:
            job.retry_at = None
            self._send_request(job)

    def _retry_start(self, job: _Job, said: str) -> None:
        """Retry later, with exponential back-off: the system has no room for an evaluator."""
        pause_s = min(2.0 ** min(job.failed_starts, 30), _LONGEST_PAUSE_S)
        job.failed_starts += 1
        self._retry(job, said, pause_s)

    def _retry(self, job: _Job, said: str, pause_s: float) -> None:
        job.is_sent, job.deadline = False, None
        if job.conversation.nothing_is_wanted:  # nor is a fresh one needed to say so
            self._end(EvaluationEnded(Evaluation(None)))
            return
        job.retry_at = self._clock() + pause_s
        self._tell_caller(EvaluatorWaits(f"{said}; a fresh one follows", pause_s))

    # -- requests, and their end -------------------------------------------------------------------

    def _send_request(self, job: _Job) -> None:
        """Send the request once the child has started and the caller has answered."""
        child = self._child
        assert child is not None
        if not child.is_up:
            job.deadline = self._clock() + self._limit_s
        elif job.conversation.is_asking:
            job.deadline = None
        else:
            request = job.conversation.request(resumes=child.resumes, compares=child.compares)
            settings = {k: v for k, v in job.settings.items() if child.keeps or k not in _KEEPING}
            child.send({**settings, **request})
            job.is_sent = True
            job.deadline = self._clock() + self._limit_s

    def _end(self, event: EvaluatorEvent) -> None:
        """Report the last event and free the slot."""
        self._tell_caller(event)
        self.key = self._job = None

    def _tell_caller(self, event: EvaluatorEvent) -> None:
        assert self.key is not None
        self._tell(self.key, event)

    def _dismiss(self) -> None:
        """Kill the child, if there is one."""
        if self._child is not None:
            self._launcher.kill(self._child)
            self._child = None
