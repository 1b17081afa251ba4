"""The agent is whoever answers: a person, or any tool that writes files.

The k-th proposal's prompt is written as `000k.prompt.md`, and its answer is `000k.reply.md` beside
it; further turns are `000k.repair-1.prompt.md`, `000k.show-1.prompt.md` and so on. It is waited for
as for a slow model, over restarts too: the prompt stays, and a reply that is there is taken.
"""

import math
import stat
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from orchestrator.agents.manual_folder import ManualFolder
from orchestrator.config.endpoints import AgentConfig
from orchestrator.core.errors import AgentBlockedError, UserError
from orchestrator.core.records import Reply
from orchestrator.core.spending import FREE, WorstCase
from orchestrator.core.text import one_line
from orchestrator.proposals.agent_events import AgentBlocked, AgentEvent, AgentWaits, Replied
from orchestrator.proposals.brief import Brief
from orchestrator.proposals.prompt import Message, as_markdown, build_messages
from orchestrator.proposals.show_requests import turn_name

LOOK_S = 1.0
"""Between two looks at a file; one that is alike at both is whole."""


@dataclass
class _Question:
    """A proposal in flight."""

    name: str
    """What its files are called, such as `0001` or `0001.repair-1`."""
    messages: list[Message]
    deadline: float
    look_at: float
    state: object = None
    """Of the reply's file when it was looked at last."""
    told: str = ""
    """What is waited for, as it was told last."""

    @property
    def prompt(self) -> str:
        """The prompt's file."""
        return f"{self.name}.prompt.md"

    @property
    def reply(self) -> str:
        """The reply's file."""
        return f"{self.name}.reply.md"

    @property
    def text(self) -> str:
        """The prompt, as a model would get it."""
        return as_markdown(self.messages) + "\n"


class ManualAgent:
    """The port `Agent` over a folder of prompts and replies; it has no process and no thread."""

    name = "manual"

    def __init__(
        self,
        root: Path,
        config: AgentConfig,
        tag: str,
        *,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """Write nothing yet.

        Args:
            root: the workspace.
            config: the agent's configuration.
            tag: the run's.
            clock: the time in seconds.

        Raises:
            UserError: there is no folder to use.
        """
        if config.manual_dir is None:
            raise UserError(
                "agent.manual_dir is missing: the folder of prompts NNNN.prompt.md and replies "
                "NNNN.reply.md"
            )
        shown, folder = one_line(config.manual_dir), root / config.manual_dir
        try:
            is_folder = stat.S_ISDIR(folder.stat().st_mode)
        except FileNotFoundError:
            is_folder = True  # as soon as there is something to write
        except (OSError, ValueError) as error:
            raise UserError(f"agent.manual_dir {shown} can't be used: {error}") from None
        if not is_folder:
            raise UserError(f"agent.manual_dir {shown} is not a folder")
        self._folder = ManualFolder(folder, shown, tag)
        self._context_tokens, self._limit_s = config.context_tokens, config.timeout_s
        self._clock = clock
        self._open: dict[str, _Question] = {}
        self._ready: list[tuple[str, AgentEvent]] = []

    def worst_case(self, brief: Brief) -> WorstCase:  # noqa: ARG002 - the port's
        """Return that it costs nothing: who answers is not paid by the run."""
        return FREE

    def ask(self, key: str, brief: Brief) -> None:
        """Write the prompt.

        Raises:
            OSError: it can't be written for now.
        """
        turn = turn_name(brief.attempts)
        now = self._clock()
        question = _Question(
            f"{brief.ordinal:04d}{turn and '.'}{turn}",
            build_messages(brief, context_tokens=self._context_tokens),
            deadline=math.inf if self._limit_s is None else now + self._limit_s,
            look_at=now,
        )
        try:
            self._folder.put(question.prompt, question.text)
        except AgentBlockedError as error:
            self._ready.append((key, AgentBlocked(str(error))))
            return
        self._open[key] = question

    def poll(self) -> Sequence[tuple[str, AgentEvent]]:
        """Look for replies, each at most every second, and return what has happened."""
        ready, self._ready = self._ready, []
        now = self._clock()
        for key, question in list(self._open.items()):
            if question.look_at > now:
                continue
            question.look_at = now + LOOK_S
            event = self._news(question, now)
            if event is None:
                continue
            if not isinstance(event, AgentWaits):
                del self._open[key]
            ready.append((key, event))
        return ready

    def descriptors(self) -> Iterable[int]:
        """Return none: files are looked at."""
        return ()

    def timeout_s(self) -> float | None:
        """Return the seconds until the next look, None if nothing is waited for."""
        if self._ready:
            return 0.0
        looks = [question.look_at for question in self._open.values()]
        return max(0.0, min(looks) - self._clock()) if looks else None

    def cancel(self, key: str) -> None:
        """Forget a question; its prompt stays."""
        self._open.pop(key, None)
        self._ready = [(other, event) for other, event in self._ready if other != key]

    def close(self) -> None:
        """Forget all questions; there is no process to end."""
        self._open, self._ready = {}, []

    def _news(self, question: _Question, now: float) -> AgentEvent | None:
        found = self._folder.find(question.reply)
        was, question.state = question.state, found.state
        problem = found.problem
        if found.state is not None and found.state == was:
            try:
                text = self._folder.read(question.reply)
            except OSError as error:
                problem = f"can't be read: {error.strerror}"
            else:
                if text is not None:
                    return Replied(Reply(text), sent=tuple(question.messages), is_free=True)
        shown = self._folder.shown(question.reply)
        if now >= question.deadline:
            return AgentBlocked(
                f"no reply in {shown} within {self._limit_s:g} s; the question stays open"
            )
        try:
            if not self._folder.has(question.prompt):  # somebody has tidied up
                self._folder.put(question.prompt, question.text)
        except AgentBlockedError as error:
            return AgentBlocked(str(error))
        except OSError as error:
            problem = problem or f"waits, for {question.prompt} can't be written: {error.strerror}"
        return self._waits(question, f"{shown} {problem}" if problem else f"waiting for {shown}")

    def _waits(self, question: _Question, reason: str) -> AgentWaits | None:
        if reason == question.told:
            return None
        question.told = reason
        return AgentWaits(reason, math.inf)
