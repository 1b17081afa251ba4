"""Agents whose proposals are computed at once, in the daemon itself."""

from collections.abc import Iterable, Sequence
from typing import Protocol

from orchestrator.core.errors import AgentBlockedError, AgentFinishedError
from orchestrator.core.records import Reply
from orchestrator.core.spending import FREE, WorstCase
from orchestrator.proposals.agent_events import (
    AgentBlocked,
    AgentEvent,
    AgentFinished,
    NothingToAdd,
    Replied,
)
from orchestrator.proposals.brief import Brief


class Proposer(Protocol):
    """Computes proposals without a network, at once."""

    @property
    def name(self) -> str:
        """Name that is shown and recorded."""

    def propose(self, brief: Brief) -> Reply | None:
        """Return a proposal, or None if there is no further reply to the failed attempts.

        Raises:
            AgentFinishedError: there are no more proposals.
            AgentBlockedError: the user must act first.
        """


class InlineAgent:
    """The port `Agent` over a proposer: the answer is ready when `ask` returns."""

    def __init__(self, proposer: Proposer) -> None:
        self.name = proposer.name
        self._proposer = proposer
        self._ready: list[tuple[str, AgentEvent]] = []

    def ask(self, key: str, brief: Brief) -> None:
        """Compute the answer; `poll` returns it."""
        self._ready.append((key, self._answer(brief)))

    def worst_case(self, brief: Brief) -> WorstCase:  # noqa: ARG002 - the port's
        """Return that it costs nothing: it is no model."""
        return FREE

    def poll(self) -> Sequence[tuple[str, AgentEvent]]:
        """Return the answers that were not returned yet."""
        ready, self._ready = self._ready, []
        return ready

    def descriptors(self) -> Iterable[int]:
        """Return none: there is no process."""
        return ()

    def timeout_s(self) -> float | None:
        """Return 0 while an answer is ready, else None."""
        return 0.0 if self._ready else None

    def cancel(self, key: str) -> None:
        """Drop an answer that is no longer wanted."""
        self._ready = [(other, event) for other, event in self._ready if other != key]

    def close(self) -> None:
        """Drop all answers; there is no process to end."""
        self._ready = []

    def _answer(self, brief: Brief) -> AgentEvent:
        try:
            reply = self._proposer.propose(brief)
        except AgentFinishedError as error:
            return AgentFinished(str(error))
        except AgentBlockedError as error:
            return AgentBlocked(str(error))
        return NothingToAdd() if reply is None else Replied(reply, is_free=True)
