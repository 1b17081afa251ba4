"""Answers to the commands that need no job: from the ledger, or because it is known already."""

from typing import Any

from orchestrator.core.evaluations import Evaluation
from orchestrator.engine.commands import (
    Answer,
    Command,
    EndEvaluation,
    IsIncumbent,
    Measure,
    Propose,
    ReadCurves,
    ReadIncumbent,
    ReserveCode,
    SaveFailure,
    SaveSeed,
)
from orchestrator.engine.dependencies import Dependencies
from orchestrator.engine.lane import Kind, Lane
from orchestrator.judging.flag_rules import ScoredCandidate
from orchestrator.judging.incumbent import UNMEASURED, IncumbentEvidence, incumbent_evidence
from orchestrator.judging.rules import JudgingRules
from orchestrator.planning.planner import is_judgeable
from orchestrator.planning.state import RunState


class Unknown:
    """Nothing is known yet: the command needs a job, or must wait."""


UNKNOWN = Unknown()


class Answers:
    """Reads and writes the ledger for experiments."""

    def __init__(self, parts: Dependencies, rules: JudgingRules) -> None:
        self._tag = parts.run.tag
        self._ledger = parts.ledger
        self._monitor = parts.monitor
        self._rules = rules
        self._evidence: tuple[object, IncumbentEvidence] | None = None

    def answer(self, lane: Lane, command: Command[Any], state: RunState) -> Any:
        """Return a command's result, or `UNKNOWN`."""
        match command:
            case Propose(attempts):
                return self._reply(lane, len(attempts))
            case ReserveCode():
                return self._reserve(lane, command)
            case ReadIncumbent(rung):
                lane.measured = None
                evidence = self.evidence(state)
                return evidence if is_judgeable(state, rung, self._rules, evidence) else UNKNOWN
            case IsIncumbent(scored_by):
                incumbent = state.incumbent
                return incumbent is not None and incumbent.scored_by == scored_by
            case ReadCurves(rung, seed):
                return tuple(self._ledger.curves(self._tag, rung, seed))
            case Measure():
                return self._measured(lane, command)
            case EndEvaluation():
                return self._report(lane, command)
            case SaveFailure(attempt, failure):
                assert lane.n is not None
                self._ledger.save_failure(lane.n, attempt, failure)
                lane.measured = None
            case SaveSeed(rung, result):
                assert lane.n is not None
                self._ledger.save_seed(lane.n, rung, result)
                self._monitor.log(
                    "the incumbent failed on a fresh seed", "warning", experiment=lane.n,
                    seed=result.seed,
                )  # fmt: skip
            case _:
                raise AssertionError(f"no such command: {command}")
        return None

    def evidence(self, state: RunState) -> IncumbentEvidence:
        """Return what is known of the incumbent at the current rung."""
        self._ledger.save_pending()
        key = (state.incumbent, state.rung, self._ledger.changes)
        if self._evidence is None or self._evidence[0] != key:
            self._evidence = key, self._read_evidence(state)
        return self._evidence[1]

    def _read_evidence(self, state: RunState) -> IncumbentEvidence:
        incumbent, rung = state.incumbent, state.rung
        if incumbent is None or incumbent.scored_by is None or rung is None:
            return UNMEASURED
        n, tag = incumbent.scored_by, self._tag
        experiment = self._ledger.experiment(n)
        files = self._ledger.files(incumbent.n)
        assert experiment is not None
        assert files is not None
        scored = ScoredCandidate(
            experiment.score or 0.0, experiment.max_steps, experiment.report, files.env,
            experiment.flags,
        )  # fmt: skip
        if not self._rules.needs_reference:
            return IncumbentEvidence(
                scored_by=n, scores_by_seed=incumbent.scores_by_seed, scored=scored
            )
        references = self._ledger.references_at(tag, rung)
        references[n] = self._ledger.reference(n, rung)
        return incumbent_evidence(
            references,
            n,
            self._ledger.screen(n, rung),
            self._ledger.confirmations(tag, rung),
            scores_by_seed=incumbent.scores_by_seed,
            scored=scored,
        )

    def _reply(self, lane: Lane, attempt: int) -> Answer | Unknown:
        replies = self._ledger.replies(lane.n) if lane.n is not None else []
        if attempt >= len(replies):
            return UNKNOWN
        assert lane.n is not None
        return Answer(lane.n, *replies[attempt])

    def _reserve(self, lane: Lane, command: ReserveCode) -> int | None:
        assert lane.n is not None
        earlier = self._ledger.reserve_code(
            lane.n, self._tag, command.rung, command.fingerprint, command.files
        )
        if earlier is None:
            lane.description, lane.rationale = command.description, command.rationale
            lane.fingerprint = command.fingerprint
        return earlier

    def _measured(self, lane: Lane, command: Measure) -> Any:
        """Return the result of a seed that was measured before this evaluation began."""
        assert lane.n is not None
        if lane.measured is None:
            if lane.kind is Kind.REFERENCE:
                known = self._ledger.reference(lane.n, lane.rung)
            else:
                rung = command.plan.rung
                known = [seed for seed, _ in self._ledger.measured_seeds(lane.n, rung).values()]
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
