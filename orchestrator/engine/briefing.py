"""Gathers what the agent is told: the files, program.md, the record, the notes."""

import re
from dataclasses import replace

from orchestrator.core.errors import AgentBlockedError
from orchestrator.core.evaluations import Report
from orchestrator.core.experiments import Experiment
from orchestrator.core.records import Attempt
from orchestrator.engine.dependencies import Dependencies
from orchestrator.engine.lane import Lane
from orchestrator.planning.state import RunState
from orchestrator.proposals.brief import Brief
from orchestrator.store.results_tsv import ForeignRows

HISTORY_SHOWN = 300
HISTORY_STEP = 25
_OWN_ROW = re.compile(r"#\d+ ")


class Briefing:
    """The record as prompts show it; reading all of it anew each time would cost more and more."""

    def __init__(self, parts: Dependencies) -> None:
        self._run, self._config = parts.run, parts.config
        self._workspace = parts.workspace
        self._ledger = parts.ledger
        # Rows of ours, of this run and of others, begin with an experiment's number.
        self._foreign = ForeignRows(parts.workspace / "results.tsv", _OWN_ROW.match)
        self.history = self._ledger.recent(self._run.tag, HISTORY_SHOWN)
        """The run's last experiments in the order in which they ended, oldest first."""

    def read_again(self) -> None:
        """Read the history from the ledger."""
        self.history = self._ledger.recent(self._run.tag, HISTORY_SHOWN)

    def add(self, experiment: Experiment) -> None:
        """Take note of an experiment that has ended."""
        solved = Report({"mean_solve_rate": experiment.report.solve_rate})
        self.history.append(replace(experiment, report=solved))
        if len(self.history) > HISTORY_SHOWN + HISTORY_STEP:
            # In steps, so that the prompt's front stays the same and a provider's cache holds.
            del self.history[:HISTORY_STEP]

    def brief(self, lane: Lane, attempts: tuple[Attempt, ...], state: RunState) -> Brief:
        """Return what the agent is told.

        Raises:
            AgentBlockedError: program.md can't be read.
        """
        assert lane.ordinal is not None
        incumbent = state.incumbent
        scored = None
        if incumbent is not None and incumbent.scored_by is not None:
            scored = self._ledger.experiment(incumbent.scored_by)
        return Brief(
            ordinal=lane.ordinal,
            program=self._program(),
            files=lane.files,
            rung=lane.rung,
            incumbent=lane.incumbent or 0,
            history=tuple(self.history),
            foreign=[" | ".join(row.values()) for row in self._foreign.read()],
            notes=self._ledger.notes(),
            attempts=attempts,
            task_max_steps=self._config.task.max_steps,
            incumbent_flags=scored.flags if scored else (),
            veto=tuple(self._config.integrity.veto),
        )

    def _program(self) -> str:
        try:
            return (self._workspace / "program.md").read_text(encoding="utf-8", errors="replace")
        except OSError as error:
            raise AgentBlockedError(f"program.md can't be read ({error}): put it back") from None
