"""The process in which an agent may block: `python -P -m orchestrator.agents.job`.

The first line of its standard input is the agent's configuration, every further line a brief. It
answers with events, a line each (`messages.py`): pauses, and last the event that ends the proposal.
It ends when its input ends, and with the daemon.
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

from orchestrator.agents.messages import JobEvent, JobFailed, event_line, read_brief
from orchestrator.agents.openai_api import OpenAIAgent
from orchestrator.config.schema import AgentConfig
from orchestrator.core.errors import AgentBlockedError, AgentFinishedError
from orchestrator.proposals.agent_events import AgentBlocked, AgentFinished, AgentWaits
from orchestrator.proposals.brief import Brief
from sandbox import die_with_parent

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
    """Answer briefs until the input ends."""
    die_with_parent()
    with os.fdopen(os.dup(sys.stdout.fileno()), "wb") as output:
        os.dup2(sys.stderr.fileno(), sys.stdout.fileno())  # output of a library is no message
        configuration = sys.stdin.buffer.readline()
        if not configuration:
            return
        agent = OpenAIAgent(AgentConfig.model_validate_json(configuration))
        agent.warm_up()
        context = JobContext(output)
        for line in sys.stdin.buffer:
            context.tell(_answer(agent, read_brief(line), context))


def _answer(agent: OpenAIAgent, brief: Brief, context: JobContext) -> JobEvent:
    try:
        return agent.propose(brief, context)
    except AgentFinishedError as error:
        return AgentFinished(str(error))
    except AgentBlockedError as error:
        return AgentBlocked(str(error))
    except Exception:  # noqa: BLE001 - a bug, which the daemon reports
        return JobFailed(traceback.format_exc())


if __name__ == "__main__":
    with contextlib.suppress(BrokenPipeError):  # the daemon is gone
        main()
