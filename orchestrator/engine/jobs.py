"""Jobs of the lanes in flight: questions, reviews and evaluations, and the news they bring."""

import contextlib
import time
from collections import deque
from collections.abc import Iterable
from dataclasses import replace

from orchestrator.core.errors import AgentBlockedError, EvaluatorError
from orchestrator.core.evaluations import (
    CheckpointReached,
    EpisodeDone,
    Evaluation,
    EvaluationEnded,
    EvaluatorFailed,
    EvaluatorWaits,
    Measurement,
    SeedDone,
    SeedResult,
)
from orchestrator.core.experiments import StopKind, StopReason
from orchestrator.core.records import Phase
from orchestrator.core.spending import WorstCase
from orchestrator.engine.calls import Calls
from orchestrator.engine.commands import Answer, AskReviewer, EndEvaluation, Measure, Propose
from orchestrator.engine.dependencies import Dependencies
from orchestrator.engine.lane import Kind, Lane, Session
from orchestrator.engine.news import NO_NEWS, JobEvent, News
from orchestrator.engine.recorded_seeds import recorded_seeds
from orchestrator.engine.reviewing import Reviewing
from orchestrator.judging.rulers import marked
from orchestrator.proposals.agent_events import (
    AgentAsked,
    AgentBlocked,
    AgentFinished,
    AgentWaits,
    NothingToAdd,
    Replied,
    Reviewed,
)
from orchestrator.proposals.brief import Brief
from orchestrator.proposals.prompt import as_markdown
from orchestrator.proposals.show_requests import turn_name
from orchestrator.store.experiment_folder import ExperimentFolders

_SURELY_S = 5.0
"""How late the news of a pause may be read: with less left of it, the next try may be under way."""


