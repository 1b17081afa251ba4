"""What an agent is told for one proposal. Pure."""

from collections.abc import Sequence
from dataclasses import dataclass

from orchestrator.core.experiments import Experiment
from orchestrator.core.records import Attempt, Files, Rung


@dataclass(frozen=True)
class Brief:
    """All that a proposal rests on."""

    ordinal: int
    """This is the run's n-th proposal that counts, from 1."""
    program: str
    """The text of program.md."""
    files: Files
    """The incumbent's files."""
    rung: Rung
    incumbent: int
    """Number of the experiment whose files these are."""
    history: Sequence[Experiment] = ()
    """The run's finished experiments, oldest first."""
    foreign: Sequence[str] = ()
    """Rows of a results.tsv that another tool left, as text."""
    notes: Sequence[str] = ()
    """What the human told the agent, oldest first."""
    attempts: Sequence[Attempt] = ()
    """Failed replies of this experiment."""
    task_max_steps: int | None = None
    incumbent_flags: Sequence[str] = ()
    veto: Sequence[str] = ()
    """Flags with which a better score is rejected."""
