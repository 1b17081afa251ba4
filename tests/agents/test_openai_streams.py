"""Answers that stream, over real sockets: whole, broken off, silent, and none at all."""

import gzip
import json
import os
from collections.abc import Callable, Sequence
from dataclasses import replace

import pytest

from orchestrator.agents.http_client import AFTER_S, MOST_BYTES
from orchestrator.agents.openai_answers import ONLY_REASONING
from orchestrator.agents.openai_errors import TransientError
from orchestrator.core.errors import AgentBlockedError
from orchestrator.core.records import Reply, Tokens
from orchestrator.proposals.prompt import Message
from tests.agents.openai_rig import BRIEF, KEY, LONG, Serve, agent_at, length
from tests.agents.streams import (
    DONE,
    RESPONSE_USAGE,
    USAGE,
    chat_stream,
    chunk,
    event,
    response,
    response_stream,
    streamed,
    streamed_at_once,
)
from tests.fakes import Answer, ChatServer, WaitingContext, completion, refusal

TOKENS = Tokens(100, 60, 20, 5)
GOOD = {"chat": chat_stream("hel", "lo"), "responses": response_stream(response("hello"))}
WHOLE = {
    "chat": completion("hello", usage=USAGE),
    "responses": Answer(body=response("hello")),
}
BOTH = pytest.mark.parametrize("api", ["chat", "responses"])


def ask(
    server: ChatServer,
    context: WaitingContext | None = None,
    brief: object = BRIEF,
    **options: object,
) -> Reply:
    known = {"silence_s": 5.0} | options
    return agent_at(server.url, **known).propose(brief, context or WaitingContext()).reply  # type: ignore[arg-type]


def fault(answer: Answer, serve: Serve, **options: object) -> str:
    """Return why a call is waited out, which is all that may come of it."""
    agent = agent_at(serve(answer).url, **{"silence_s": 5.0} | options)
    with pytest.raises(TransientError) as caught:
        agent.ask_once([Message("user", "hello")], WaitingContext())
    return str(caught.value)


# -- whole -----------------------------------------------------------------------------------------


@BOTH
def test_a_stream_is_a_reply_like_a_whole_one(serve: Serve, api: str) -> None:
    """Text, every count and the ending, exactly as from the answer that comes whole."""
    server = serve(streamed(GOOD[api]), WHOLE[api])
    reply = ask(server, api=api)
    assert reply == Reply("hello", TOKENS, None, "stop")
    assert ask(server, api=api, silence_s=None) == reply
    assert [request.get("stream") for request in server.requests] == [True, None]
    assert ("stream_options" in server.requests[0]) is (api == "chat")
    packings = [headers["accept-encoding"] for headers in server.headers]
    assert packings == ["identity", "gzip, deflate"]  # packed events may be held back


@BOTH
def test_a_server_may_answer_whole_all_the_same(serve: Serve, api: str) -> None:
    """Whatever was asked for, and whatever its headers call it."""
    told = replace(WHOLE[api], headers={"content-type": "text/event-stream"})
    for answer in (WHOLE[api], told):
        assert ask(serve(answer), api=api).text == "hello"


@BOTH
def test_a_packed_stream_is_read(serve: Serve, api: str) -> None:
    """Some servers pack it whatever is asked for."""
    packed = gzip.compress(b"".join(GOOD[api]))
    headers = {"content-type": "text/event-stream", "content-encoding": "gzip"}
    assert ask(serve(Answer(200, packed, headers)), api=api).text == "hello"


@BOTH
def test_a_stream_under_another_name_is_one(serve: Serve, api: str) -> None:
    """It is known by its bytes."""
    for kind in ("application/json", "text/plain"):
        answer = replace(streamed_at_once(GOOD[api]), headers={"content-type": kind})
        assert ask(serve(answer), api=api).text == "hello"


