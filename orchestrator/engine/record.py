"""From an outcome to the record: the commit, the ledger, and all that follows from the ledger."""

import contextlib
import math
from collections.abc import Mapping
from dataclasses import asdict, replace
from typing import Any

from orchestrator.config.schema import Config
from orchestrator.core.candidate_mode import has_environment
from orchestrator.core.evaluations import Evaluation
from orchestrator.core.experiments import Experiment
from orchestrator.core.records import ADOPTED, HUMAN, JUDGED, Files, Status
from orchestrator.core.reviews import NoReview, Review
from orchestrator.engine.briefing import lessons_are_due
from orchestrator.engine.dependencies import Dependencies
from orchestrator.engine.lane import Kind, Lane
from orchestrator.engine.outcome import Outcome
from orchestrator.judging import flag_rules
from orchestrator.judging.rulers import same_environment
from orchestrator.proposals.reply import lessons_in
from orchestrator.store.experiment_folder import ExperimentFolders
from orchestrator.store.retention import Retention
from orchestrator.store.watched import Watched, best_seed

_SCORED = frozenset({Status.BASELINE, *JUDGED})


class Recorder:
    """Writes experiments down. The ledger is first; what is lost after it can be made again."""

    def __init__(self, parts: Dependencies) -> None:
        self._tag = parts.run.tag
        self._ledger = parts.ledger
        self._branch = parts.branch
        self._monitor = parts.monitor
        self._workspace = parts.workspace
        self.folders = ExperimentFolders(parts.workspace)
        self._lessons_every = parts.config.agent.lessons_every
        self._retention = Retention(parts.workspace, parts.config, self._protected)

    def prepare(self, lane: Lane, outcome: Outcome, tips: Mapping[Status, str]) -> Experiment:
        """Write the commit, and return the experiment as it is to be recorded.

        Args:
            lane: the experiment.
            outcome: how it ended.
            tips: the commit on which something that is adopted stands, by how it ended.
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
            # What is adopted stands on what leads now; anything else on what it began with.
            parent=tips.get(status, lane.parent),
            score=evaluation.score if scored else None,
            scores_by_seed=evaluation.scores_by_seed if scored else {},
            max_steps=evaluation.max_steps,
            report=evaluation.report,
            flags=flag_rules.uncounted(evaluation, status),
            reason=outcome.reason,
            details=evaluation.details,
            verdict=_verdict_document(outcome),
            tokens=tokens,
            cost_usd=cost,
            created_at=lane.created_at,
            finished_at=self._monitor.now(),
        )
        if candidate is not None:
            commit = self._commit(experiment, candidate.files, lane)
            experiment = replace(experiment, commit=commit)
        experiment = replace(experiment, seconds=lane.seconds())
        # Before the ledger, which forgets the replays with the verdict.
        self._keep_to_watch(experiment, evaluation)
        if evaluation.withheld:
            with contextlib.suppress(OSError):
                self.folders.write(experiment.n, "withheld.log", evaluation.withheld)
        return experiment

    def _keep_to_watch(self, experiment: Experiment, evaluation: Evaluation) -> None:
        """Keep replays and weights of what is accepted; a full disk must not end the run."""
        is_accepted = experiment.status in {Status.BASELINE, *ADOPTED}
        watched = Watched(self._workspace, experiment.n)
        watched.adopt(best_seed(experiment.scores_by_seed) if is_accepted else None)
        if not evaluation.replay or not is_accepted:
            return
        texts = {"replay.json": evaluation.replay}
        texts |= {f"replay-{seed}.json": text for seed, text in evaluation.other_replays.items()}
        with contextlib.suppress(OSError):
            for name, text in texts.items():
                self.folders.write(experiment.n, name, text)

    def finish(
        self, experiment: Experiment, outcome: Outcome, *, given_up: bool = False
    ) -> Experiment:
        """Record an experiment in the ledger, within a transaction; return it with its place."""
        candidate = outcome.candidate
        finished = self._ledger.finish(
            experiment,
            candidate.files if candidate else None,
            candidate.fingerprint if candidate else None,
            outcome.evaluation.seeds,
            given_up=given_up,
        )
        self._save_lessons(finished)
        return finished

    def _save_lessons(self, experiment: Experiment) -> None:
        """Record the lessons that an experiment's replies wrote down, where they were asked for.

        Several lanes may be asked at a time: each that ends replaces those of the one before it.
        """
        if experiment.is_baseline or experiment.agent == HUMAN:
            return
        own = int(experiment.status is not Status.ABORTED)  # it has ended, and counts
        known = self._ledger.lessons(self._tag)
        is_of_another_lane = (
            self._lessons_every is not None
            and known is not None
            and known.author != HUMAN
            and known.created_at > experiment.created_at
        )
        if not is_of_another_lane and not lessons_are_due(
            self._ledger, self._tag, self._lessons_every, besides=own
        ):
            return
        written = [lessons_in(reply) for reply, _ in self._ledger.replies(experiment.n)]
        if text := next(filter(None, reversed(written)), ""):
            self._ledger.add_lessons(self._tag, text, experiment.agent, self._monitor.now())

    def _commit(self, experiment: Experiment, files: Files, lane: Lane) -> str:
        """Return the commit of an experiment; a later baseline is the incumbent's own."""
        assert experiment.parent is not None
        if experiment.is_baseline and lane.incumbent is not None:
            return experiment.parent
        return self._branch.commit(experiment, files, experiment.parent)

    def write_out(self, experiment: Experiment) -> None:
        """Write the experiment's folder and its row; a full disk must not end the run."""
        self._write(experiment)
        if removed := self._retention.prune_for(experiment.n):
            self._monitor.log("old experiment folders removed", experiments=removed)

    def _write(self, experiment: Experiment) -> None:
        try:
            self.folders.finish(experiment, *self._change(experiment))
        except OSError as error:  # the ledger has it all
            self._monitor.log("journal not written", "warning", reason=str(error))

    def update_rows(self, history: list[Experiment]) -> None:
        """Have `results.tsv` say what became of leads; a full disk must not end the run."""
        try:
            self.folders.update_rows(history)
        except OSError as error:
            self._monitor.log("journal not written", "warning", reason=str(error))

    def catch_up(self, history: list[Experiment]) -> None:
        """Write what a kill between the ledger and the folders may have left out."""
        self.update_rows(history)
        for shown in self.folders.missing(history):
            experiment = self._ledger.experiment(shown.n)
            assert experiment is not None
            self._write(experiment)

    def configure(self, config: Config) -> None:
        """Ask for lessons, prune and warn by another configuration from now on."""
        self._lessons_every = config.agent.lessons_every
        self._retention.configure(config)

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


