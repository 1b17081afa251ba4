"""The openai agent against a real HTTP server on loopback: good answers, and what a person must mend."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from orchestrator.agents.openai_answers import ONLY_REASONING
from orchestrator.agents.openai_api import OpenAIAgent
from orchestrator.config.endpoints import AgentConfig, Prices
from orchestrator.core.errors import AgentBlockedError, AutorlError, UserError
from orchestrator.core.records import Reply, Tokens
from orchestrator.proposals.prompt import build_messages
from tests.agents.openai_rig import BRIEF, HELLO, KEY, Serve, agent_at, ask, blocked
from tests.fakes import Answer, ChatServer, WaitingContext, completion, refusal

# -- good answers ----------------------------------------------------------------------------------


def test_reply_is_text_usage_and_ending(serve: Serve) -> None:
    """A good answer gives text, every count the server told, and how it ended."""
    usage = {
        "prompt_tokens": 1000,
        "completion_tokens": 200,
        "total_tokens": 1200,
        "prompt_tokens_details": {"cached_tokens": 600},
        "completion_tokens_details": {"reasoning_tokens": 50},
    }
    reply = ask(serve(completion("hi", usage=usage)))
    assert reply == Reply("hi", Tokens(1000, 600, 200, 50), None, "stop")


def test_request_is_the_prompt(serve: Serve) -> None:
    """What is sent is the model, the built messages and the key, and no parameter left unset."""
    server = serve(HELLO)
    ask(server)
    messages = build_messages(BRIEF, context_tokens=AgentConfig().context_tokens)
    assert server.requests == [
        {"model": "m", "messages": [{"role": m.role, "content": m.content} for m in messages]}
    ]
    assert server.headers[0]["authorization"] == f"Bearer {KEY}"


def test_set_parameters_are_sent(serve: Serve) -> None:
    """Temperature and output limit are sent when they are configured."""
    server = serve(HELLO)
    ask(server, temperature=0.5, max_output_tokens=100)
    assert (server.requests[0]["temperature"], server.requests[0]["max_completion_tokens"]) == (
        0.5,
        100,
    )


@pytest.mark.parametrize(
    ("usage", "tokens"),
    [
        (None, Tokens()),
        ({}, Tokens()),
        ("many", Tokens()),
        ([1], Tokens()),
        ({"prompt_tokens": None, "completion_tokens": 3}, Tokens(output=3)),
        ({"prompt_tokens": "5", "completion_tokens": 1.5}, Tokens()),
        ({"prompt_tokens": True, "completion_tokens": -3}, Tokens()),
        ({"prompt_tokens": 0, "completion_tokens": 0}, Tokens(input=0, output=0)),
        ({"prompt_tokens": 5, "prompt_tokens_details": None}, Tokens(input=5)),
        ({"prompt_tokens": 5, "prompt_tokens_details": {}}, Tokens(input=5)),
        ({"prompt_tokens": 5, "prompt_tokens_details": [7]}, Tokens(input=5)),
    ],
)
def test_usage_that_is_missing_is_unknown(serve: Serve, usage: object, tokens: Tokens) -> None:
    """A count the server does not tell, or tells wrongly, is None and not 0."""
    more = {} if usage is None else {"usage": usage}
    assert ask(serve(completion("hi", **more))).tokens == tokens


def test_cost_is_in_the_reply(serve: Serve) -> None:
    """With prices configured, a reply knows what it cost."""
    usage = {"prompt_tokens": 1_000_000, "completion_tokens": 500_000}
    prices = Prices(input=2.0, output=4.0)
    assert ask(serve(completion("hi", usage=usage)), prices=prices).cost_usd == pytest.approx(4.0)


@pytest.mark.parametrize(
    ("answer", "text", "finish_reason"),
    [
        (completion("part", "length"), "part", "length"),
        (completion("", "content_filter"), "", "content_filter"),
        (completion(None), "", "stop"),
        (completion(None, "tool_calls"), "", "tool_calls"),
        (completion("x", None), "x", "null"),
        (completion(5), "", "stop"),
        (completion([{"type": "text", "text": "a"}, {"type": "text", "text": "b"}]), "ab", "stop"),
        (completion([{"type": "thinking", "thinking": [{"type": "text", "text": "a"}]},
                     {"type": "reasoning", "text": "b"}, {"type": "thinking", "text": "c"},
                     {"type": "text", "text": "d", "thought": True},
                     {"type": "output_text", "text": "e"}, {"text": "f"}]), "ef", "stop"),
        (Answer(body={"choices": [{"message": {"content": "x", "reasoning_content": "a",
                                               "reasoning": "b", "thinking": "c"}}]}), "x", "stop"),
        (Answer(body={"choices": [{"message": {"content": None, "reasoning_content": "a"}}]}),
         ONLY_REASONING, "stop"),
        (completion([{"type": "image"}, 5, None]), "", "stop"),
        (Answer(body={"choices": [{"message": {"refusal": "I will not", "content": None}}]}),
         "I will not", "refusal"),
        (Answer(body={"choices": [{"message": {"content": "x"}}]}), "x", "stop"),
        (Answer(body={"choices": [{"message": {}}]}), "", "stop"),
    ],
    ids=["cut", "filtered", "null", "tools", "null ending", "number", "parts", "parts of reasoning", "fields of reasoning",
         "reasoning alone", "odd parts", "refusal",
         "bare", "empty message"],
)  # fmt: skip
def test_odd_but_complete_answers_are_replies(
    serve: Serve, answer: Answer, text: str, finish_reason: str
) -> None:
    """An answer with a message is a reply, whatever is missing in it: the edit check names the rest."""
    reply = ask(serve(answer))
    assert (reply.text, reply.finish_reason) == (text, finish_reason)


# -- what needs a person ---------------------------------------------------------------------------


@pytest.mark.parametrize("status", [401, 403])
def test_refused_key_names_its_variable(serve: Serve, status: int) -> None:
    """A key that is refused blocks at once; the line names the variable and never the key."""
    answer = refusal(status, f"Incorrect API key provided: {KEY}.\nSee your account")
    assert "refuses the key in $OPENAI_API_KEY" in blocked(serve(answer))


def test_key_that_is_wanted_and_not_set_says_so(serve: Serve) -> None:
    """A server that wants a key, while none is set, says which variable to set."""
    said = blocked(serve(refusal(401, "Unauthorized")), key="")
    assert "$OPENAI_API_KEY is not set" in said


def test_unknown_model_names_model_address_and_variable(serve: Serve) -> None:
    """A 404 blocks at once and names what to look at."""
    server = serve(refusal(404, "The model `m` does not exist", code="model_not_found"))
    said = blocked(server)
    for part in ("no model m", server.url, "agent.model", "agent.base_url", "$OPENAI_API_KEY"):
        assert part in said


@pytest.mark.parametrize(
    "answer",
    [
        refusal(429, "You exceeded your current quota", code="insufficient_quota"),
        refusal(429, "You exceeded your current quota", type="insufficient_quota"),
        refusal(403, "quota", code="insufficient_quota"),
        refusal(400, "limit", code="billing_hard_limit_reached"),
        refusal(402, "no"),
    ],
)
def test_used_up_quota_blocks_at_once(serve: Serve, answer: Answer) -> None:
    """No quota is nothing that waiting helps, even where it comes as 429."""
    assert "quota" in blocked(serve(answer))


@pytest.mark.parametrize(
    "answer",
    [
        refusal(400, "messages: roles must alternate"),
        refusal(400, f"bad request with {KEY}", param="messages", code="invalid_value"),
        refusal(405),
        refusal(418),
        refusal(422, "unknown field: messages"),
        Answer(400, "<html>nginx</html>"),
        Answer(400, b"null"),
        Answer(400, {"detail": [1, 2]}),
        Answer(400, {"error": "text"}),
        Answer(400, {"error": {"code": 7, "param": {"a": 1}, "message": None}}),
    ],
)
def test_other_refusals_block_at_once(serve: Serve, answer: Answer) -> None:
    """A request that the server will never take blocks, in one line, whatever its body."""
    assert "refuses the request" in blocked(serve(answer))


def test_key_never_reaches_a_pause_reason(serve: Serve) -> None:
    """What is shown while waiting does not hold the key either."""
    context = WaitingContext()
    echo = Answer(body={"error": {"message": f"echo {KEY}"}})
    ask(serve(refusal(500, f"upstream said {KEY}"), echo, HELLO), context)
    assert "upstream said [key]" in context.waits[0][0]
    assert "echo [key]" in context.waits[1][0]


# -- parameters ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("answer", "kept"),
    [
        (refusal(400, "Unsupported parameter: 'temperature' is not supported with this model.",
                 code="unsupported_parameter", param="temperature"), {"max_completion_tokens": 9}),
        (refusal(400, "Unsupported value: 'temperature' does not support 0.5 with this model.",
                 code="unsupported_value", param="temperature"), {"max_completion_tokens": 9}),
        (refusal(400, "temperature is deprecated for this model."), {"max_completion_tokens": 9}),
        (refusal(400, "invalid temperature: only 1 is allowed for this model"),
         {"max_completion_tokens": 9}),
        (refusal(400, "`temperature` must be 1 when thinking is enabled"),
         {"max_completion_tokens": 9}),
        (refusal(400, "Unsupported parameter: 'max_completion_tokens'. Use 'max_tokens' instead.",
                 code="unsupported_parameter", param="max_completion_tokens"),
         {"temperature": 0.5, "max_tokens": 9}),
        (Answer(422, {"detail": [{"type": "extra_forbidden", "loc": ["max_completion_tokens"]}]}),
         {"temperature": 0.5, "max_tokens": 9}),
        (refusal(400, "Unrecognized request argument supplied: max_completion_tokens"),
         {"temperature": 0.5, "max_tokens": 9}),
    ],
    ids=["temperature", "its value", "deprecated", "only", "must", "max_completion_tokens", "no code", "old words"],
)  # fmt: skip
def test_parameters_not_taken_are_dropped_and_remembered(
    serve: Serve, answer: Answer, kept: dict[str, object]
) -> None:
    """An optional parameter the model does not take is left out, at once and ever after."""
    server, context = serve(answer, HELLO, HELLO), WaitingContext()
    agent = agent_at(server.url, temperature=0.5, max_output_tokens=9)
    assert (
        agent.propose(BRIEF, context).reply.text
        == agent.propose(BRIEF, context).reply.text
        == "hello"
    )
    assert [seconds for _, seconds in context.waits] == [0.0]
    assert "trying without" in context.waits[0][0]
    for request in server.requests[1:]:
        assert {
            name: request[name] for name in request if name not in {"model", "messages"}
        } == kept


def test_output_limit_can_be_dropped_under_both_names(serve: Serve) -> None:
    """A server that takes neither name of the output limit is asked without it."""
    answers = [
        refusal(400, "unsupported", code="unsupported_parameter", param="max_completion_tokens"),
        refusal(400, "unsupported", code="unsupported_parameter", param="max_tokens"),
        refusal(400, "unsupported", code="unsupported_parameter", param="temperature"),
        HELLO,
    ]
    server = serve(*answers)
    assert ask(server, temperature=0.5, max_output_tokens=9).text == "hello"
    assert sorted(server.requests[-1]) == ["messages", "model"]


@pytest.mark.parametrize("param", ["temperature", "messages", "model", None])
def test_parameters_that_were_not_sent_are_not_dropped(serve: Serve, param: str | None) -> None:
    """A server that complains of what was not sent, or can't be spared, does not start a loop."""
    answer = refusal(400, "unsupported", code="unsupported_parameter", param=param)
    assert "refuses the request" in blocked(serve(answer))


