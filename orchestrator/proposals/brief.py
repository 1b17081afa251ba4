"""The brief: all that an agent reads for one proposal. Pure."""

from collections.abc import Sequence
from dataclasses import dataclass

from orchestrator.core.experiments import Experiment
from orchestrator.core.records import Attempt, Files, Rung


@dataclass(frozen=True)
class Brief:
    """The input of one proposal."""

    ordinal: int
    """Number of the proposal in the run, from 1."""
    program: str
    """The text of program.md."""
    files: Files
    """The incumbent's files."""
    rung: Rung
    incumbent: int
    """Number of the experiment that proposed these files."""
    history: Sequence[Experiment] = ()
    """The run's finished experiments in the order of endings."""
    foreign: Sequence[str] = ()
    """Rows of results.tsv from another evaluator, as text."""
    notes: Sequence[str] = ()
    """The user's notes, oldest first."""
    attempts: Sequence[Attempt] = ()
    """Failed replies of this experiment."""
    task_max_steps: int | None = None
    incumbent_flags: Sequence[str] = ()
    veto: Sequence[str] = ()
    """Flags that reject a better score."""