@pytest.mark.parametrize(
    ("pieces", "text", "finish", "tokens"),
    [
        (chat_stream("hello", usage=None), "hello", "stop", Tokens()),
        (chat_stream("hello", usage=None, done=False), "hello", "stop", Tokens()),
        (chat_stream("hello", "", done=False), "hello", "stop", TOKENS),
        (chat_stream("hello", finish="length"), "hello", "length", TOKENS),
        (chat_stream("", finish="content_filter"), "", "content_filter", TOKENS),
        ([chunk({"refusal": "I "}), chunk({"refusal": "won't"}), chunk({}, "stop"), DONE],
         "I won't", "refusal", Tokens()),
        ([chunk({"reasoning_content": "hm"}), chunk({"content": "hello"}), chunk({}, "stop"), DONE],
         "hello", "stop", Tokens()),
        ([chunk({"reasoning": "hm"}), chunk({"content": None}), chunk({}, "stop"), DONE],
         ONLY_REASONING, "stop", Tokens()),
        ([chunk({"content": [{"type": "thinking", "thinking": "a"},
                             {"type": "text", "text": "hello"}]}, "stop"), DONE],
         "hello", "stop", Tokens()),
        ([chunk({"tool_calls": [{"index": 0}]}, "tool_calls"), DONE], "", "tool_calls", Tokens()),
        ([chunk({"content": "hello"}, "stop", usage=USAGE), DONE], "hello", "stop", TOKENS),
        ([chunk({"content": "hel"}, usage=USAGE | {"completion_tokens": 1}),
          chunk({"content": "lo"}, "stop", usage=USAGE), DONE], "hello", "stop", TOKENS),
        ([event({"choices": [{"delta": {"content": "hello"}, "finish_reason": "stop"}]})],
         "hello", "stop", Tokens()),
        ([event({"choices": [], "prompt_filter_results": []}), *chat_stream("hello")],
         "hello", "stop", TOKENS),
        ([chunk({"content": "hello"}, "stop"), chunk({}, "length"), DONE], "hello", "length", Tokens()),
        ([event(completion("hello").body), DONE], "hello", "stop", Tokens()),
        ([b"".join(chat_stream("hello")).replace(b"\n\n", b"\n") + b"\n"], "hello", "stop", TOKENS),
        ([b": OPENROUTER PROCESSING\n\n", event({"type": "ping"}, "ping"), *chat_stream("hello")],
         "hello", "stop", TOKENS),
    ],
    ids=["no usage", "no done", "no done, usage", "cut", "filtered", "refusal", "reasoning",
         "reasoning alone", "parts", "tools", "usage at the end", "usage in each", "bare",
         "azure", "two endings", "whole as one event", "no blank lines", "signs of life"],
)  # fmt: skip
def test_chunks_of_any_server_come_together(
    serve: Serve, pieces: Sequence[bytes], text: str, finish: str, tokens: Tokens
) -> None:
    """As each server sends them: the reply is what the whole answer would have been."""
    reply = ask(serve(streamed_at_once(pieces)))
    assert (reply.text, reply.finish_reason, reply.tokens) == (text, finish, tokens)


@pytest.mark.parametrize(
    ("pieces", "text", "finish"),
    [
        (response_stream(response("he", status="incomplete",
                                  incomplete_details={"reason": "max_output_tokens"}), "incomplete"),
         "he", "max_output_tokens"),
        ([*response_stream(response("hello"))[:-1],
          event({"type": "response.completed", "response": response("hello", output=[])})],
         "hello", "stop"),
        ([line.split(b"\n", 1)[1] for line in GOOD["responses"]], "hello", "stop"),
        ([*GOOD["responses"], DONE], "hello", "stop"),
        ([event(response("hello"))], "hello", "stop"),
    ],
    ids=["incomplete", "output told before", "no names", "done", "whole as one event"],
)  # fmt: skip
def test_events_of_any_response_come_together(
    serve: Serve, pieces: Sequence[bytes], text: str, finish: str
) -> None:
    """The last event has it whole; where its output is left out, the items told before are it."""
    reply = ask(serve(streamed_at_once(pieces)), api="responses")
    assert (reply.text, reply.finish_reason) == (text, finish)


