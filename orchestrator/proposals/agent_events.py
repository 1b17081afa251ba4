"""Events of an agent that was asked for a proposal, and of a reviewer."""

from dataclasses import dataclass

from orchestrator.core.records import Reply
from orchestrator.core.reviews import NoReview, Review
from orchestrator.proposals.prompt import Message


@dataclass(frozen=True)
class Replied:
    """The agent has answered."""

    reply: Reply
    sent: tuple[Message, ...] = ()
    """The chat as it was sent, after cuts for its length; empty if the agent reads none."""
    agent: str = ""
    """Which of several agents it was; empty for the only one."""
    is_free: bool = False
    """Whether it cost nothing: it is no model's."""


@dataclass(frozen=True)
class AgentAsked:
    """Of several agents this one has the question now."""

    agent: str
    why: str = ""
    """Why it is asked, though it is not its turn."""
    may_be_billed: bool = False
    """Whether a call of the one that had it may have been billed: it was broken off."""


@dataclass(frozen=True)
class NothingToAdd:
    """The agent has no further reply to its failed attempts."""


@dataclass(frozen=True)
class AgentFinished:
    """The agent has no more proposals; the text is the run's stop reason."""

    reason: str


@dataclass(frozen=True)
class AgentBlocked:
    """The agent can't work until the user acts: the run pauses with this reason."""

    reason: str
    may_be_billed: bool = False
    """Whether its last call may have been billed: it was broken off."""


@dataclass(frozen=True)
class AgentWaits:
    """The agent waits until a transient failure may be over, then retries; or for a person."""

    reason: str
    seconds: float
    """Infinite where nobody knows how long."""
    may_be_billed: bool = False
    """Whether the try that failed may have been billed: it was broken off, not refused."""


@dataclass(frozen=True)
class Reviewed:
    """The reviewer has answered, or will not."""

    answer: Review | NoReview
    sent: tuple[Message, ...] = ()
    """The chat as it was sent; empty if nothing was."""
    text: str = ""
    """The reply, whatever it says."""
    may_be_billed: bool = False
    """Whether there was a call without a reply that may have been billed: it was broken off."""


ReviewEvent = Reviewed | AgentWaits
UnderWay = AgentWaits | AgentAsked
"""Events that do not end a question."""
AgentEvent = Replied | NothingToAdd | AgentFinished | AgentBlocked | UnderWay
