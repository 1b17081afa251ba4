"""What an experiment may ask for. A command is data; awaiting it hands it to the engine.

`await command` yields the command to whoever steps the coroutine and returns what is sent back, so
an experiment does no I/O and a test can step it by hand (trio's `_core/_traps.py` has the idea).
"""

from collections.abc import Coroutine, Generator
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

from orchestrator.core.evaluations import CheckpointReached, Evaluation, Measurement, SeedResult
from orchestrator.core.records import Attempt, Files, Reply, Rung
from orchestrator.core.reviews import NoReview, Review, ReviewRequest
from orchestrator.judging.candidate_evidence import SearchEvidence

T = TypeVar("T")


class Command(Generic[T]):
    """One effect, and the type of its result."""

    def __await__(self) -> Generator["Command[Any]", T, T]:
        """Yield the command to the engine; return the result that it sends."""
        return (yield self)


@dataclass(frozen=True)
class Answer:
    """What came of asking the agent."""

    n: int
    """The experiment's number; the first reply of an experiment gives it one."""
    reply: Reply
    failure: Evaluation | None = None
    """How this reply failed, where that was recorded before a restart."""


@dataclass(frozen=True)
class Propose(Command[Answer | None]):
    """Ask the agent; None if it has no other answer to its failed attempts."""

    attempts: tuple[Attempt, ...] = ()
    """The replies of this experiment that failed."""


@dataclass(frozen=True)
class ReserveCode(Command[int | None]):
    """Claim a candidate's code for this experiment, which is judged against the lead of now.

    The result is None, or the number of the experiment that tried it against the same lead,
    found it at fault, or is trying it.
    """

    rung: Rung
    fingerprint: str
    files: Files
    description: str
    rationale: str


@dataclass(frozen=True)
class ReadLead(Command[SearchEvidence]):
    """Read what is known of the lead now; wait while that is too little to judge by.

    It is never recorded, so it is never stale.
    """

    rung: Rung


@dataclass(frozen=True)
class IsLead(Command[bool]):
    """Is the lead still what this experiment scored?"""

    scored_by: int
    is_task: bool = True
    """Whether something is compared with it; a person's `accept` can make it so."""


@dataclass(frozen=True)
class ReadCurves(Command[tuple[SeedResult, ...]]):
    """Read how earlier candidates learnt on one seed at a rung, curves included."""

    rung: Rung
    seed: int
    env: str | None
    """Only of candidates with this env.py, as curves under another reward predict nothing; None for
    all."""


@dataclass(frozen=True)
class Measure(Command[SeedResult | CheckpointReached | Evaluation]):
    """Train and evaluate the candidate on its next seed.

    The first one waits for an evaluator and tells it all seeds that may follow; each further one
    lets it go on. The result is the seed's, or a checkpoint of its training, or how the candidate
    failed. A seed that was measured before a restart is not measured again.
    """

    files: Files
    plan: Measurement
    seed: int


@dataclass(frozen=True)
class EndEvaluation(Command[Evaluation]):
    """Ask for no more seeds; return the evaluator's report on those that were used."""

    files: Files
    plan: Measurement
    used: int
    """How many seeds of `plan.order` the verdict rests on."""

    @property
    def seeds(self) -> tuple[int, ...]:
        """Those seeds."""
        return self.plan.order[: self.used]


@dataclass(frozen=True)
class AskReviewer(Command[Review | NoReview]):
    """Have the change reviewed before it moves the branch. Asked once; a restart looks it up."""

    request: ReviewRequest


@dataclass(frozen=True)
class SaveFailure(Command[None]):
    """Record how the latest reply failed, before anything follows from it."""

    attempt: int
    """Its number within the experiment, from 1."""
    failure: Evaluation


@dataclass(frozen=True)
class SaveSeed(Command[None]):
    """Record the result of one reference seed of the lead or the published candidate."""

    rung: Rung
    result: SeedResult


Script = Coroutine[Command[Any], Any, T]
"""An experiment as it is stepped: it yields commands and returns a `T`."""