# -- broken off ------------------------------------------------------------------------------------


@BOTH
@pytest.mark.parametrize("sized", [True, False], ids=["sized", "unsized"])
def test_a_stream_cut_at_any_byte_is_no_half_reply(serve: Serve, api: str, sized: bool) -> None:
    """Wherever it breaks off: waited out, or the whole reply because its last event had come."""
    text = b"".join(GOOD[api])
    step = 1 if os.environ.get("TESTS_LONG") else 23
    cuts = range(0, len(text), step)
    whole = streamed_at_once(GOOD[api], sized=sized)
    server = serve(*[answer for cut in cuts for answer in (replace(whole, cut_at=cut), whole)])
    agent = agent_at(server.url, api=api, silence_s=5.0)
    waited = 0
    for _ in cuts:
        context = WaitingContext()
        reply = agent.propose(BRIEF, context).reply
        assert (reply.text, reply.finish_reason) == ("hello", "stop")
        waited += len(context.waits)
        if not context.waits:  # the next question gets the answer meant for the retry
            assert agent.propose(BRIEF, context).reply.text == "hello"
    assert waited >= (len(cuts) - 1) * (0.5 if api == "chat" else 1)


BROKEN = {
    "no last event": chat_stream("hello")[:2],
    "done, and no ending": [chunk({"content": "hello"}), DONE],
    "a null ending": [chunk({"content": "hello"}, None), chunk({}, ""), DONE],
    "half an event": [*chat_stream("hello")[:2], b'data: {"choices": [{"del'],
    "no JSON between": [chunk({"content": "hel"}), b"data: oops\n\n", *chat_stream("lo")],
    "no object between": [chunk({"content": "hel"}), b"data: 5\n\n", *chat_stream("lo")],
    "nothing": [],
    "life alone": [b": ping\n\n"] * 3,
    "broken by its server": [chunk({"content": "hello"}), chunk({}, "error"), DONE],
    "first stop, then error": [chunk({"content": "hello"}, "stop"), chunk({}, "error"), DONE],
}


@pytest.mark.parametrize("pieces", BROKEN.values(), ids=list(BROKEN))
def test_what_is_no_whole_chat_is_waited_out(serve: Serve, pieces: Sequence[bytes]) -> None:
    """Half a reply is never used, however well it looks."""
    assert fault(streamed_at_once(pieces), serve)


@pytest.mark.parametrize(
    "pieces",
    [GOOD["responses"][:-1], [*GOOD["responses"][:-1], DONE],
     [event({"type": "response.completed", "response": None})],
     [event({"type": "response.failed", "response": response(None, status="failed")})],
     [event({"type": "response.cancelled", "response": response("x", status="cancelled")})],
     chat_stream("hello")],
    ids=["no last event", "done", "no response", "failed", "cancelled", "a chat's"],
)  # fmt: skip
def test_what_is_no_whole_response_is_waited_out(serve: Serve, pieces: Sequence[bytes]) -> None:
    """Its last event alone makes it a reply."""
    assert fault(streamed_at_once(pieces), serve, api="responses")


# -- silence and size ------------------------------------------------------------------------------


@BOTH
def test_a_stream_that_falls_silent_is_left(serve: Serve, api: str) -> None:
    """Long before the time of the whole answer is up, and at its beginning too."""
    for begun in (GOOD[api][:2], []):
        answer = streamed([*begun, 30.0])
        assert fault(answer, serve, api=api, silence_s=0.3) == "the answer fell silent for 0.3 s"


@BOTH
def test_signs_of_life_are_no_silence(serve: Serve, api: str) -> None:
    """Comments come while the model thinks: as many as fit into the time of the whole answer."""
    life: list[bytes | float] = [piece for _ in range(4) for piece in (b": ping\n\n", 0.3)]
    assert ask(serve(streamed([*life, *GOOD[api]])), api=api, silence_s=0.6).text == "hello"
    endless: list[bytes | float] = [piece for _ in range(40) for piece in (b": ping\n\n", 0.2)]
    said = fault(streamed([*endless]), serve, api=api, silence_s=0.6, timeout_s=1.0)
    assert said == "no answer within 1 s"