# -- set up ----------------------------------------------------------------------------------------


def test_missing_model_is_the_users_to_name() -> None:
    """Without a model the agent is not made, and the line says what to set."""
    with pytest.raises(UserError, match=r"agent\.model is missing"):
        OpenAIAgent(AgentConfig(), {"OPENAI_API_KEY": KEY})


@pytest.mark.parametrize("key", ["", "  \n"])
def test_missing_key_names_the_variable(key: str) -> None:
    """OpenAI's own endpoint needs a key; the line names the variable that should hold it."""
    config = AgentConfig(model="m", api_key_env="MY_KEY")
    with pytest.raises(UserError, match=r"set \$MY_KEY \(agent\.api_key_env\)"):
        OpenAIAgent(config, {"MY_KEY": key})


@pytest.mark.parametrize("key", ["sk-ключ", "sk-a\nsk-b", "sk-\x00", "sk-\udcff", "“sk”"])
def test_key_that_no_header_can_carry_is_refused(key: str) -> None:
    """A key with line breaks or letters outside ASCII is refused at the start, and not shown."""
    with pytest.raises(UserError, match=r"\$OPENAI_API_KEY holds no key") as caught:
        agent_at("http://localhost/v1", key=key)
    assert "sk" not in str(caught.value)


def test_key_may_have_a_line_end(serve: Serve) -> None:
    """The newline that `$(cat key)` or an env file leaves around a key is no part of it."""
    server = serve(HELLO)
    ask(server, key=f" {KEY}\n")
    assert server.headers[0]["authorization"] == f"Bearer {KEY}"


