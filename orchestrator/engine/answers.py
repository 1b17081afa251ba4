"""Answers to the commands that need no job: from the ledger, or because it is known already."""

from typing import Any

from orchestrator.core.evaluations import Evaluation
from orchestrator.core.reviews import NoReview, Review, ReviewRequest
from orchestrator.engine.commands import (
    Answer,
    AskReviewer,
    Command,
    EndEvaluation,
    IsLead,
    Measure,
    Propose,
    ReadCurves,
    ReadLead,
    ReserveCode,
    SaveFailure,
    SaveSeed,
)
from orchestrator.engine.dependencies import Dependencies
from orchestrator.engine.lane import Kind, Lane
from orchestrator.engine.recorded_seeds import recorded_seeds
from orchestrator.judging.candidate_evidence import SearchEvidence
from orchestrator.judging.rules import JudgingRules
from orchestrator.planning.planner import is_judgeable
from orchestrator.planning.state import RunState
from orchestrator.store.search_evidence import search_evidence


class Unknown:
    """Nothing is known yet: the command needs a job, or must wait."""


UNKNOWN = Unknown()


class Answers:
    """Reads and writes the ledger for experiments."""

    def __init__(self, parts: Dependencies, rules: JudgingRules) -> None:
        self._tag = parts.run.tag
        self._ledger = parts.ledger
        self._monitor, self._reviewer = parts.monitor, parts.reviewer
        self._rules = rules
        self._evidence: tuple[object, SearchEvidence] | None = None

    def answer(self, lane: Lane, command: Command[Any], state: RunState) -> Any:
        """Return a command's result, or `UNKNOWN`."""
        match command:
            case Propose(attempts):
                return self._reply(lane, len(attempts))
            case ReserveCode():
                return self._reserve(lane, command, state)
            case ReadLead(rung):
                lane.measured = None
                evidence = self.evidence(state)
                return evidence if is_judgeable(state, rung, self._rules, evidence) else UNKNOWN
            case IsLead(scored_by, is_task):
                now = state.lead
                return now is not None and (now.scored_by, now.is_task) == (scored_by, is_task)
            case ReadCurves(rung, seed, env):
                return tuple(self._ledger.curves(self._tag, rung, seed, env=env))
            case Measure():
                return self._measured(lane, command)
            case EndEvaluation():
                return self._report(lane, command)
            case AskReviewer(request):
                return self._review(lane, request)
            case SaveFailure(attempt, failure):
                assert lane.n is not None
                self._ledger.save_failure(lane.n, attempt, failure)
                lane.measured = None
            case SaveSeed(rung, result):
                assert lane.n is not None
                self._ledger.save_seed(lane.n, rung, result)
                self._monitor.log(
                    "a candidate failed on a fresh seed", "warning", experiment=lane.n,
                    seed=result.seed,
                )  # fmt: skip
            case _:
                raise AssertionError(f"no such command: {command}")
        return None

    def evidence(self, state: RunState) -> SearchEvidence:
        """Return what is known of the lead and the published candidate at the current rung."""
        self._ledger.save_pending()
        key = (state.incumbent, state.leads, state.rung, self._ledger.evidence_changes)
        if self._evidence is None or self._evidence[0] != key:
            self._evidence = key, search_evidence(self._ledger, self._tag, state, self._rules)
        return self._evidence[1]

    def _reply(self, lane: Lane, attempt: int) -> Answer | Unknown:
        replies = self._ledger.replies(lane.n) if lane.n is not None else []
        if attempt >= len(replies):
            return UNKNOWN
        assert lane.n is not None
        return Answer(lane.n, *replies[attempt])

    def _reserve(self, lane: Lane, command: ReserveCode, state: RunState) -> int | None:
        assert lane.n is not None
        lead = state.lead
        numbers = (lead.n, lead.scored_by) if lead else ()
        earlier = self._ledger.reserve_code(
            lane.n, self._tag, command.rung, command.fingerprint, command.files,
            parent=lead.commit if lead else lane.parent,
            incumbent=[n for n in numbers if n is not None],
        )  # fmt: skip
        if earlier is None:
            lane.description, lane.rationale = command.description, command.rationale
            lane.fingerprint = command.fingerprint
        return earlier

    def _review(self, lane: Lane, request: ReviewRequest) -> Review | NoReview | Unknown:
        assert lane.n is not None
        if (known := self._ledger.review(lane.n, request)) is not None:
            return known
        return UNKNOWN if self._reviewer.name else NoReview("")

    def _measured(self, lane: Lane, command: Measure) -> Any:
        """Return the result of a seed that was measured before this evaluation began."""
        assert lane.n is not None
        if lane.measured is None:
            if lane.kind is Kind.REFERENCE:
                known = self._ledger.reference(lane.n, lane.rung)
            else:
                recorded = recorded_seeds(self._ledger, lane.n, command.plan)
                known = [seed for seed, _ in recorded.values()]
            lane.measured = {seed.seed: seed for seed in known}
        return lane.measured.get(command.seed, UNKNOWN)

    def _report(self, lane: Lane, command: EndEvaluation) -> Any:
        """Return the evaluator's report if it is recorded, or if there is nothing to report on."""
        assert lane.n is not None
        if lane.session is None and (lane.kind is Kind.REFERENCE or not command.used):
            return Evaluation(None)  # of a reference each seed is recorded, and that is all of it
        saved = None if lane.kind is Kind.REFERENCE else self._ledger.saved_report(lane.n)
        if saved is None:
            return UNKNOWN
        # It may be of another test, against an incumbent that was.
        report, seconds = saved
        if [result.seed for result in report.seeds] != list(command.seeds):
            return UNKNOWN
        lane.evaluator_s = max(lane.evaluator_s, seconds)
        return report
