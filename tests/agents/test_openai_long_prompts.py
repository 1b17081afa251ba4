"""Prompts that are too long for an endpoint: history is shed until they fit."""

from dataclasses import replace

import pytest

from orchestrator.core.errors import AgentBlockedError
from orchestrator.core.records import Attempt
from tests.agents.openai_rig import HELLO, LONG, Serve, agent_at, length
from tests.fakes import Answer, WaitingContext, refusal

OVERFLOWS = {
    "openai": refusal(400, "This model's maximum context length is 8192 tokens.",
                      code="context_length_exceeded"),
    "code alone": refusal(400, "too long", code="context_length_exceeded"),
    "vllm": refusal(400, "This model's maximum context length is 2048 tokens. However, you requested"),
    "llama.cpp": refusal(400, "the request exceeds the available context size, try increasing it",
                         type="exceed_context_size_error"),
    "anthropic": refusal(400, "prompt is too long: 210000 tokens > 200000 maximum"),
    "proxy": Answer(413, "<html>Request Entity Too Large</html>"),
}  # fmt: skip


@pytest.mark.parametrize("answer", OVERFLOWS.values(), ids=list(OVERFLOWS))
def test_too_long_prompt_sheds_history(serve: Serve, answer: Answer) -> None:
    """When the prompt is too long, older history is left out until it fits, without a pause."""
    server, context = serve(answer, answer, HELLO), WaitingContext()
    assert agent_at(server.url).propose(LONG, context).reply.text == "hello"
    one, two, three = map(length, server.requests)
    assert one > two > three
    assert "#200 " in server.requests[-1]["messages"][1]["content"]
    assert context.waits == []


def test_the_chat_that_was_sent_is_told(serve: Serve) -> None:
    """With the reply comes the chat of the last request, not one built anew for a longer context."""
    server = serve(OVERFLOWS["openai"], HELLO)
    replied = agent_at(server.url).propose(LONG, WaitingContext())
    assert server.requests[1]["messages"] == [
        {"role": m.role, "content": m.content} for m in replied.sent
    ]
    assert length(server.requests[1]) < length(server.requests[0])


def test_shorter_context_is_remembered(serve: Serve) -> None:
    """The next prompt begins at the length that fitted."""
    server = serve(OVERFLOWS["openai"], HELLO, HELLO)
    agent = agent_at(server.url)
    agent.propose(LONG, WaitingContext())
    agent.propose(LONG, WaitingContext())
    assert length(server.requests[2]) == length(server.requests[1])


def test_large_context_reaches_a_small_model(serve: Serve) -> None:
    """However far context_tokens is off, the prompt shrinks with every call."""
    server = serve(*[OVERFLOWS["openai"]] * 6, HELLO)
    agent = agent_at(server.url, context_tokens=10_000_000)
    agent.propose(replace(LONG, attempts=[Attempt("r" * 50_000, "e")]), WaitingContext())
    lengths = [length(request) for request in server.requests]
    assert lengths == sorted(set(lengths), reverse=True)


def test_prompt_that_never_fits_blocks(serve: Serve) -> None:
    """Where nothing is left to leave out, a person must act, after a bounded number of calls."""
    server = serve(*[OVERFLOWS["openai"]] * 30)
    with pytest.raises(
        AgentBlockedError, match=r"too long for m even without history.*program\.md"
    ):
        agent_at(server.url).propose(LONG, WaitingContext())
    assert len(server.requests) < 12