@BOTH
def test_silence_before_an_answer_is_a_matter_of_the_whole_time(serve: Serve, api: str) -> None:
    """A model is loaded, or a long prompt is read, or the server answers whole."""
    for answer in (streamed(GOOD[api]), WHOLE[api]):
        late = replace(answer, delay_s=0.6)
        assert ask(serve(late), api=api, silence_s=0.2).text == "hello"


@BOTH
def test_a_server_that_keeps_the_line_open_is_left(serve: Serve, api: str) -> None:
    """After the last event nothing is waited for."""
    answer = streamed([*GOOD[api], 30.0])
    assert ask(serve(answer), api=api, silence_s=20.0, timeout_s=20.0).text == "hello"


def test_counts_that_never_come_cost_no_reply(serve: Serve) -> None:
    """The ending has come: silence or a broken connection after it loses the counts alone."""
    begun = chat_stream("hello", usage=None, done=False)
    for pieces in ([*begun, 30.0], [*begun, b"data: {"]):
        reply = ask(serve(streamed(pieces)), silence_s=0.3)
        assert (reply.text, reply.tokens) == ("hello", Tokens())


@pytest.mark.parametrize("limit_s", [1.0, AFTER_S + 3.0])
def test_signs_of_life_without_end_cost_no_reply(serve: Serve, limit_s: float) -> None:
    """A whole reply is not asked for, and billed, again because its stream is never closed."""
    life: list[bytes | float] = [piece for _ in range(60) for piece in (b": ping\n\n", 0.2)]
    pieces = [*chat_stream("hello")[:-1], *life]
    assert DONE not in pieces
    assert ask(serve(streamed(pieces)), timeout_s=limit_s).text == "hello"


