"""What agents of every kind have in common: the engine's port `Agent`, as it is seen from here."""

from collections.abc import Iterable, Sequence
from typing import Protocol

from orchestrator.core.spending import WorstCase
from orchestrator.proposals.agent_events import AgentEvent
from orchestrator.proposals.brief import Brief


class AnyAgent(Protocol):
    """Who proposes experiments; no method waits for anything."""

    @property
    def name(self) -> str:
        """What is shown and recorded."""

    def worst_case(self, brief: Brief) -> WorstCase:
        """Return the most that it may cost to `ask` this."""

    def ask(self, key: str, brief: Brief) -> None:
        """Begin to answer a brief.

        Raises:
            OSError, MemoryError, ShortageError: no process can be had for now.
        """

    def poll(self) -> Sequence[tuple[str, AgentEvent]]:
        """Return what has happened since the last call, with the keys of the questions."""

    def descriptors(self) -> Iterable[int]:
        """Return the descriptors that become readable when `poll` may have news."""

    def timeout_s(self) -> float | None:
        """Return in how many seconds to poll even so; None for never."""

    def cancel(self, key: str) -> None:
        """Forget a question; an unknown key is none to worry about."""

    def close(self) -> None:
        """End every process."""
