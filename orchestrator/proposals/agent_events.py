"""What an agent that was asked for a proposal may tell."""

from dataclasses import dataclass

from orchestrator.core.records import Reply
from orchestrator.proposals.prompt import Message


@dataclass(frozen=True)
class Replied:
    """The agent has answered."""

    reply: Reply
    sent: tuple[Message, ...] = ()
    """The chat that it was sent, after whatever was left out of it; empty where none was."""


@dataclass(frozen=True)
class NothingToAdd:
    """The agent has no other answer to its failed attempts."""


@dataclass(frozen=True)
class AgentFinished:
    """The agent has nothing more to propose, ever; the text is the run's stop reason."""

    reason: str


@dataclass(frozen=True)
class AgentBlocked:
    """The agent can't work until a person acts: the run pauses with this reason."""

    reason: str


@dataclass(frozen=True)
class AgentWaits:
    """The agent waits for what passes by itself, and goes on."""

    reason: str
    seconds: float


AgentEvent = Replied | NothingToAdd | AgentFinished | AgentBlocked | AgentWaits
