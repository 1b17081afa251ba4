"""What the loop needs of the outside world, one small Protocol an adapter."""

from collections.abc import Callable, Iterable, Mapping
from typing import Any, Protocol, TypeVar

from orchestrator.core.records import Evaluation, Files, Measurement, Reply
from orchestrator.proposals.brief import Brief

T = TypeVar("T")
Watch = Callable[[Mapping[str, Any]], bool]
"""Is shown every event of an evaluation; says whether it should go on where it is asked."""


class Host(Protocol):
    """What an adapter that takes its time may ask of the daemon, so that nothing ever hangs."""

    def wait(self, reason: str, seconds: float) -> None:
        """Wait and show why. Raises `StopRequestedError` if the run is told to end."""

    def call(self, function: Callable[[], T], timeout_s: float) -> T:
        """Run a blocking function beside the heartbeat.

        Raises:
            TimeoutError: it took longer; it is left to end by itself.
            ShortageError: no thread can be had.
            StopRequestedError: the run was told to end now.
        """


class Agent(Protocol):
    """Who proposes experiments."""

    @property
    def name(self) -> str:
        """What is shown and recorded, such as `openai:gpt-5` or `optuna`."""

    def propose(self, brief: Brief, host: Host) -> Reply:
        """Answer one brief.

        Raises:
            AgentFinishedError: there is nothing more to propose.
            AgentBlockedError: a person must act first.
            StopRequestedError: raised through `host`.
        """

    def can_repair(self, brief: Brief) -> bool:
        """Would this agent answer the brief's failed attempts with something else?"""


class Evaluator(Protocol):
    """Trains and scores candidates."""

    def evaluate(
        self, files: Files, what: Measurement, folder: str, host: Host, watch: Watch
    ) -> Evaluation:
        """Evaluate two files.

        Args:
            files: the candidate.
            what: its budget and the seeds.
            folder: name of a scratch folder that is this evaluation's own.
            host: shows that the daemon is alive meanwhile.
            watch: called with every event; where the evaluator asks (`seed` and `checkpoint`
                events, if `what.follow`), False ends it with the seeds used so far.

        Raises:
            EvaluatorError: the evaluator itself failed.
            ShortageError: it can't be started for now; nobody is to blame.
            StopRequestedError: the run was told to end now.
        """

    def close(self) -> None:
        """End every process it holds."""


class Store(Protocol):
    """Where candidates are kept for people: git."""

    def commit(self, parent: str, files: Files, message: str, when: str) -> str:
        """Write a commit (idempotent: the same arguments give the same hash)."""

    def move(self, ref: str, new: str, old: str | None) -> None:
        """Move a ref from `old` (None: it must not exist) to `new`. Raises `ConflictError`."""

    def checked_out_in(self, ref: str) -> str | None:
        """Return the folder of the work tree that has a ref checked out, or None."""

    def read(self, ref: str) -> str | None:
        """Return the commit a ref points to, or None."""

    def refs(self, prefix: str) -> Mapping[str, str]:
        """Return the refs below a prefix and what each points to."""

    def missing(self, commits: Iterable[str]) -> set[str]:
        """Return those of these commits that are not in the store."""
