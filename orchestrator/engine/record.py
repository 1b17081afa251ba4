"""From an outcome to the record: the commit, the ledger, and all that follows from the ledger."""

import contextlib
import math
from collections.abc import Mapping
from dataclasses import asdict, replace
from typing import Any

from orchestrator.core.evaluations import Evaluation
from orchestrator.core.experiments import Experiment
from orchestrator.core.records import Files, Status
from orchestrator.engine.dependencies import Dependencies
from orchestrator.engine.lane import Kind, Lane
from orchestrator.engine.outcome import Outcome
from orchestrator.judging import flag_rules
from orchestrator.judging.incumbent import IncumbentEvidence
from orchestrator.store.experiment_folder import ExperimentFolders
from orchestrator.store.retention import Retention

_SCORED = frozenset({Status.BASELINE, Status.KEEP, Status.DISCARD})


class Recorder:
    """Writes experiments down. The ledger is first; what is lost after it can be made again."""

    def __init__(self, parts: Dependencies) -> None:
        self._tag = parts.run.tag
        self._ledger = parts.ledger
        self._branch = parts.branch
        self._monitor = parts.monitor
        self.folders = ExperimentFolders(parts.workspace)
        self._retention = Retention(parts.workspace, parts.config, self._protected)

    def prepare(self, lane: Lane, outcome: Outcome, tip: str) -> Experiment:
        """Write the commit, and return the experiment as it is to be recorded.

        Args:
            lane: the experiment.
            outcome: how it ended.
            tip: the commit of the incumbent of now.
        """
        assert lane.n is not None
        status, evaluation = outcome.status, outcome.evaluation
        candidate = outcome.candidate
        tokens, cost = self._ledger.spent(lane.n)
        scored = status in _SCORED
        experiment = Experiment(
            n=lane.n,
            tag=self._tag,
            is_baseline=lane.kind is Kind.BASELINE,
            status=status,
            rung=lane.rung,
            agent=lane.agent,
            description=candidate.description if candidate else outcome.description,
            rationale=candidate.rationale if candidate else "",
            # A keep stands on the incumbent of now; anything else on what it began with.
            parent=tip if status is Status.KEEP else lane.parent,
            score=evaluation.score if scored else None,
            scores_by_seed=evaluation.scores_by_seed if scored else {},
            max_steps=evaluation.max_steps,
            report=evaluation.report,
            flags=flag_rules.uncounted(evaluation, status),
            reason=outcome.reason,
            details=evaluation.details,
            verdict=_verdict_document(evaluation, outcome.incumbent),
            tokens=tokens,
            cost_usd=cost,
            created_at=lane.created_at,
            finished_at=self._monitor.now(),
        )
        if candidate is not None:
            commit = self._commit(experiment, candidate.files, lane)
            experiment = replace(experiment, commit=commit)
        experiment = replace(experiment, seconds=lane.seconds())
        if evaluation.replay and status in {Status.BASELINE, Status.KEEP}:
            # Before the ledger, which forgets it with the verdict.
            with contextlib.suppress(OSError):
                self.folders.write(experiment.n, "replay.json", evaluation.replay)
        return experiment

    def finish(
        self, experiment: Experiment, outcome: Outcome, *, given_up: bool = False
    ) -> Experiment:
        """Record an experiment in the ledger, in one transaction; return it with its place."""
        candidate = outcome.candidate
        return self._ledger.finish(
            experiment,
            candidate.files if candidate else None,
            candidate.fingerprint if candidate else None,
            outcome.evaluation.seeds,
            given_up=given_up,
        )

    def _commit(self, experiment: Experiment, files: Files, lane: Lane) -> str:
        """Return the commit of an experiment; a later baseline is the incumbent's own."""
        assert experiment.parent is not None
        if experiment.is_baseline and lane.incumbent is not None:
            return experiment.parent
        return self._branch.commit(experiment, files, experiment.parent)

    def write_out(self, experiment: Experiment) -> None:
        """Write the experiment's folder and its row; a full disk must not end the run."""
        try:
            self.folders.finish(experiment, *self._change(experiment))
        except OSError as error:  # the ledger has it all
            self._monitor.log("journal not written", "warning", reason=str(error))
        if removed := self._retention.prune_for(experiment.n):
            self._monitor.log("old experiment folders removed", experiments=removed)

    def catch_up(self, history: list[Experiment]) -> None:
        """Write what a kill between the ledger and the folders may have left out."""
        for shown in self.folders.missing(history):
            experiment = self._ledger.experiment(shown.n)
            assert experiment is not None
            self.folders.finish(experiment, *self._change(experiment))

    def low_disk(self) -> str | None:
        """Return what a person must know if the disk is nearly full, None if it is not."""
        return self._retention.low_disk()

    def _protected(self) -> set[int]:
        """Return the experiments whose folders stay: accepted ones, and those in flight."""
        opened = {experiment.n for experiment in self._ledger.open_experiments(self._tag)}
        return set(self._ledger.accepted()) | opened

    def _change(self, experiment: Experiment) -> tuple[Files | None, Files | None]:
        """Return the files before and after an experiment."""
        files = self._ledger.files(experiment.n)
        return self._ledger.files_at(str(experiment.parent)) or files, files


def _verdict_document(
    evaluation: Evaluation, incumbent: IncumbentEvidence | None
) -> Mapping[str, Any]:
    """Return a verdict and what it rests on, as the ledger has it."""
    verdict = evaluation.verdict
    if verdict is None:
        return {}
    facts = asdict(verdict)
    del facts["gain_text"]
    facts["foretold"] = facts.pop("predicted_score")
    against = incumbent if incumbent is not None and incumbent.returns else None
    return {
        # Infinite where there is no noise at all: JSON knows no infinity.
        **{name: None if _is_infinite(fact) else fact for name, fact in facts.items()},
        "incumbent": incumbent.scored_by if incumbent else None,
        "reference_seeds": len(against.returns) if against else 0,
        "shared_luck": against.correlation.conservative if against else 0.0,
    }


def _is_infinite(fact: object) -> bool:
    return isinstance(fact, float) and not math.isfinite(fact)
