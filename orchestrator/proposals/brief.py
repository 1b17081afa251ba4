"""The brief: all that an agent reads for one proposal. Pure records."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from orchestrator.core.experiments import Experiment, Lessons
from orchestrator.core.records import Attempt, Files, Rung
from orchestrator.proposals.measurements import Measurements

NOTE_CHARS = 2000
"""Most characters of a note that a prompt shows."""
PROGRAM_BYTES = 2**20
"""Largest program.md."""


@dataclass(frozen=True)
class Comparison:
    """An experiment beside what it was judged against and what it was changed from."""

    solved_before: float | None = None
    """The solve rate, on the same seeds, of what it was judged against."""
    solved_after: float | None = None
    """Mean solve rate over the experiment's own seeds."""
    seeds: int = 0
    """How many seeds both are of; 0 where they have none in common."""
    diff: str = ""
    """The change in short; empty where it is too old to be shown."""


@dataclass(frozen=True)
class Aside:
    """What a human did or said during the run, in its place among the endings."""

    after_ended: int
    """Place of the ending that it followed; 0 for before the first."""
    text: str
    is_accept: bool = False
    """The human published an experiment."""


@dataclass(frozen=True)
class Standing:
    """How a lead that is not proven stands against the published candidate."""

    published: int
    """Number of the published candidate."""
    gain: float | None = None
    """Shrunk towards 0; None where nothing is comparable yet."""
    standard_error: float | None = None
    probability: float | None = None
    """Probability that the lead is better."""
    seeds: int = 0
    """Seeds of the lead behind the gain."""
    is_fresh: bool = False
    """Whether they are fresh. If not, they are those that chose it."""
    quantity: str = "return"


@dataclass(frozen=True)
class Exhibit:
    """An experiment whose code is shown."""

    experiment: Experiment
    files: Files | None
    """None if its reply led to none."""
    why: str
    measurements: Measurements | None = None


@dataclass(frozen=True)
class Brief:
    """The input of one proposal."""

    ordinal: int
    """Number of the proposal in the run, from 1."""
    program: str
    """The text of program.md."""
    files: Files
    """The files that the agent changes: the lead's, or the latest attempt's while nothing is
    a task yet."""
    rung: Rung
    lead: int
    """Number of the experiment that proposed the lead's files."""
    history: Sequence[Experiment] = ()
    """The run's finished experiments in the order of endings."""
    foreign: Sequence[str] = ()
    """Rows of results.tsv from another evaluator, as text."""
    notes: Sequence[str] = ()
    """The user's notes, oldest first."""
    accepted: Sequence[int] = ()
    """Experiments that the human published, whatever their verdicts."""
    attempts: Sequence[Attempt] = ()
    """Earlier replies of this experiment: those that failed, and requests to see code."""
    proposer: str = ""
    """The agent whose replies those are; empty where there are none."""
    task_max_steps: int | None = None
    world: Mapping[str, str] | None = None
    """The modules of the user's own world by file name; None in the open mode."""
    lead_flags: Sequence[str] = ()
    seed_count: int | None = None
    """The run's number of default seeds."""
    veto: Sequence[str] = ()
    """Flags that reject a better score."""
    num_envs: int | None = None
    """Sub-environments trained side by side."""
    files_of: int | None = None
    """The experiment whose files are shown, where it is not the lead."""
    known: Measurements | None = None
    """What is known of the lead."""
    standing: Standing | None = None
    """How the lead stands; None where it is the published candidate."""
    last: Measurements | None = None
    """What was measured of the last experiment that was evaluated."""
    comparisons: Mapping[int, Comparison] = field(default_factory=dict)
    """By number of an experiment of the history."""
    asides: Sequence[Aside] = ()
    """Accepts, moves of the lead and notes, oldest first."""
    exhibits: Sequence[Exhibit] = ()
    """Experiments whose code is shown, the most important first."""
    asked: Sequence[Exhibit] = ()
    """Those that earlier replies of this experiment asked to see."""
    lessons: Lessons | None = None
    in_flight: Sequence[str] = ()
    """What other lanes do now, a line each."""
    proposed_by: Sequence[str] = ()
    """The agents whose proposals the other lanes have in hand."""
    lessons_due: bool = False
    """Whether the reply shall write the lessons down anew."""