def test_a_long_stream_of_a_short_reply_is_fine(serve: Serve) -> None:
    """Reasoning comes in chunks of hundreds of bytes, of which nothing is kept."""
    thought = chunk({"reasoning_content": "hm"}, x="y" * 2000)
    pieces = [thought * 500] * (2 * MOST_BYTES // len(thought) // 500) + chat_stream("hello")
    assert sum(map(len, pieces)) > MOST_BYTES
    assert ask(serve(streamed(pieces)), timeout_s=60.0, silence_s=60.0).text == "hello"


@pytest.mark.parametrize("reply", [True, False], ids=["reply", "event"])
def test_a_reply_without_end_is_left(serve: Serve, reply: bool) -> None:
    """Its text is bounded as that of a whole answer, and so is one event."""
    piece = chunk({"content": "x" * 2**19}) if reply else b"data: " + b"x" * 2**19
    said = fault(
        streamed([piece] * (MOST_BYTES // 2**19 + 1)), serve, timeout_s=60.0, silence_s=60.0
    )
    assert "more than 8 MB" in said


# -- errors ----------------------------------------------------------------------------------------


def openrouter_error(code: int, message: str) -> bytes:
    return chunk({"content": ""}, "error", error={"code": code, "message": message}, provider="p")


ERRORS: dict[str, Callable[[int, str], bytes]] = {
    "OpenRouter": openrouter_error,
    "vLLM": lambda code, said: event({"error": {"message": said, "type": "E", "code": code}}) + DONE,
    "vLLM, formerly": lambda code, said: event(
        {"object": "error", "message": said, "type": "E", "param": None, "code": code}
    ) + DONE,
    "llama.cpp": lambda code, said: event(
        {"error": {"code": code, "message": said, "type": "server_error"}}
    ),
    "llama.cpp, formerly": lambda code, said: (
        b"error: " + json.dumps({"code": code, "message": said, "type": "x"}).encode() + b"\n\n"
    ),
    "LM Studio": lambda code, said: event({"error": {"message": said}, "code": code}, "error"),
    "text": lambda _, said: f"event: error\ndata: {said}\n\n".encode(),
}  # fmt: skip


@pytest.mark.parametrize("name", list(ERRORS))
@pytest.mark.parametrize("begun", [[], chat_stream("he")[:2]], ids=["at once", "amid the reply"])
def test_an_error_within_a_stream_is_sorted(serve: Serve, name: str, begun: list[bytes]) -> None:
    """By its words, as any error: an outage is waited out, a long prompt sheds, credit is a person's."""
    make = ERRORS[name]
    good = streamed(GOOD["chat"])
    server, context = (
        serve(streamed([*begun, make(502, f"provider down {KEY}")]), good),
        WaitingContext(),
    )
    assert ask(server, context).text == "hello"
    [(reason, _)] = context.waits
    assert KEY not in reason
    too_long = "This model's maximum context length is 8192 tokens, but you sent more"
    server, context = serve(streamed([*begun, make(400, too_long)]), good), WaitingContext()
    assert ask(server, context, LONG).text == "hello"
    assert context.waits == []
    assert length(server.requests[1]) < length(server.requests[0])
    with pytest.raises(AgentBlockedError, match=r"credit .* used up"):
        ask(serve(streamed([*begun, make(402, "Insufficient credits")])))


@pytest.mark.parametrize(
    "error",
    [event({"type": "error", "code": "server_error", "message": "oops", "param": None}, "error"),
     event({"type": "response.failed", "response": response(None, status="failed", output=[],
            error={"code": "server_error", "message": "oops"})}),
     event({"error": {"message": "oops", "type": "server_error"}})],
    ids=["error", "failed", "of the chat"],
)  # fmt: skip
def test_an_error_within_a_response_is_sorted(serve: Serve, error: bytes) -> None:
    """Under each of the names that it comes by."""
    for begun in ([], GOOD["responses"][:4]):
        assert "oops" in fault(streamed([*begun, error]), serve, api="responses")


@BOTH
def test_an_error_instead_of_a_stream_is_as_ever(serve: Serve, api: str) -> None:
    """Its status and its JSON."""
    server = serve(refusal(401, "Incorrect API key provided"))
    with pytest.raises(AgentBlockedError, match="refuses the key"):
        ask(server, api=api)


@pytest.mark.parametrize(
    ("param", "left"),
    [("stream_options", {"stream": True}), ("stream", {})],
)
def test_a_server_that_takes_no_streams_is_asked_without(
    serve: Serve, param: str, left: dict[str, object]
) -> None:
    """At once, and ever after; the counts of a stream are then as the server tells them."""
    no = refusal(
        400, f"Unsupported parameter: '{param}'", code="unsupported_parameter", param=param
    )
    answers = [streamed(GOOD["chat"]) if left else WHOLE["chat"]] * 2
    server, context = serve(no, *answers), WaitingContext()
    agent = agent_at(server.url, silence_s=5.0)
    for _ in answers:
        assert agent.propose(BRIEF, context).reply.text == "hello"
    assert [seconds for _, seconds in context.waits] == [0.0]
    for request in server.requests[1:]:
        sent = {name: value for name, value in request.items() if name.startswith("stream")}
        assert sent == left


def test_a_key_that_may_not_stream_gets_whole_answers(serve: Serve) -> None:
    """OpenAI streams some models to verified organisations alone."""
    no = refusal(
        400, "Your organization must be verified to stream this model.", code="unsupported_value",
        param="stream", type="invalid_request_error",
    )  # fmt: skip
    server = serve(no, Answer(body=response("hello")))
    assert ask(server, api="responses").text == "hello"
    assert "stream" not in server.requests[1]


def test_counts_of_responses_are_those_told(serve: Serve) -> None:
    """In the last event, or nowhere."""
    whole = response("hello", usage=None)
    reply = ask(serve(streamed(response_stream(whole))), api="responses")
    assert reply.tokens == Tokens()
    assert RESPONSE_USAGE["input_tokens"] == TOKENS.input
