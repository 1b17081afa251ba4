"""Begins lanes: a planned step, or an experiment that an earlier daemon began, becomes one."""

from collections.abc import Collection
from dataclasses import replace

from orchestrator.core.records import BASELINE_AGENT, HUMAN, Files, Reply, Rung
from orchestrator.engine.dependencies import Dependencies
from orchestrator.engine.experiment import challenge, trial
from orchestrator.engine.lane import Kind, Lane
from orchestrator.engine.measuring import baseline, measure_candidate
from orchestrator.engine.outcome import Rules
from orchestrator.judging.rulers import same_environment
from orchestrator.planning.candidates import Incumbent
from orchestrator.planning.planner import RunBaseline, RunChallenge
from orchestrator.planning.seeds import MeasureCandidate
from orchestrator.planning.state import RunState
from orchestrator.proposals.reply import describe
from orchestrator.store.experiment_folder import ExperimentFolders
from orchestrator.store.open_experiments import OpenExperiment

MOST_RESUMES = 3
"""How many restarts may resume the same experiment without progress."""
_UNFINISHED = "it was begun and could not be finished"
_KILLED = "the daemon was killed during this experiment"


class Openings:
    """Makes lanes for one run."""

    def __init__(self, parts: Dependencies, rules: Rules) -> None:
        self._run = parts.run
        self._ledger = parts.ledger
        self._monitor = parts.monitor
        self._agent = parts.agent
        self._baseline_files = parts.baseline
        self._folders = ExperimentFolders(parts.workspace)
        self.rules = rules
        """The rules of experiments that begin from now on."""

    def lane(
        self,
        step: RunBaseline | RunChallenge | MeasureCandidate,
        state: RunState,
        taken: Collection[int],
    ) -> Lane:
        """Begin a planned step.

        Args:
            step: what to begin.
            state: the run so far.
            taken: ordinals of the proposals in flight.
        """
        match step:
            case RunBaseline():
                return self._baseline(step, state)
            case RunChallenge(rung):
                if lane := self._proposed_by_a_human(rung, state):
                    return lane
                lane = self._challenge(rung, state)
                lane.ordinal = self._ledger.free_ordinal(self._run.tag, taken)
                return lane
            case MeasureCandidate():
                return self._reference(step, state)

    def reopened(self, opened: OpenExperiment, state: RunState, due: RunBaseline | None) -> Lane:
        """Take up an experiment that an earlier daemon began; `due` is the baseline due now."""
        if opened.agent == HUMAN:
            said = self._ledger.replies(opened.n)[0][0].text
            lane = self._trial(opened.n, opened.rung, describe(said), state)
        elif opened.is_baseline:
            # Its files are those it began with, whatever the working tree holds by now.
            step = replace(due or RunBaseline(opened.rung, ""), rung=opened.rung)
            files = self._ledger.files(opened.n) or self._files(_scored_by(step, state))
            lane = self._baseline_lane(step, files, state)
        else:
            # Its edits are of the files it was shown, whatever leads by now.
            lane = self._challenge(opened.rung, state, self._shown_to(opened), opened.edits)
            lane.ordinal = opened.ordinal or self._ledger.free_ordinal(self._run.tag, ())
        lane.n, lane.agent, lane.created_at = opened.n, opened.agent, opened.created_at
        lane.parent = opened.parent or lane.parent
        return lane

    def why_not_resumed(self, opened: OpenExperiment, state: RunState, step: object) -> str | None:
        """Return why an experiment can't go on; None if it can.

        Args:
            opened: the experiment.
            state: the run so far.
            step: what would be begun now.
        """
        if opened.is_baseline:
            # A person may have made another candidate the incumbent.
            if not isinstance(step, RunBaseline) or step.rung != opened.rung:
                return _UNFINISHED
            scored = self._commit(_scored_by(step, state))
            return None if opened.parent == scored else _UNFINISHED
        if not self._ledger.replies(opened.n):
            return _KILLED
        return None if opened.rung == state.rung else _UNFINISHED

    def _baseline(self, step: RunBaseline, state: RunState) -> Lane:
        files = self._files(_scored_by(step, state))
        lane = self._baseline_lane(step, files, state)
        lane.n = self._ledger.begin(
            self._run.tag, is_baseline=True, rung=step.rung, agent=BASELINE_AGENT,
            parent=lane.parent, when=lane.created_at, files=files,
        )  # fmt: skip
        self._folders.begin(lane.n)
        return lane

    def _baseline_lane(self, step: RunBaseline, files: Files, state: RunState) -> Lane:
        rung, scored = step.rung, _scored_by(step, state)
        below = None
        if scored is not None and scored.scored_by is not None:
            below = self._ledger.experiment(scored.scored_by)
        if below is not None and (below.rung == rung or not state.learnt_at_rung):
            below = None  # it need not learn above what it did not learn below
        is_task = scored is not None and scored.is_task
        lane = self._lane(Kind.BASELINE, rung, BASELINE_AGENT, files, scored)
        lane.begin = lambda: baseline(rung, files, step.why, below, self.rules, is_task=is_task)
        lane.description = step.why
        return lane

    def _challenge(
        self, rung: Rung, state: RunState, shown: Files | None = None, edits: int | None = None
    ) -> Lane:
        if shown is None:
            edits = self._edited_attempt(state)
            shown = self._ledger.files(edits) if edits is not None else None
        files = shown or self._files(state.lead)
        lane = self._lane(Kind.CHALLENGE, rung, self._agent.name, files, state.lead)
        lane.edits = edits
        lane.begin = lambda: challenge(rung, files, self.rules)
        return lane

    def _edited_attempt(self, state: RunState) -> int | None:
        """Return the attempt that the agent edits instead of the lead, None for the lead.

        Until something is accepted that is the latest valid one: nothing that worked is lost.
        """
        if state.incumbent is None or state.incumbent.is_task:
            return None
        return self._ledger.latest_attempt(self._run.tag)

    def _shown_to(self, opened: OpenExperiment) -> Files | None:
        """Return the files that an open experiment edits, None for those of the lead."""
        if opened.edits is not None:
            return self._ledger.files(opened.edits)
        return self._ledger.files_at(opened.parent) if opened.parent else None

    def _proposed_by_a_human(self, rung: Rung, state: RunState) -> Lane | None:
        """Begin the experiment that a person proposed first, None if nobody did."""
        waiting = self._ledger.proposals(self._run.tag)
        if not waiting:
            return None
        first, when = waiting[0], self._monitor.now()
        with self._ledger.transaction():
            n = self._ledger.begin(
                self._run.tag, is_baseline=False, rung=rung, agent=HUMAN,
                parent=self._commit(state.lead), when=when, files=first.files,
            )  # fmt: skip
            self._ledger.save_reply(n, 1, Reply(f"description: {first.description}"))
            self._ledger.drop_request(first.id)
        self._folders.begin(n)
        lane = self._trial(n, rung, first.description, state)
        lane.n, lane.created_at = n, when
        return lane

    def _trial(self, n: int, rung: Rung, description: str, state: RunState) -> Lane:
        files = self._ledger.files(n)
        assert files is not None
        lane = self._lane(Kind.CHALLENGE, rung, HUMAN, self._files(state.lead), state.lead)
        lane.begin = lambda: trial(n, files, description, rung, self.rules)
        lane.description = description
        return lane

    def _reference(self, step: MeasureCandidate, state: RunState) -> Lane:
        candidate = state.find(step.candidate)
        files, published = self._files(candidate), self._files(state.incumbent)
        is_other = step.is_compared and not same_environment(published, files)
        scored_by = candidate.scored_by if candidate else None
        scored = self._ledger.experiment(scored_by) if scored_by else None
        lane = self._lane(Kind.REFERENCE, step.rung, BASELINE_AGENT, files, candidate)
        lane.begin = lambda: measure_candidate(
            step.rung, files, step.seeds, self.rules, purpose=step.purpose,
            compared_with=published if is_other else None, is_lead=step.is_compared,
            max_steps=scored.max_steps if scored else None,
        )  # fmt: skip
        what = "published candidate" if candidate is state.incumbent else "lead"
        lane.n, lane.description = step.n, f"measuring the {what} on fresh seeds"
        return lane

    def _lane(
        self, kind: Kind, rung: Rung, agent: str, files: Files, before: Incumbent | None
    ) -> Lane:
        return Lane(
            kind,
            rung,
            agent,
            self._monitor.now(),
            files=files,
            parent=self._commit(before),
            incumbent=before.n if before else None,
        )

    def _commit(self, candidate: Incumbent | None) -> str:
        """Return a candidate's commit; before there is one, the run's parent."""
        return (candidate and candidate.commit) or self._run.parent

    def _files(self, candidate: Incumbent | None) -> Files:
        """Return a candidate's files; before there is one, those the run was started with."""
        if candidate is None:
            return self._baseline_files
        files = self._ledger.files(candidate.n)
        assert files is not None
        return files


def _scored_by(step: RunBaseline, state: RunState) -> Incumbent | None:
    """Return the candidate that a baseline scores; None before there is any."""
    return state.lead if step.is_of_lead else state.incumbent
