"""What the engine needs of the outside world: one small Protocol an adapter, nothing that blocks.

Agents and evaluators are *jobs*: they are started, and asked now and then what has happened. The
engine waits for all of them at once, by their file descriptors.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

from orchestrator.config.schema import Config
from orchestrator.core.evaluations import EvaluatorEvent, Measurement
from orchestrator.core.experiments import StopReason
from orchestrator.core.records import Files, Rung
from orchestrator.core.spending import FREE, WorstCase
from orchestrator.proposals.agent_events import AgentEvent, ReviewEvent
from orchestrator.proposals.brief import Brief
from orchestrator.proposals.review_prompt import ReviewBrief


class JobSource(Protocol):
    """What agents and evaluators have in common. No method waits for anything."""

    def descriptors(self) -> Iterable[int]:
        """Return the file descriptors that become readable when `poll` may have news."""

    def timeout_s(self) -> float | None:
        """Return in how many seconds to poll even if no descriptor is readable; None for never."""

    def cancel(self, key: str) -> None:
        """End a job and all that it started; an unknown key is none to worry about."""

    def close(self) -> None:
        """End every process."""


class Agent(JobSource, Protocol):
    """Who proposes experiments."""

    @property
    def name(self) -> str:
        """What is shown and recorded, such as `openai:gpt-5` or `optuna`."""

    def worst_case(self, brief: Brief) -> WorstCase:
        """Return the most that it may cost to `ask` this; nothing is asked yet."""

    def ask(self, key: str, brief: Brief) -> None:
        """Begin to answer a brief. A brief with attempts asks for another answer to these.

        Raises:
            OSError, MemoryError, ShortageError: no process can be had for now.
        """

    def poll(self) -> Sequence[tuple[str, AgentEvent]]:
        """Return what has happened since the last call, with the keys of the jobs.

        All but `AgentWaits` and `AgentAsked` end their job.
        """


class Reviewer(JobSource, Protocol):
    """Who gives a second opinion on what would take the lead."""

    @property
    def name(self) -> str | None:
        """What is shown and recorded, such as `openai:gpt-5`; None if nobody reviews."""

    def worst_case(self, brief: ReviewBrief) -> WorstCase:
        """Return the most that it may cost to `ask` this; nothing is asked yet."""

    def ask(self, key: str, brief: ReviewBrief) -> None:
        """Begin a review, which ends within a time limit whatever happens."""

    def poll(self) -> Sequence[tuple[str, ReviewEvent]]:
        """Return what has happened since the last call, with the keys of the jobs.

        `Reviewed` ends its job.
        """


class NobodyReviews:
    """The port `Reviewer` where there is none."""

    name = None

    def worst_case(self, brief: ReviewBrief) -> WorstCase:  # noqa: ARG002 - the port's
        """Return that nothing is asked of nobody."""
        return FREE

    def ask(self, key: str, brief: ReviewBrief) -> None:  # noqa: ARG002 - the port's
        """Nobody is there to be asked."""
        raise AssertionError("nobody reviews")

    def poll(self) -> Sequence[tuple[str, ReviewEvent]]:
        """Return nothing."""
        return ()

    def descriptors(self) -> Iterable[int]:
        """Return none."""
        return ()

    def timeout_s(self) -> float | None:
        """Return None: there is never any news."""
        return None

    def cancel(self, key: str) -> None:
        """There is nothing to end."""

    def close(self) -> None:
        """There is nothing to end."""


class Evaluator(JobSource, Protocol):
    """Trains and scores candidates, as many at once as there are slots."""

    def warm_up(self) -> None:
        """Start an evaluator now, so that the first evaluation does not pay for it."""

    def free_slots(self) -> int:
        """Return how many evaluations may be begun."""

    def begin(
        self, key: str, files: Files, what: Measurement, measured: Mapping[int, str] = {}
    ) -> None:
        """Begin an evaluation. After each `SeedDone` and `CheckpointReached` it waits for `go_on`.

        Args:
            key: names it from now on.
            files: the candidate.
            what: its budget and the seeds.
            measured: what `SeedDone.resume` was for seeds that an earlier call has measured; they
                are not told again, and the report is of them too.

        Raises:
            EvaluatorError: the evaluator itself is at fault (its file has changed, say).
            OSError, MemoryError, ShortageError: no process can be had for now.
        """

    def go_on(self, key: str, *, wanted: bool) -> None:
        """Answer a `SeedDone` or `CheckpointReached`: is anything more wanted?

        Where it is not, `EvaluationEnded` follows with the report on the seeds told so far.
        """

    def poll(self) -> Sequence[tuple[str, EvaluatorEvent]]:
        """Return what has happened since the last call, with the keys of the evaluations.

        `EvaluationEnded` and `EvaluatorFailed` end their evaluation. Seeds are told in the order of
        `what.order`, each once.
        """


class Monitor(Protocol):
    """The daemon's side of the engine: the heartbeat, the log, the clock, the wish to end."""

    def show(self, facts: Mapping[str, object]) -> None:
        """Show what the daemon is doing (`status`); it is alive."""

    def beat(self) -> None:
        """Show that the daemon is alive."""

    def log(self, event: str, level: str = "info", **facts: object) -> None:
        """Write one line to the log."""

    def now(self) -> str:
        """Return the time as ISO 8601 in UTC."""

    def end_asked(self) -> StopReason | None:
        """Return why everything must end now, None if it need not."""

    def reload_asked(self) -> bool:
        """Return whether the configuration was asked to be reread since the last call (SIGHUP)."""

    def wait(self, descriptors: Iterable[int], timeout_s: float) -> None:
        """Wait until a descriptor is readable or the time is up, alive."""


@dataclass(frozen=True)
class Reloaded:
    """A configuration that was reread, with what may not change in a run as it was."""

    config: Config
    lanes: int
    """Experiments in flight."""


class Reload(Protocol):
    """Rereads the configuration, and gives the agent its new settings."""

    def __call__(self, rung: Rung | None) -> Reloaded | None:
        """Return the configuration; None if it can't be used, which is logged.

        Args:
            rung: the run's budget; None before its first baseline.
        """


def no_reload(rung: Rung | None) -> None:
    """Reread nothing: the configuration of this run is in no file."""
