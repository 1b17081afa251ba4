"""What the tests of the openai agent share: an agent at a server on loopback, and a brief."""

from collections.abc import Callable
from dataclasses import replace

import pytest

from orchestrator.agents.openai_api import OpenAIAgent
from orchestrator.config.endpoints import AgentConfig
from orchestrator.core.errors import AgentBlockedError
from orchestrator.core.experiments import Experiment
from orchestrator.core.records import Files, Reply, Rung, Status
from orchestrator.proposals.brief import Brief
from tests.fakes import ChatServer, WaitingContext, completion

KEY = "sk-top-secret-0123456789"
BRIEF = Brief(
    ordinal=1, program="Find the key.", files=Files("e = 1\n", "t = 1\n"), rung=Rung(12, 8), lead=1
)  # fmt: skip
HELLO = completion("hello")

Serve = Callable[..., ChatServer]


def agent_at(url: str | None, key: str = KEY, **options: object) -> OpenAIAgent:
    known = {"model": "m", "base_url": url, "timeout_s": 5.0} | options
    return OpenAIAgent(AgentConfig(**known), {"OPENAI_API_KEY": key} if key else {})  # type: ignore[arg-type]


def ask(server: ChatServer, context: WaitingContext | None = None, **options: object) -> Reply:
    return agent_at(server.url, **options).propose(BRIEF, context or WaitingContext()).reply


def blocked(server: ChatServer, **options: object) -> str:
    context = WaitingContext()
    with pytest.raises(AgentBlockedError) as caught:
        ask(server, context, **options)
    assert context.waits == []
    assert len(server.requests) == 1
    assert KEY not in str(caught.value)
    assert "\n" not in str(caught.value)
    return str(caught.value)


LONG = replace(
    BRIEF,
    history=[
        Experiment(n, "t", False, Status.DISCARD, Rung(12, 8), "openai:m", description="x" * 200)
        for n in range(1, 201)
    ],
)


def length(request: dict[str, list[dict[str, str]]]) -> int:
    return sum(len(message["content"]) for message in request["messages"])