def test_server_of_ones_own_needs_no_key(serve: Serve) -> None:
    """With a base_url the agent works without a key."""
    assert ask(serve(HELLO), key="").text == "hello"


def test_name_says_the_model() -> None:
    """The name in logs and tables is backend and model."""
    agent = agent_at("http://localhost/v1", model="org/model-7b")
    assert agent.name == "openai:org/model-7b"


# -- any answer ------------------------------------------------------------------------------------

JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-5, 5) | st.floats(allow_nan=False) | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3)
    | st.dictionaries(
        st.sampled_from(["choices", "message", "content", "usage", "error", "code", "refusal",
                         "finish_reason", "prompt_tokens", "prompt_tokens_details", "param"]),
        inner, max_size=4,
    ),
    max_leaves=12,
)  # fmt: skip


@settings(max_examples=12, deadline=None)
@given(body=JSON, choice=JSON, status=st.sampled_from([200, 200, 200, 400, 429, 500]))
def test_any_answer_is_a_reply_a_pause_or_a_block(
    body: object, choice: object, status: int
) -> None:
    """Whatever JSON comes back, the agent returns a text, waits, or asks for a person."""
    if isinstance(body, dict):
        body = body | {"choices": [choice]}
    server = ChatServer(Answer(status, body), HELLO)
    try:
        reply = ask(server)
    except AutorlError as error:
        assert isinstance(error, AgentBlockedError)  # noqa: PT017 - one of three good ends
    else:
        assert isinstance(reply.text, str)
        assert isinstance(reply.finish_reason, str)
    finally:
        server.close()
