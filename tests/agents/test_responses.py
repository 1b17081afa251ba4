"""OpenAI's Responses interface: what is sent, and what every answer of it is."""

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from orchestrator.agents.openai_answers import ONLY_REASONING
from orchestrator.agents.responses_answers import read_response
from orchestrator.config.endpoints import AgentConfig, Prices
from orchestrator.core.errors import AgentBlockedError
from orchestrator.core.records import Reply, Tokens
from orchestrator.proposals.prompt import Message, build_messages
from tests.agents.openai_rig import BRIEF, KEY, LONG, Serve, agent_at, blocked
from tests.agents.openai_rig import ask as ask_chat
from tests.agents.streams import response
from tests.fakes import Answer, ChatServer, WaitingContext, refusal

TOKENS = Tokens(100, 60, 20, 5)
GOOD = Answer(body=response("hello"))


def ask(server: ChatServer, context: WaitingContext | None = None, **options: object) -> Reply:
    return ask_chat(server, context, api="responses", **options)


def message(*parts: dict[str, Any], **fields: Any) -> dict[str, Any]:
    known = {"type": "message", "role": "assistant", "status": "completed"}
    return known | {"content": list(parts)} | fields


def text(words: str) -> dict[str, Any]:
    return {"type": "output_text", "text": words}


THOUGHT = {"type": "reasoning", "summary": [{"type": "summary_text", "text": "hm"}]}


def test_request_is_the_prompt(serve: Serve) -> None:
    """The system's message is the instructions, nothing is stored, and nothing unset is sent."""
    server = serve(GOOD)
    assert ask(server) == Reply("hello", TOKENS, None, "stop")
    system, *others = build_messages(BRIEF, context_tokens=AgentConfig().context_tokens)
    assert server.requests == [
        {
            "model": "m",
            "instructions": system.content,
            "input": [{"role": m.role, "content": m.content} for m in others],
            "store": False,
        }
    ]
    assert server.paths == ["/v1/responses"]
    assert server.headers[0]["authorization"] == f"Bearer {KEY}"


def test_set_parameters_are_sent(serve: Serve) -> None:
    """Each under the name that it has there."""
    server = serve(GOOD)
    ask(server, temperature=0.5, max_output_tokens=100, effort="high")
    sent = server.requests[0]
    assert (sent["temperature"], sent["max_output_tokens"]) == (0.5, 100)
    assert sent["reasoning"] == {"effort": "high"}


def test_a_prompt_without_a_system_message_has_no_instructions(serve: Serve) -> None:
    """As the tiny call of a start."""
    server = serve(GOOD)
    agent = agent_at(server.url, api="responses")
    agent.ask_once([Message("user", "hello")], WaitingContext())
    assert "instructions" not in server.requests[0]


@pytest.mark.parametrize(
    ("fields", "words", "finish"),
    [
        ({"output": [message(text("he"), text("llo"))]}, "hello", "stop"),
        ({"output": [message(text("working on it"), phase="commentary"), message(text("hello"))]},
         "hello", "stop"),
        ({"output": [message(text("hello"), phase="commentary")]}, "hello", "stop"),
        ({"output": [message({"type": "refusal", "refusal": "I won't"})]}, "I won't", "refusal"),
        ({"output": [THOUGHT]}, ONLY_REASONING, "stop"),
        ({"output": [THOUGHT, message(text("hello"))]}, "hello", "stop"),
        ({"output": [message(text("he"), status="incomplete")], "status": "incomplete",
          "incomplete_details": {"reason": "max_output_tokens"}}, "he", "max_output_tokens"),
        ({"output": [], "status": "incomplete",
          "incomplete_details": {"reason": "content_filter"}}, "", "content_filter"),
        ({"output": [THOUGHT], "status": "incomplete", "incomplete_details": None},
         ONLY_REASONING, "incomplete"),
        ({"output": [message(text("he"), status="incomplete")]}, "he", "incomplete"),
        ({"output": [message(text("he"))], "status": "in_progress"}, "he", "in_progress"),
        ({"output": [message(text("he"))], "status": None}, "he", "null"),
        ({"output": [message(text("he"))], "status": 5}, "he", "null"),
        ({"output": [message(text("he")), {"type": "function_call", "name": "x"}]},
         "he", "tool_calls"),
        ({"output": [{"type": "web_search_call", "status": "completed"}, message(text("hello"))]},
         "hello", "stop"),
        ({"output": [message("hello", content="hello")]}, "hello", "stop"),  # type: ignore[arg-type]
        ({"output": [5, None, "x", message(text("hello"))]}, "hello", "stop"),
        ({"output": [{"type": "message"}]}, "", "stop"),
        ({"output": [message({"type": "output_text", "text": 5})]}, "", "stop"),
    ],
    ids=["parts", "commentary", "commentary alone", "refusal", "reasoning alone", "reasoning",
         "cut", "filtered", "no cause", "an item's status", "not over", "null", "number", "call",
         "search", "plain text", "odd items", "empty message", "odd part"],
)  # fmt: skip
def test_every_ending_is_sorted(
    serve: Serve, fields: dict[str, Any], words: str, finish: str
) -> None:
    """What a model thinks is no answer, and what is not whole is marked so."""
    reply = ask(serve(Answer(body=response("x", **fields))))
    assert (reply.text, reply.finish_reason) == (words, finish)