def _verdict_document(outcome: Outcome) -> Mapping[str, Any]:
    """Return a verdict and what it rests on, as the ledger has it."""
    verdict, lead = outcome.evaluation.verdict, outcome.lead
    if verdict is None:
        return {}
    facts = asdict(verdict)
    del facts["gain_text"], facts["is_other_task"]
    facts["foretold"] = facts.pop("predicted_score")
    facts["changed"] = list(verdict.changed)
    if outcome.candidate is not None and not has_environment(outcome.candidate.files.env):
        facts["world"] = True
    elif (why := _not_compared(outcome)) is not None:
        facts["not_compared"] = why
    facts["epoch"] = outcome.opens_epoch
    if outcome.status is Status.LEAD:
        facts["lead"] = True
    if (review := _review_document(outcome.review)) is not None:
        facts["review"] = review
    return {
        # Infinite where there is no noise at all: JSON knows no infinity.
        **{name: None if _is_infinite(fact) else fact for name, fact in facts.items()},
        "incumbent": lead.scored_by if lead else None,
        "against": lead.n if lead else None,
        "reference_seeds": len(lead.known) if lead else 0,
    }


def _not_compared(outcome: Outcome) -> str | None:
    """Return why nothing is known of what changed, None if it is known."""
    candidate, lead = outcome.candidate, outcome.lead
    if candidate is None or lead is None or not lead.is_task:
        return "there was no task before it"
    if any(seed.compared for seed in outcome.evaluation.seeds):
        return None
    if lead.files is not None and same_environment(lead.files, candidate.files):
        return None
    return "no actions were played in both environments"


def _review_document(review: Review | NoReview | None) -> Mapping[str, str] | None:
    """Return a review as the ledger has it; None where no reviewer is configured."""
    match review:
        case Review(opinion, reason, by):
            return {"opinion": opinion.value, "reason": reason, "by": by}
        case NoReview(why) if why:
            return {"none": why}
        case _:
            return None


def _is_infinite(fact: object) -> bool:
    return isinstance(fact, float) and not math.isfinite(fact)
