"""The process in which an agent may block: `python -P -m orchestrator.agents.job`.

The first line of its standard input is the agent's configuration, every further line a question:
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

from orchestrator.agents.messages import (
    JobEvent,
    JobFailed,
    Question,
    event_line,
    read_question,
)
from orchestrator.agents.openai_api import OpenAIAgent
from orchestrator.config.endpoints import AgentConfig
from orchestrator.core.errors import AgentBlockedError, AgentFinishedError, UserError
from orchestrator.proposals.agent_events import AgentBlocked, AgentFinished, AgentWaits
from sandbox import die_with_parent, settle

T = TypeVar("T")


class JobContext:
    """Pauses and calls of a process that may block; pauses are reported to the daemon."""

    def __init__(self, output: BinaryIO) -> None:
        self._output = output

    def tell(self, event: JobEvent) -> None:
        """Send an event to the daemon. Raises `BrokenPipeError` if it is gone."""
        self._output.write(event_line(event))
        self._output.flush()

    def wait(self, reason: str, seconds: float) -> None:
        """Report a pause, and make it."""
        self.tell(AgentWaits(reason, seconds))
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
        configuration = sys.stdin.buffer.readline()
        if not configuration:
            return
        config = AgentConfig.model_validate_json(configuration)
        context = JobContext(output)
        agent: OpenAIAgent | None = None
        for line in sys.stdin.buffer:
            try:
                if agent is None:
                    agent = OpenAIAgent(config)
                    agent.warm_up()
            except UserError as error:  # what the start found in order is so no more
                context.tell(AgentBlocked(str(error)))
            else:
                context.tell(_answer(agent, read_question(line), context))


def _answer(agent: OpenAIAgent, question: Question, context: JobContext) -> JobEvent:
    try:
        return agent.propose(question, context)
    except AgentFinishedError as error:
        return AgentFinished(str(error))
    except AgentBlockedError as error:
        return AgentBlocked(str(error))
    except Exception:  # noqa: BLE001 - a bug, which the daemon reports
        return JobFailed(traceback.format_exc())


if __name__ == "__main__":
    with contextlib.suppress(BrokenPipeError):  # the daemon is gone
        main()