def test_without_a_status_it_ended_normally(serve: Serve) -> None:
    """As a chat's reply without a finish reason: some servers leave out what is not in doubt."""
    assert ask(serve(Answer(body={"output": [message(text("hello"))]}))).finish_reason == "stop"


TRANSIENT = {
    "failed": response(None, status="failed", error={"code": "server_error", "message": "oops"}),
    "failed without a word": response("hello", status="failed"),
    "rate": response(None, status="failed", error={"code": "rate_limit_exceeded", "message": "x"}),
    "cancelled": response("hello", status="cancelled"),
    "no items": response("x", output=[]),
    "no output": {"id": "x", "output": None},
    "a chat's": {"choices": [{"message": {"content": "hello"}}]},
    "an item that failed": response("x", output=[message(text("he"), status="failed")]),
}


@pytest.mark.parametrize("body", TRANSIENT.values(), ids=list(TRANSIENT))
def test_what_passes_is_waited_out(serve: Serve, body: object) -> None:
    """A response that failed is none, whatever text it has."""
    context = WaitingContext()
    assert ask(serve(Answer(body=body), GOOD), context).text == "hello"
    assert len(context.waits) == 1


def test_a_failed_response_is_sorted_by_its_error(serve: Serve) -> None:
    """Too long, filtered, or a person's to mend, with 200 too."""
    error = {"code": "context_length_exceeded", "message": "Your input exceeds the context window"}
    server = serve(Answer(body=response(None, status="failed", output=[], error=error)), GOOD)
    agent, context = agent_at(server.url, api="responses"), WaitingContext()
    assert agent.propose(LONG, context).reply.text == "hello"
    assert context.waits == []
    error = {"code": "invalid_prompt", "message": "flagged as violating our usage policy"}
    reply = ask(serve(Answer(body=response(None, status="failed", error=error))))
    assert reply.finish_reason == "content_filter"
    error = {"code": "insufficient_quota", "message": "x"}
    server = serve(Answer(body=response(None, status="failed", error=error)))
    assert "quota" in blocked(server, api="responses")


def test_an_endpoint_without_it_is_named(serve: Serve) -> None:
    """The path is missing, or another API answers: the line says which key to turn back."""
    said = blocked(serve(Answer(404, {"detail": "Not Found"})), api="responses")
    assert "agent.api: chat" in said
    with pytest.raises(AgentBlockedError, match=r"not as a Responses API .*agent\.api"):
        ask(serve(*[Answer(body={"done": True})] * 12))


@pytest.mark.parametrize(
    ("param", "words"),
    [("reasoning.effort", "Unsupported parameter: 'reasoning.effort' is not supported"),
     ("temperature", "Unsupported parameter: 'temperature' is not supported with this model."),
     ("store", "Unrecognized request argument supplied: store"),
     (None, "Unsupported parameter: max_output_tokens")],
)  # fmt: skip
def test_parameters_not_taken_are_dropped(serve: Serve, param: str | None, words: str) -> None:
    """At once, one by one, and the rest is sent."""
    no = refusal(400, words, code="unsupported_parameter", param=param)
    server, context = serve(no, GOOD), WaitingContext()
    ask(server, context, temperature=0.5, max_output_tokens=9, effort="low")
    assert [seconds for _, seconds in context.waits] == [0.0]
    gone = server.requests[0].keys() - server.requests[1].keys()
    assert gone == {(param or "max_output_tokens").partition(".")[0]}


def test_cost_is_by_its_counts(serve: Serve) -> None:
    """Cached input at its price, and reasoning within the output."""
    prices = Prices(input=1.0, cached=0.1, output=10.0)
    cost = ask(serve(GOOD), prices=prices).cost_usd
    assert cost == pytest.approx((40 * 1.0 + 60 * 0.1 + 20 * 10.0) / 1e6)


@pytest.mark.parametrize(
    "usage",
    [None, {}, 5, {"input_tokens": "5", "output_tokens": -1}, {"input_tokens_details": [1]}],
)
def test_usage_that_is_missing_is_unknown(serve: Serve, usage: object) -> None:
    """And not 0."""
    assert ask(serve(Answer(body=response("hello", usage=usage)))).tokens == Tokens()


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=9),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=9), inner, max_size=3),
    max_leaves=9,
)  # fmt: skip


@settings(max_examples=300)
@given(
    st.fixed_dictionaries(
        {"output": JSON | st.lists(st.fixed_dictionaries(
            {"type": st.sampled_from(["message", "reasoning", "function_call"]) | JSON,
             "content": JSON | st.lists(st.fixed_dictionaries({"type": JSON, "text": JSON})),
             "status": JSON, "phase": JSON}))},
        optional={"status": JSON, "incomplete_details": JSON, "usage": JSON, "error": JSON},
    ) | JSON
)  # fmt: skip
def test_any_answer_can_be_read(document: object) -> None:
    """Whatever stands where."""
    reply = read_response(document, Prices(input=1.0, output=1.0))
    assert reply is None or (isinstance(reply.text, str) and isinstance(reply.finish_reason, str))
