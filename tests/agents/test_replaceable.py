"""An agent replaced while proposals are in hand."""

from orchestrator.agents.inline import InlineAgent
from orchestrator.agents.replaceable import ReplaceableAgent
from orchestrator.core.records import Files, Reply, Rung
from orchestrator.proposals.agent_events import AgentEvent, Replied
from orchestrator.proposals.brief import Brief

BRIEF = Brief(1, "", Files("", ""), Rung(12, 8), 1)


class Says:
    """Proposes its own name."""

    def __init__(self, name: str) -> None:
        self.name = name

    def propose(self, brief: Brief) -> Reply:
        """Return the name."""
        return Reply(self.name)


def inline(name: str) -> InlineAgent:
    return InlineAgent(Says(name))


def texts(events: list[tuple[str, AgentEvent]]) -> list[tuple[str, str]]:
    return [(key, event.reply.text) for key, event in events if isinstance(event, Replied)]


def test_what_is_open_is_asked_of_the_new_agent() -> None:
    """The former one's answer is no longer taken; what was answered is not asked again."""
    agent = ReplaceableAgent(inline("old"))
    agent.ask("1", BRIEF)
    assert texts(list(agent.poll())) == [("1", "old")]
    agent.ask("2", BRIEF)
    agent.replace(inline("new"))
    assert (agent.name, agent.timeout_s()) == ("new", 0.0)
    assert texts(list(agent.poll())) == [("2", "new")]
    assert agent.timeout_s() is None


def test_what_was_cancelled_is_not_asked_again() -> None:
    """Before the new agent has it, and after."""
    agent = ReplaceableAgent(inline("old"))
    agent.ask("1", BRIEF)
    agent.ask("2", BRIEF)
    agent.replace(inline("new"))
    agent.cancel("1")
    assert texts(list(agent.poll())) == [("2", "new")]
    agent.cancel("2")
    agent.close()
    assert list(agent.poll()) == []
