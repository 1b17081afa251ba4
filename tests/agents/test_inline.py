"""Agents that answer at once."""

from collections.abc import Callable

import pytest

from orchestrator.agents.inline import InlineAgent
from orchestrator.core.errors import AgentBlockedError, AgentFinishedError
from orchestrator.core.records import Files, Reply, Rung
from orchestrator.proposals.agent_events import (
    AgentBlocked,
    AgentEvent,
    AgentFinished,
    NothingToAdd,
    Replied,
)
from orchestrator.proposals.brief import Brief

BRIEF = Brief(ordinal=1, program="", files=Files("", ""), rung=Rung(12, 8), lead=1)


class Computed:
    """A proposer that does as a test wants."""

    name = "computed"

    def __init__(self, propose: Callable[[], Reply | None]) -> None:
        self._propose = propose

    def propose(self, brief: Brief) -> Reply | None:
        assert brief is BRIEF
        return self._propose()


def failing(error: Exception) -> Callable[[], Reply | None]:
    def propose() -> Reply | None:
        raise error

    return propose


@pytest.mark.parametrize(
    ("propose", "event"),
    [
        (lambda: Reply("x"), Replied(Reply("x"), is_free=True)),
        (lambda: None, NothingToAdd()),
        (failing(AgentFinishedError("script ended")), AgentFinished("script ended")),
        (failing(AgentBlockedError("no folder")), AgentBlocked("no folder")),
    ],
    ids=["reply", "none", "finished", "blocked"],
)
def test_an_answer_is_ready_at_once(propose: Callable[[], Reply | None], event: AgentEvent) -> None:
    """What a proposer returns or raises is one event of the next poll, and of no other."""
    agent = InlineAgent(Computed(propose))
    assert (agent.name, agent.timeout_s()) == ("computed", None)
    agent.ask("7", BRIEF)
    assert agent.timeout_s() == 0.0
    assert agent.poll() == [("7", event)]
    assert agent.poll() == []
    assert (agent.timeout_s(), list(agent.descriptors())) == (None, [])


def test_other_errors_reach_whoever_asks() -> None:
    """A disk that can't be read is no event: `ask` raises it, and nothing is in flight."""
    agent = InlineAgent(Computed(failing(OSError("I/O error"))))
    with pytest.raises(OSError, match="I/O error"):
        agent.ask("7", BRIEF)
    assert agent.poll() == []


def test_a_cancelled_answer_is_not_told() -> None:
    """After `cancel` only the other answers are told; after `close` none."""
    agent = InlineAgent(Computed(lambda: Reply("x")))
    for key in ("1", "2", "1"):
        agent.ask(key, BRIEF)
    agent.cancel("1")
    agent.cancel("unknown")
    assert agent.poll() == [("2", Replied(Reply("x"), is_free=True))]
    agent.ask("3", BRIEF)
    agent.close()
    assert agent.poll() == []
