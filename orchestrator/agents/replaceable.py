"""An agent that can be replaced while proposals are in hand: a configuration was reread."""

from collections.abc import Iterable, Sequence

from orchestrator.agents.anyone import AnyAgent
from orchestrator.core.spending import WorstCase
from orchestrator.proposals.agent_events import AgentEvent, UnderWay
from orchestrator.proposals.brief import Brief


class ReplaceableAgent:
    """The port `Agent` over the agent of now; a new one is asked again what is not answered yet."""

    def __init__(self, agent: AnyAgent) -> None:
        self._agent = agent
        self._open: dict[str, Brief] = {}
        self._unasked: list[str] = []
        """Keys that the agent of now has not been given yet."""

    @property
    def name(self) -> str:
        """Name of the agent of now."""
        return self._agent.name

    def replace(self, agent: AnyAgent) -> None:
        """Close the agent, and have another one in its place; `poll` asks it what is open."""
        self._agent.close()
        self._agent = agent
        self._unasked = list(self._open)

    def ask(self, key: str, brief: Brief) -> None:
        """Begin to answer a brief; see the port."""
        self._agent.ask(key, brief)
        self._open[key] = brief

    def worst_case(self, brief: Brief) -> WorstCase:
        """Return the most that the agent of now may cost; see the port."""
        return self._agent.worst_case(brief)

    def poll(self) -> Sequence[tuple[str, AgentEvent]]:
        """Return what has happened since the last call; see the port."""
        while self._unasked:
            self._agent.ask(self._unasked[-1], self._open[self._unasked[-1]])
            self._unasked.pop()
        events = self._agent.poll()
        for key, event in events:
            if not isinstance(event, UnderWay):
                self._open.pop(key, None)
        return events

    def descriptors(self) -> Iterable[int]:
        """Return the descriptors that become readable when `poll` may have news."""
        return self._agent.descriptors()

    def timeout_s(self) -> float | None:
        """Return in how many seconds to poll; None for never."""
        return 0.0 if self._unasked else self._agent.timeout_s()

    def cancel(self, key: str) -> None:
        """Forget a question."""
        self._open.pop(key, None)
        if key in self._unasked:
            self._unasked.remove(key)
        else:
            self._agent.cancel(key)

    def close(self) -> None:
        """End every process."""
        self._open, self._unasked = {}, []
        self._agent.close()
