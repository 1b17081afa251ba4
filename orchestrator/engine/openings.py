"""Begins lanes: a planned step, or an experiment that an earlier daemon began, becomes one."""

from collections.abc import Collection

from orchestrator.core.records import Files, Rung
from orchestrator.engine.dependencies import Dependencies
from orchestrator.engine.experiment import challenge
from orchestrator.engine.lane import Kind, Lane
from orchestrator.engine.measuring import baseline, measure_incumbent
from orchestrator.engine.outcome import Rules
from orchestrator.planning.planner import MeasureIncumbent, RunBaseline, RunChallenge
from orchestrator.planning.state import RunState
from orchestrator.store.experiment_folder import ExperimentFolders
from orchestrator.store.open_experiments import OpenExperiment

BASELINE_AGENT = "none"
"""Nobody proposes a baseline: it is the accepted candidate, evaluated again."""
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
        self._rules = rules

    def lane(
        self,
        step: RunBaseline | RunChallenge | MeasureIncumbent,
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
            case RunBaseline(rung, why):
                return self._baseline(rung, why, state)
            case RunChallenge(rung):
                lane = self._challenge(rung, state)
                lane.ordinal = self._ledger.free_ordinal(self._run.tag, taken)
                return lane
            case MeasureIncumbent():
                return self._reference(step, state)

    def reopened(self, opened: OpenExperiment, state: RunState, why: str) -> Lane:
        """Take up an experiment that an earlier daemon began; `why` describes a baseline."""
        if opened.is_baseline:
            # Its files are those it began with, whatever the working tree holds by now.
            files = self._ledger.files(opened.n) or self._files(state)
            lane = self._baseline_lane(opened.rung, why, files, state)
        else:
            # Its edits are of the files it was shown, whoever the incumbent is by now.
            shown = self._ledger.files_at(opened.parent) if opened.parent else None
            lane = self._challenge(opened.rung, state, shown)
            lane.ordinal = opened.ordinal or self._ledger.free_ordinal(self._run.tag, ())
        lane.n, lane.agent, lane.created_at = opened.n, opened.agent, opened.created_at
        lane.parent = opened.parent or lane.parent
        return lane

    def why_not_resumed(
        self, opened: OpenExperiment, state: RunState, step: object, tip: str
    ) -> str | None:
        """Return why an experiment can't go on; None if it can.

        Args:
            opened: the experiment.
            state: the run so far.
            step: what would be begun now.
            tip: the incumbent's commit.
        """
        if opened.is_baseline:
            # It scores the incumbent, and a person may have made another the incumbent.
            is_due = isinstance(step, RunBaseline) and step.rung == opened.rung
            return None if is_due and opened.parent == tip else _UNFINISHED
        if not self._ledger.replies(opened.n):
            return _KILLED
        return None if opened.rung == state.rung else _UNFINISHED

    def _baseline(self, rung: Rung, why: str, state: RunState) -> Lane:
        files = self._files(state)
        lane = self._baseline_lane(rung, why, files, state)
        lane.n = self._ledger.begin(
            self._run.tag, is_baseline=True, rung=rung, agent=BASELINE_AGENT, parent=lane.parent,
            when=lane.created_at, files=files,
        )  # fmt: skip
        self._folders.begin(lane.n)
        return lane

    def _baseline_lane(self, rung: Rung, why: str, files: Files, state: RunState) -> Lane:
        below = None
        if state.incumbent is not None and state.incumbent.scored_by is not None:
            below = self._ledger.experiment(state.incumbent.scored_by)
        if below is not None and below.rung == rung:
            below = None
        lane = self._lane(Kind.BASELINE, rung, BASELINE_AGENT, files, state)
        lane.begin = lambda: baseline(rung, files, why, below, self._rules)
        lane.description = why
        return lane

    def _challenge(self, rung: Rung, state: RunState, shown: Files | None = None) -> Lane:
        files = shown or self._files(state)
        lane = self._lane(Kind.CHALLENGE, rung, self._agent.name, files, state)
        lane.begin = lambda: challenge(rung, files, self._rules)
        return lane

    def _reference(self, step: MeasureIncumbent, state: RunState) -> Lane:
        files = self._files(state)
        lane = self._lane(Kind.REFERENCE, step.rung, BASELINE_AGENT, files, state)
        lane.begin = lambda: measure_incumbent(step.rung, files, step.seeds, self._rules)
        lane.n, lane.description = step.n, "measuring the incumbent on held-out seeds"
        return lane

    def _lane(self, kind: Kind, rung: Rung, agent: str, files: Files, state: RunState) -> Lane:
        incumbent = state.incumbent
        return Lane(
            kind,
            rung,
            agent,
            self._monitor.now(),
            files=files,
            parent=(incumbent and incumbent.commit) or self._run.parent,
            incumbent=incumbent.n if incumbent else None,
        )

    def _files(self, state: RunState) -> Files:
        """Return the incumbent's files; before there is one, those the run was started with."""
        if state.incumbent is None:
            return self._baseline_files
        files = self._ledger.files(state.incumbent.n)
        assert files is not None
        return files
