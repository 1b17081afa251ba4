"""An agent that may block, in child processes (`job.py`); no method waits for them.

There is one child for each question in flight. Children are kept for the next questions, so that
the model's library is imported once; cancelling a question kills its child.
"""

import os
import re
import selectors
import time
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

from orchestrator.agents.child import Child
from orchestrator.agents.messages import (
    JobFailed,
    Question,
    question_line,
    read_event,
    settings_line,
)
from orchestrator.agents.workplace import Workplace
from orchestrator.agents.worst_case import worst_case
from orchestrator.config.endpoints import AgentConfig
from orchestrator.core.spending import WorstCase
from orchestrator.core.text import one_line, without_passwords
from orchestrator.proposals.agent_events import AgentBlocked, AgentEvent, AgentWaits

PAUSES_S = (2.0, 10.0, 60.0)
"""Pause before each fresh child after a death: memory may be short for a while."""
_PLACE = re.compile(r'^  File "(?:.*/)?(.+)", line (\d+)', re.MULTILINE)
"""The file's name and the line in a traceback."""


@dataclass
class _Ask:
    """A proposal in flight."""

    line: bytes
    deaths: int = 0
    retry_at: float | None = None
    """Time when a fresh child gets it; None while a child has it."""


class ProcessAgent:
    """The port `Agent` over children."""

    def __init__(
        self,
        config: AgentConfig,
        name: str,
        *,
        pauses_s: Sequence[float] = PAUSES_S,
        keeps_children: bool = True,
        workplace: Workplace | None = None,
    ) -> None:
        """Start nothing yet.

        Args:
            config: the agent's configuration, already checked.
            name: the agent's name, which is shown and recorded.
            pauses_s: pauses after each death of a child with the same proposal; after one more
                death the agent is blocked.
            keeps_children: a child that has answered waits for the next question; False where
                questions are rare.
            workplace: where a program works; None for an endpoint.
        """
        self.name = name
        self._config = config
        self._configuration = settings_line(config, workplace)
        self._key_variable = config.api_key_env
        self._pauses_s, self._keeps_children = pauses_s, keeps_children
        self._selector = selectors.DefaultSelector()
        self._asks: dict[str, _Ask] = {}
        self._working: dict[str, Child] = {}
        self._idle: list[Child] = []
        self._killed: list[Child] = []

    def ask(self, key: str, question: Question) -> None:
        """Give a question to an idle child or a fresh one.

        Raises:
            OSError, MemoryError: no process can be had for now.
        """
        assert key not in self._asks
        ask = _Ask(question_line(question))
        self._start(key, ask)
        self._asks[key] = ask

    def worst_case(self, question: Question) -> WorstCase:
        """Return the most that a question may cost."""
        return worst_case(self._config, question)

    def poll(self) -> Sequence[tuple[str, AgentEvent]]:
        """Read and write the pipes, begin retries that are due, and return the events."""
        for ready, _ in self._selector.select(0):
            ready.data()
        events: list[tuple[str, AgentEvent]] = []
        for key, child in list(self._working.items()):
            events += [(key, event) for event in self._news(key, child)]
        for child in [idle for idle in self._idle if idle.has_ended() or idle.take_lines()]:
            self._idle.remove(child)
            self._kill(child)
        for key, ask in self._asks.items():
            if ask.retry_at is not None and ask.retry_at <= time.monotonic():
                events += [(key, event) for event in self._retry(key, ask)]
        self._killed = [child for child in self._killed if not child.is_reaped()]
        return events

    def descriptors(self) -> Iterable[int]:
        """Return the one descriptor that is readable when any pipe is ready."""
        return (self._selector.fileno(),)

    def timeout_s(self) -> float | None:
        """Return the seconds until the next retry, None without one."""
        due = [ask.retry_at for ask in self._asks.values() if ask.retry_at is not None]
        return max(0.0, min(due) - time.monotonic()) if due else None

    def cancel(self, key: str) -> None:
        """Kill the child that has a proposal, and forget the proposal."""
        self._asks.pop(key, None)
        if child := self._working.pop(key, None):
            self._kill(child)

    def close(self) -> None:
        """Kill all children."""
        for key in list(self._asks):
            self.cancel(key)
        while self._idle:
            self._kill(self._idle.pop())
        for child in self._killed:
            child.reap()
        self._killed = []
        self._selector.close()

    def _start(self, key: str, ask: _Ask) -> None:
        child = self._idle.pop() if self._idle else Child(self._selector, self._configuration)
        try:
            child.send(ask.line)
        except BaseException:
            self._kill(child)
            raise
        self._working[key] = child

    def _retry(self, key: str, ask: _Ask) -> Iterator[AgentEvent]:
        try:
            self._start(key, ask)
            ask.retry_at = None
        except (OSError, MemoryError) as error:
            # A transient system error, not the agent's fault: not counted.
            yield self._waits(ask, f"no process for the agent: {error}", PAUSES_S[-1])

    def _news(self, key: str, child: Child) -> Iterator[AgentEvent]:
        for line in child.take_lines():
            try:
                event = read_event(line)
            except ValueError:
                yield self._died(key, line.decode(errors="replace"))
                return
            if isinstance(event, JobFailed):
                yield self._died(key, event.traceback)
                return
            if not isinstance(event, AgentWaits):
                del self._asks[key]
                child = self._working.pop(key)
                if self._keeps_children:
                    self._idle.append(child)
                else:
                    self._kill(child)
                yield event
                return
            yield event
        if child.has_ended():
            yield self._died(key, child.last_words())

    def _died(self, key: str, said: str) -> AgentEvent:
        """Kill the rest of a child; its proposal goes to a fresh one, or the agent is blocked.

        Args:
            key: the proposal that it had.
            said: its output, of which the last line is reported.
        """
        self._kill(self._working.pop(key))
        last = self._last_line(said)
        ask = self._asks[key]
        ask.deaths += 1
        if ask.deaths > len(self._pauses_s):
            del self._asks[key]
            said = f"the agent's process died {ask.deaths} times: {last}"
            return AgentBlocked(said, may_be_billed=True)
        reason = f"the agent's process died, and a fresh one follows: {last}"
        pause_s = self._pauses_s[ask.deaths - 1]
        return self._waits(ask, reason, pause_s, may_be_billed=True)

    def _waits(
        self, ask: _Ask, reason: str, pause_s: float, *, may_be_billed: bool = False
    ) -> AgentWaits:
        ask.retry_at = time.monotonic() + pause_s
        return AgentWaits(reason, pause_s, may_be_billed)

    def _last_line(self, said: str) -> str:
        """Return the last line of a child's output, and the place where a traceback ends.

        The key, which a library may have printed, is removed.
        """
        last = (said.strip().splitlines() or ["it said nothing"])[-1]
        if places := _PLACE.findall(said):
            last += " ({}, line {})".format(*places[-1])
        key = os.environ.get(self._key_variable, "").strip()
        return one_line(without_passwords(last.replace(key, "[key]") if key else last), 300)

    def _kill(self, child: Child) -> None:
        child.kill()
        self._killed.append(child)
