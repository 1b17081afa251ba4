"""One tiny call to the endpoint before a run: is it there, is the key accepted, the model known?

Where a model can't answer and there are others (`agent.fallback_models`), these are tried in turn.

The call is made in a process of its own, so that its time is bounded whatever the network does:
`python -P -m orchestrator.agents.endpoint_check` reads the agent's configuration and prints what it
found as a line of JSON.
"""

import difflib
import json
import subprocess
import sys
from collections.abc import Callable
from dataclasses import asdict, dataclass
from typing import Literal, TypeVar

from orchestrator.agents.error_table import Kind
from orchestrator.agents.openai_api import OF_ONE_MODEL, OpenAIAgent
from orchestrator.agents.openai_errors import (
    BlockedError,
    ContextOverflowError,
    NotChatError,
    TransientError,
)
from orchestrator.config.endpoints import AgentConfig
from orchestrator.core.errors import AgentBlockedError, UserError
from orchestrator.core.text import one_line
from orchestrator.proposals.prompt import Message
from sandbox import die_with_parent

T = TypeVar("T")

CALL_S = 10.0
"""Time limit of the call."""
CHECK_QUESTION = "Answer with the word OK."
_START_S = 5.0
"""Added for the process to start, on a busy machine."""
_MOST_OUTPUT_TOKENS = 16
_TRIES = 8
"""One, and one more for each optional parameter that the model does not take."""


@dataclass(frozen=True)
class EndpointState:
    """What the tiny call found."""

    state: Literal["ok", "note", "bad"]
    """`note`: nothing is known yet, and the run waits for it. `bad`: the user must act."""
    says: str


def check_endpoint(config: AgentConfig) -> EndpointState:
    """Make the tiny call, within some seconds."""
    try:
        done = subprocess.run(
            [sys.executable, "-P", "-m", "orchestrator.agents.endpoint_check"],
            input=config.model_dump_json().encode(),
            capture_output=True,
            timeout=CALL_S * (1 + len(config.fallback_models)) + _START_S,
            check=False,
        )
    except subprocess.TimeoutExpired:
        return EndpointState("note", f"no answer within {CALL_S:g} s; the run waits for it")
    except OSError as error:
        return EndpointState("note", f"the endpoint can't be tried: {error}")
    if done.returncode:
        last = one_line((done.stderr.decode(errors="replace").strip().splitlines() or ["?"])[-1])
        return EndpointState("note", f"the endpoint can't be tried: {last}")
    return EndpointState(**json.loads(done.stdout))


class _Context:
    """This process: the tries are few, and whoever started it ends it when its time is up."""

    def wait(self, reason: str, seconds: float, *, may_be_billed: bool = False) -> None:
        """Do not wait."""

    def call(self, function: Callable[[], T], timeout_s: float) -> T:  # noqa: ARG002 - as below
        """Call it here; the client's own time limit is the same."""
        return function()


def find_out(config: AgentConfig) -> EndpointState:
    """Make the tiny call in this process."""
    asked = config.model_copy(
        update={"timeout_s": CALL_S, "max_output_tokens": _MOST_OUTPUT_TOKENS}
    )
    try:
        agent = OpenAIAgent(asked)
        return _outcome(agent, config)
    except UserError as error:
        return EndpointState("bad", str(error))
    except BlockedError as error:
        if error.kind is Kind.REFUSED:
            return _refused(error)
        hint = _nearest_names(agent, config.model or "") if error.kind is Kind.MODEL else ""
        return _instead(config, error.kind, EndpointState("bad", f"{error}{hint}"))
    except AgentBlockedError as error:
        return EndpointState("bad", str(error))
    except ContextOverflowError as error:
        if error.otherwise is not None:
            return _refused(error.otherwise)
        return EndpointState("note", f"even a tiny prompt is too long: {error}")
    except NotChatError as error:
        return EndpointState("bad", str(error))
    except TransientError as error:
        return EndpointState("note", f"{error}; the run waits for it")


def _instead(config: AgentConfig, kind: Kind, found: EndpointState) -> EndpointState:
    """Return what was found, or that another model answers in place of one that can't."""
    if kind not in OF_ONE_MODEL or not config.fallback_models:
        return found
    model, *others = config.fallback_models
    other = find_out(config.model_copy(update={"model": model, "fallback_models": others}))
    if other.state == "bad":
        return found
    return EndpointState("note", f"{found.says}; {other.says}")


def _refused(error: BlockedError) -> EndpointState:
    return EndpointState("note", f"{error} (a call of {_MOST_OUTPUT_TOKENS} tokens)")


def _outcome(agent: OpenAIAgent, config: AgentConfig) -> EndpointState:
    for left in reversed(range(_TRIES)):
        try:
            reply = agent.ask_once([Message("user", CHECK_QUESTION)], _Context())
        except TransientError as error:
            if error.retry_after_s != 0 or not left:
                raise
        else:
            used = f", {reply.tokens.total} tokens" if reply.tokens.total else ""
            cost = f", ${reply.cost_usd:.6f}" if reply.cost_usd is not None else ""
            return EndpointState("ok", f"{config.model} answers at {agent.where}{used}{cost}")
    raise AssertionError("every try ends the loop")


def _nearest_names(agent: OpenAIAgent, model: str) -> str:
    try:
        names = agent.model_names(_Context())
    except (TransientError, AgentBlockedError):
        return ""
    near = difflib.get_close_matches(model, names, n=3, cutoff=0.4)
    if near:
        return f"; did you mean {' or '.join(near)}?"
    return f"; it has {', '.join(names[:5])}{' …' if len(names) > 5 else ''}" if names else ""


def main() -> None:
    """Print what the tiny call finds."""
    die_with_parent()
    config = AgentConfig.model_validate_json(sys.stdin.buffer.read())
    print(json.dumps(asdict(find_out(config))))


if __name__ == "__main__":
    main()