class Jobs:
    """Starts jobs for lanes, and records what they tell before anything follows from it."""

    def __init__(self, parts: Dependencies) -> None:
        self._tag = parts.run.tag
        self._ledger = parts.ledger
        self._agent, self._evaluator = parts.agent, parts.evaluator
        self._monitor, self._reviewer = parts.monitor, parts.reviewer
        self._folders = ExperimentFolders(parts.workspace)
        self.calls = Calls(parts)
        self.reviews = Reviewing(parts, self.calls)
        self.held: set[str] = set()
        """`agent` and `evaluator`: of those, nothing is asked until a person has acted."""
        self.events: deque[tuple[str, JobEvent]] = deque()
        """What has happened and is not recorded yet, the oldest first."""

    # Starting and ending.

    def ask(self, lane: Lane, brief: Brief, worst: WorstCase) -> None:
        """Put a question to the agent, which may cost so much."""
        with self.calls.making(lane, self._agent.name, worst):
            self._agent.ask(lane.ask_key, brief)
        lane.asked, lane.asked_at = len(brief.attempts), time.monotonic()
        lane.turn = turn_name(brief.attempts)
        lane.work(Phase.PROPOSING)

    def evaluate(self, lane: Lane, command: Measure | EndEvaluation) -> None:
        """Begin the lane's evaluation, if an evaluator is free; or let it go on, or end."""
        if lane.session is not None and not lane.can_go_on(command):
            self.withdraw_evaluation(lane)
        session = lane.session
        if session is None:
            self._begin(lane, command)
        elif session.is_asking:
            session.is_asking = False
            try:
                self._evaluator.go_on(lane.evaluation_key, wanted=isinstance(command, Measure))
            except (OSError, MemoryError):
                self.withdraw_evaluation(lane)  # it begins again, with what is measured
                raise

    def _begin(self, lane: Lane, command: Measure | EndEvaluation) -> None:
        if "evaluator" in self.held or self._evaluator.free_slots() < 1:
            lane.wait_idly(Phase.WAITING, "waiting for a free evaluator")
            return
        measured = self._measured(lane, command.plan)
        plan = command.plan
        if isinstance(command, EndEvaluation):  # of what is measured, and no more
            plan = plan.only(command.seeds)
        elif lane.kind is Kind.REFERENCE:  # what is measured needs no report
            left = tuple(seed for seed in plan.order if seed not in measured)
            first = len(plan.seeds)  # the evaluator wants at least one
            plan = replace(plan, seeds=left[:first], more_seeds=left[first:])
            measured = {}
        lane.work(Phase.EVALUATING)
        self._evaluator.begin(lane.evaluation_key, command.files, plan, measured)
        now = time.monotonic()
        lane.session = Session(command.plan, now, seed_began=now)
        self._monitor.log(
            "evaluating", experiment=lane.n, rung=str(lane.rung), description=lane.description
        )

    def _measured(self, lane: Lane, plan: Measurement) -> dict[int, str]:
        """Return the seeds that need not be measured again, and how to take them as measured."""
        assert lane.n is not None
        if lane.kind is Kind.REFERENCE:
            known = self._ledger.reference(lane.n, lane.rung)
            return {seed.seed: "" for seed in known if seed.seed in plan.order}
        recorded = recorded_seeds(self._ledger, lane.n, plan)
        return {seed: resume or "" for seed, (_, resume) in recorded.items() if seed in plan.order}

    def is_held(self, lane: Lane) -> bool:
        """Can the lane not go on before a person has acted?"""
        match lane.waits_for:
            case Propose():
                return lane.asked is None and "agent" in self.held
            case AskReviewer():
                return False
            case Measure() | EndEvaluation():
                return lane.session is None and "evaluator" in self.held
            case _:  # whoever measures the incumbent needs the evaluator
                return "evaluator" in self.held

    def withdraw(self, lane: Lane) -> None:
        """End whatever the lane has in hand."""
        self.withdraw_question(lane)
        self.withdraw_evaluation(lane)

    def withdraw_question(self, lane: Lane) -> None:
        """End the lane's call of agent or reviewer."""
        if lane.asked is not None:
            self._agent.cancel(lane.ask_key)
            self._forget(lane.ask_key)
            # In a pause after a try that was refused no call is under way.
            self.calls.break_off(lane, is_billed=lane.pauses_for(_SURELY_S))
            self._answered(lane)
        self.reviews.withdraw(lane)

    def withdraw_evaluation(self, lane: Lane) -> None:
        """End the lane's evaluation; what it has told is recorded."""
        if lane.session is not None:
            self._evaluator.cancel(lane.evaluation_key)
            self._forget(lane.evaluation_key)
            lane.evaluator_s += time.monotonic() - lane.session.began
            lane.session = None

    def _forget(self, key: str) -> None:
        """Drop the events of a job that was withdrawn: the next one may have the same key."""
        kept = [(about, event) for about, event in self.events if about != key]
        self.events.clear()
        self.events.extend(kept)

    # News.

    def poll(self) -> None:
        """Add what has happened to `events`."""
        self.events += [*self._agent.poll(), *self.reviews.poll(), *self._evaluator.poll()]

    def waiting_for(self, most_s: float) -> tuple[Iterable[int], float]:
        """Return what to wait for, and how long at most."""
        sources = (self._agent, self._reviewer, self._evaluator)
        bounds = [most_s, *(source.timeout_s() for source in sources)]
        timeout_s = max(0.0, min(bound for bound in bounds if bound is not None))
        return [d for source in sources for d in source.descriptors()], timeout_s

    def save(self, lane: Lane, event: JobEvent) -> News:
        """Record an event, and return what it means for its lane."""
        match event:
            case Replied():
                return News(self._replied(lane, event), has_result=True)
            case Reviewed():
                return self.reviews.save(lane, event)
            case NothingToAdd():
                self._answered(lane, is_billed=True)
                return News(has_result=True)
            case AgentFinished(reason):
                self._answered(lane, is_billed=True)
                return News(finished=StopReason(StopKind.FINISHED, reason))
            case AgentBlocked(reason, may_be_billed):
                self._answered(lane, is_billed=not may_be_billed)
                return News(fault=AgentBlockedError(reason))
            case AgentAsked() | AgentWaits() | EvaluatorWaits():
                self._goes_on(lane, event)
            case EpisodeDone(seed):
                self._episode_done(lane, seed)
            case CheckpointReached():
                assert lane.session is not None
                lane.session.is_asking = True
                return News(event, has_result=True)
            case SeedDone():
                return News(self._seed_done(lane, event), has_result=True)
            case EvaluationEnded(evaluation):
                return self._ended(lane, evaluation)
            case EvaluatorFailed(reason):
                self._close_session(lane)
                return News(fault=EvaluatorError(reason))
        return NO_NEWS

    def _replied(self, lane: Lane, event: Replied) -> Answer:
        """Record a reply before anything is made of it; the first one begins the experiment."""
        attempt = (lane.asked or 0) + 1
        if lane.n is None:
            lane.agent = event.agent or self._agent.name  # it may have been replaced meanwhile
        with self._ledger.transaction():
            n = lane.n
            if n is None:
                n = self._ledger.begin(
                    self._tag, is_baseline=False, rung=lane.rung, agent=lane.agent,
                    parent=lane.parent, when=lane.created_at, ordinal=lane.ordinal,
                    edits=lane.edits,
                )  # fmt: skip
            self._ledger.save_reply(n, attempt, event.reply, event.agent)
            self.calls.answered(lane, event.reply, is_free=event.is_free)
        is_new, lane.n = lane.n is None, n
        self._answered(lane)
        lane.work(Phase.CHECKING)
        with contextlib.suppress(OSError):  # the ledger has the reply
            if is_new:
                self._folders.begin(n)
            suffix = f".{lane.turn}" if lane.turn else ""
            if event.sent:
                self._folders.write(n, f"prompt{suffix}.md", as_markdown(event.sent))
            self._folders.write(n, f"reply{suffix}.md", event.reply.text)
        return Answer(n, event.reply)

    def _answered(self, lane: Lane, *, is_billed: bool | None = None) -> None:
        if is_billed is not None:  # else that is known from its reply
            self.calls.end(lane, is_billed=is_billed)
        self.calls.forget(lane)
        lane.agent_s += time.monotonic() - lane.asked_at
        lane.asked = lane.waits_until = None

    def _goes_on(self, lane: Lane, event: AgentAsked | AgentWaits | EvaluatorWaits) -> None:
        """Show that another agent has the question now, or what is waited for."""
        if not isinstance(event, EvaluatorWaits) and event.may_be_billed:
            self.calls.retried(lane)
        if isinstance(event, AgentAsked):
            lane.is_asked_of(event.agent, event.why)
            if event.why:
                self._monitor.log(
                    "another agent is asked", "warning", agent=event.agent, reason=event.why
                )
            return
        reason, seconds = event.reason, event.seconds
        if lane.review is not None:
            self.reviews.waits(lane, reason, seconds)
            return
        lane.wait_out(reason, seconds, self._monitor.now())
        facts = {"seconds": round(seconds, 1)} if lane.next_try_at else {}
        self._monitor.log("waiting", level="warning", experiment=lane.n, reason=reason, **facts)

    def _episode_done(self, lane: Lane, seed: int) -> None:
        assert lane.session is not None
        lane.session.count_episode(seed)
        if lane.waits_until is not None:
            lane.work(Phase.EVALUATING)

    def _seed_done(self, lane: Lane, event: SeedDone) -> SeedResult:
        session, result = lane.session, event.result
        assert session is not None
        assert lane.n is not None
        now = time.monotonic()
        if lane.kind is Kind.REFERENCE:  # no experiment of its own counts its seconds
            result = replace(result, seconds=round(now - session.seed_began, 4))
        result = marked(result, session.plan)
        self._ledger.save_seed(lane.n, lane.rung, result, event.resume)
        session.seed_began, session.is_asking, session.last_seed = now, True, result.seed
        session.seeds_done += 1
        return result

    def _ended(self, lane: Lane, evaluation: Evaluation) -> News:
        session = lane.session
        assert session is not None
        seconds = time.monotonic() - session.began
        if isinstance(lane.waits_for, EndEvaluation):
            if lane.kind is not Kind.REFERENCE and evaluation.status is None:
                assert lane.n is not None
                if len(evaluation.scores_by_seed) < len(session.plan.seeds):
                    # Asked for those alone, the evaluator took their mean for the score.
                    evaluation = replace(evaluation, score=None)
                self._ledger.save_report(lane.n, evaluation, lane.evaluator_s + seconds)
        elif evaluation.status is None:
            self._close_session(lane)
            return News(fault=EvaluatorError("the evaluator ended before it was told to"))
        self._close_session(lane)
        return News(evaluation, has_result=True)

    def _close_session(self, lane: Lane) -> None:
        assert lane.session is not None
        lane.evaluator_s += time.monotonic() - lane.session.began
        lane.session, lane.waits_until = None, None
