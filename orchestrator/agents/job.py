"""The process in which an agent may block: `python -P -m orchestrator.agents.job`.

The first line of its standard input is what the agent works with, every further line a question:
for a proposal or for a review. It answers with events, a line each (`messages.py`): pauses, and
last the event that ends the question. It ends when its input ends, and with the daemon.
"""

import _thread
import contextlib
import os
import sys
import time
import traceback
from collections.abc import Callable
from concurrent.futures import Future
from typing import BinaryIO, TypeVar

from orchestrator.agents.command_line import CommandLineAgent
from orchestrator.agents.messages import (
    JobEvent,
    JobFailed,
    Question,
    event_line,
    read_question,
    read_settings,
)
from orchestrator.agents.openai_api import OpenAIAgent
from orchestrator.agents.workplace import Workplace
from orchestrator.config.endpoints import PROGRAMS, AgentConfig
from orchestrator.core.errors import AgentBlockedError, AgentFinishedError, UserError
from orchestrator.proposals.agent_events import AgentBlocked, AgentFinished, AgentWaits
from sandbox import adopt_orphans, die_with_parent, end_children, settle

T = TypeVar("T")
Agent = OpenAIAgent | CommandLineAgent


class JobContext:
    """Pauses and calls of a process that may block; pauses are reported to the daemon."""

    def __init__(self, output: BinaryIO) -> None:
        self._output = output

    def tell(self, event: JobEvent) -> None:
        """Send an event to the daemon. Raises `BrokenPipeError` if it is gone."""
        self._output.write(event_line(event))
        self._output.flush()

    def wait(self, reason: str, seconds: float, *, may_be_billed: bool = False) -> None:
        """Report a pause, and make it."""
        self.tell(AgentWaits(reason, seconds, may_be_billed))
        time.sleep(seconds)

    def call(self, function: Callable[[], T], timeout_s: float) -> T:
        """Call a function in a thread, which is abandoned when its time is up.

        Raises:
            TimeoutError: it took longer.
        """
        done: Future[T] = Future()

        def work() -> None:
            try:
                done.set_result(function())
            except BaseException as error:  # noqa: BLE001 - raised again for the caller
                done.set_exception(error)

        # Not by `threading.Thread`: `start` waits for the thread's first step, without end if there
        # is no memory for it.
        _thread.start_new_thread(work, ())
        return done.result(timeout_s)


def main() -> None:
    """Answer questions until the input ends."""
    settle()
    die_with_parent()
    with os.fdopen(os.dup(sys.stdout.fileno()), "wb") as output:
        os.dup2(sys.stderr.fileno(), sys.stdout.fileno())  # output of a library is no message
        first = sys.stdin.buffer.readline()
        if not first:
            return
        config, workplace = read_settings(first)
        context = JobContext(output)
        agent: Agent | None = None
        for line in sys.stdin.buffer:
            try:
                if agent is None:
                    agent = _agent(config, workplace)
                    agent.warm_up()
            except UserError as error:  # what the start found in order is so no more
                context.tell(AgentBlocked(str(error)))
            else:
                context.tell(_answer(agent, read_question(line), context))


def _agent(config: AgentConfig, workplace: Workplace | None) -> Agent:
    if config.backend in PROGRAMS:
        assert workplace is not None
        adopt_orphans()  # of a program whose keeper died
        return CommandLineAgent(config, workplace)
    return OpenAIAgent(config)


def _answer(agent: Agent, question: Question, context: JobContext) -> JobEvent:
    try:
        return agent.propose(question, context)
    except AgentFinishedError as error:
        return AgentFinished(str(error))
    except AgentBlockedError as error:
        return AgentBlocked(str(error))
    except Exception:  # noqa: BLE001 - a bug, which the daemon reports
        return JobFailed(traceback.format_exc())
    finally:
        if isinstance(agent, CommandLineAgent):
            end_children()


if __name__ == "__main__":
    with contextlib.suppress(BrokenPipeError):  # the daemon is gone
        main()
