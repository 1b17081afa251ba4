"""The reviewer: a model of its own, asked in child processes; no method waits for them.

It answers within `timeout_s`, whatever its endpoint does: a keep is never delayed for longer. An
error that needs the user is no reason to pause either, but one for having no review.
"""

import time
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

from orchestrator.agents.process import ProcessAgent
from orchestrator.config.endpoints import AgentConfig
from orchestrator.core.reviews import NoReview
from orchestrator.core.spending import FREE, WorstCase
from orchestrator.proposals.agent_events import (
    AgentBlocked,
    AgentEvent,
    AgentWaits,
    Replied,
    Reviewed,
    ReviewEvent,
)
from orchestrator.proposals.review_prompt import ReviewBrief
from orchestrator.proposals.review_reply import read_review

_PAUSES_S = (1.0, 5.0, 20.0)
"""Pause before each fresh child after a death."""
_SHORTAGE_PAUSE_S = 2.0


@dataclass
class _Open:
    """A review in flight."""

    brief: ReviewBrief
    deadline: float
    start_at: float = 0.0
    """When a process is to be had for it; infinite once it has one."""
    trouble: str = "it said nothing"
    """Why there is no answer yet."""


class ModelReviewer:
    """The port `Reviewer` over a model; it can be replaced while reviews are in flight."""

    def __init__(self, config: AgentConfig | None) -> None:
        """Start nothing yet.

        Args:
            config: the settings of its calls, already checked; None if nobody reviews.
        """
        self._open: dict[str, _Open] = {}
        self._dropped: list[str] = []
        self._set(config)

    def _set(self, config: AgentConfig | None) -> None:
        self._config, self._agent = config, None
        if config is not None:
            self._agent = ProcessAgent(
                config, f"openai:{config.model}", pauses_s=_PAUSES_S, keeps_children=False
            )

    @property
    def name(self) -> str | None:
        """Who reviews, such as `openai:gpt-5`; None if nobody does."""
        return self._agent.name if self._agent is not None else None

    def replace(self, config: AgentConfig | None) -> None:
        """Have another model review from now on: what is in flight too."""
        if config == self._config:
            return
        if self._agent is not None:
            self._agent.close()
        self._set(config)
        if config is None:
            self._dropped += self._open
            self._open.clear()
        for key in self._open:
            self.ask(key, self._open[key].brief)

    def ask(self, key: str, brief: ReviewBrief) -> None:
        """Begin a review; `poll` starts its process."""
        assert self._config is not None
        self._open[key] = _Open(brief, time.monotonic() + self._config.time_limit_s)

    def worst_case(self, brief: ReviewBrief) -> WorstCase:
        """Return the most that a review may cost."""
        return self._agent.worst_case(brief) if self._agent is not None else FREE

    def poll(self) -> Sequence[tuple[str, ReviewEvent]]:
        """Start what waits for a process, and return what has happened since the last call."""
        dropped, self._dropped = self._dropped, []
        off = Reviewed(NoReview("the reviewer was turned off meanwhile"), may_be_billed=True)
        events: list[tuple[str, ReviewEvent]] = [(key, off) for key in dropped]
        if self._agent is None:
            return events
        for key, opened in self._open.items():
            if opened.start_at <= time.monotonic():
                self._start(self._agent, key, opened)
        for key, event in self._agent.poll():
            events += [(key, told) for told in self._news(key, event)]
        late = [key for key, opened in self._open.items() if opened.deadline <= time.monotonic()]
        return events + [(key, self._give_up(key)) for key in late]

    def _start(self, agent: ProcessAgent, key: str, opened: _Open) -> None:
        try:
            agent.ask(key, opened.brief)
            opened.start_at = float("inf")
        except (OSError, MemoryError) as error:
            opened.trouble = f"no process for it: {error}"
            opened.start_at = time.monotonic() + _SHORTAGE_PAUSE_S

    def _news(self, key: str, event: AgentEvent) -> Iterator[ReviewEvent]:
        opened = self._open.get(key)
        if opened is None:
            return  # it was given up by an event of the same poll
        if isinstance(event, AgentWaits):
            opened.trouble = event.reason
            is_over = time.monotonic() + event.seconds >= opened.deadline
            yield self._give_up(key) if is_over else event
            return
        del self._open[key]
        if isinstance(event, Replied):
            answer = read_review(event.reply, str(self.name))
            yield Reviewed(answer, event.sent, event.reply.text)
        else:
            why, is_lost = "it has no answer", False
            if isinstance(event, AgentBlocked):
                why, is_lost = event.reason, event.may_be_billed
            yield Reviewed(NoReview(f"{self.name} can't review: {why}"), may_be_billed=is_lost)

    def _give_up(self, key: str) -> Reviewed:
        assert self._agent is not None
        assert self._config is not None
        self._agent.cancel(key)
        trouble = self._open.pop(key).trouble
        limit = f"{self._config.time_limit_s:g} s"
        why = f"no review by {self.name} within {limit}: {trouble}"
        return Reviewed(NoReview(why), may_be_billed=True)

    def descriptors(self) -> Iterable[int]:
        """Return the descriptors that become readable when `poll` may have news."""
        return self._agent.descriptors() if self._agent is not None else ()

    def timeout_s(self) -> float | None:
        """Return in how many seconds to poll; None for never."""
        if self._dropped:
            return 0.0
        now = time.monotonic()
        due = [min(opened.deadline, opened.start_at) - now for opened in self._open.values()]
        if self._agent is not None and (agents := self._agent.timeout_s()) is not None:
            due.append(agents)
        return max(0.0, min(due)) if due else None

    def cancel(self, key: str) -> None:
        """Forget a review, and end its process."""
        self._open.pop(key, None)
        self._dropped = [other for other in self._dropped if other != key]
        if self._agent is not None:
            self._agent.cancel(key)

    def close(self) -> None:
        """End every process."""
        self._open.clear()
        if self._agent is not None:
            self._agent.close()
