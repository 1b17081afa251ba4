"""What an event of an agent, a reviewer or an evaluator means for its lane."""

from dataclasses import dataclass
from typing import Any

from orchestrator.core.errors import AgentBlockedError, EvaluatorError
from orchestrator.core.evaluations import EvaluatorEvent
from orchestrator.core.experiments import StopReason
from orchestrator.proposals.agent_events import AgentEvent, ReviewEvent

JobEvent = AgentEvent | ReviewEvent | EvaluatorEvent


@dataclass(frozen=True)
class News:
    """What an event means for its lane."""

    result: Any = None
    has_result: bool = False
    """The lane's command has its result, which may be None."""
    fault: AgentBlockedError | EvaluatorError | None = None
    """A person must act before the lane can go on."""
    finished: StopReason | None = None
    """The agent has nothing more to propose."""


NO_NEWS = News()
