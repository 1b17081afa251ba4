"""The openai agent against a real HTTP server on loopback: good answers, bad ones, and none."""

import datetime as dt
import email.utils
import itertools
import json
import os
import socket
import time
from collections.abc import Callable, Iterator
from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from orchestrator.agents.openai_answers import ONLY_REASONING
from orchestrator.agents.openai_api import OpenAIAgent
from orchestrator.agents.openai_errors import (
    FIRST_PAUSE_S,
    LONGEST_PAUSE_S,
    pause_s,
    retry_after_s,
)
from orchestrator.config.endpoints import AgentConfig, Prices
from orchestrator.core.errors import AgentBlockedError, AutorlError, StopRequestedError, UserError
from orchestrator.core.records import Reply, Tokens
from orchestrator.proposals.prompt import build_messages
from tests.agents.openai_rig import BRIEF, HELLO, KEY, Serve, agent_at, ask, blocked
from tests.fakes import Answer, ChatServer, SimulatedContext, WaitingContext, completion, refusal

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


# -- what passes by itself -------------------------------------------------------------------------

TRANSIENT = {
    "429": refusal(429, "slow down", code="rate_limit_exceeded"),
    "429 html": Answer(429, "<html>busy</html>"),
    "408": refusal(408),
    "409": refusal(409),
    "500": refusal(500, "oops"),
    "502 html": Answer(502, "<html>bad gateway</html>"),
    "503 loading": refusal(503, "Loading model"),
    "529": refusal(529, "overloaded"),
    "html with 200": Answer(200, "<html>hello</html>"),
    "text with 200": Answer(200, "hello", {"content-type": "text/plain"}),
    "no json": Answer(200, b"{not json"),
    "no utf-8": Answer(200, b'{"a": "\xff\xfe"}'),
    "half json": Answer(200, b'{"choices": [{"mess'),
    "empty body": Answer(200, b""),
    "json list": Answer(200, b"[]"),
    "json null": Answer(200, b"null"),
    "json number": Answer(200, b"5"),
    "json text": Answer(200, b'"hello"'),
    "empty choices": Answer(body={"choices": []}),
    "null choices": Answer(body={"choices": None}),
    "no choices": Answer(body={"id": "x"}),
    "choices no list": Answer(body={"choices": {"0": "x"}}),
    "choices of text": Answer(body={"choices": ["x"]}),
    "choices of null": Answer(body={"choices": [None]}),
    "no message": Answer(body={"choices": [{"finish_reason": "stop"}]}),
    "null message": Answer(body={"choices": [{"message": None}]}),
    "error with 200": Answer(body={"error": {"message": "provider down", "code": 502}}),
    "cut in the middle": replace(HELLO, cut_at=20),
    "cut before the body": replace(HELLO, cut_at=0),
    "bad gzip": Answer(200, b"xxxx", {"content-encoding": "gzip"}),
}


@pytest.mark.parametrize("answer", TRANSIENT.values(), ids=list(TRANSIENT))
def test_what_passes_is_waited_out(serve: Serve, answer: Answer) -> None:
    """Overload, outages, and answers that are broken or no answers are tried again after a pause."""
    server, context = serve(answer, HELLO), WaitingContext()
    assert ask(server, context).text == "hello"
    ((reason, seconds),) = context.waits
    assert 0.5 <= seconds <= 5
    assert reason
    assert len(reason) <= 200


@pytest.mark.system
@pytest.mark.parametrize("sized", [True, False], ids=["sized", "unsized"])
def test_a_body_cut_at_any_byte_is_no_reply(serve: Serve, sized: bool) -> None:
    """Wherever the connection breaks off, the half answer is waited out and never used."""
    body = {"choices": [{"message": {"content": "hi"}, "finish_reason": "stop"}]}
    whole, size = Answer(body=body, sized=sized), len(json.dumps(body))
    step = 1 if os.environ.get("TESTS_LONG") else 3
    cuts = range(0, size, step if sized else 7)
    server = serve(*[answer for cut in cuts for answer in (replace(whole, cut_at=cut), whole)])
    agent = agent_at(server.url)
    for cut in cuts:
        context = WaitingContext()
        assert agent.propose(BRIEF, context).reply.text == "hi"
        assert len(context.waits) == 1, f"cut at {cut} of {size}"


OF_THE_MODEL = [
    "the value model was not found to help: insufficient funds for more of it",
    "the maximum context length of the episode is exceeded",
    "states flagged as terminal; invalid api key to the door",
]


@pytest.mark.parametrize("words", OF_THE_MODEL)
@pytest.mark.parametrize("status", [200, 502])
def test_words_of_the_model_are_no_error(serve: Serve, words: str, status: int) -> None:
    """However a reply is broken: cut JSON, Python's writing of it, a stream, or text alone."""
    body = completion(words, usage={"prompt_tokens": 1, "completion_tokens": 1}).body
    broken = [json.dumps(body)[:-60], str(body), f"data: {json.dumps(body)}", f": on\n{words}"]
    if status == 200:
        broken.append(f"{words} " * 20)
    answers = [Answer(status, text) for text in broken]
    server, context = serve(*answers, HELLO), WaitingContext()
    assert ask(server, context).text == "hello"
    assert len(context.waits) == len(answers)


def test_a_broken_error_is_still_read(serve: Serve) -> None:
    """With 4xx no model was asked: the words are the server's."""
    half = json.dumps({"error": {"message": "Incorrect API key provided", "type": "x"}})[:-10]
    assert "refuses the key" in blocked(serve(Answer(400, half)))


@pytest.mark.parametrize("status", [201, 202, 299])
def test_any_good_status_may_bring_a_reply(serve: Serve, status: int) -> None:
    """Some gateways answer a POST with 201."""
    assert ask(serve(replace(HELLO, status=status))).text == "hello"


@pytest.mark.parametrize("page", [Answer(200, "<html>Log in</html>"), Answer(200, {"done": True})])
def test_an_address_of_no_chat_api_pauses_in_the_end(serve: Serve, page: Answer) -> None:
    """A page of a portal may pass; one that stays is a wrong address."""
    context = WaitingContext()
    assert ask(serve(*[page] * 11, refusal(503), *[page] * 11, HELLO), context).text == "hello"
    assert len(context.waits) == 23
    with pytest.raises(AgentBlockedError, match=r"not as a chat API \(agent\.base_url\)"):
        ask(serve(*[page] * 12, HELLO))


def test_one_try_is_one_call(serve: Serve) -> None:
    """The client does not retry behind our back: every try is one request and one visible pause."""
    server, context = serve(*[refusal(500)] * 6, HELLO), WaitingContext()
    ask(server, context)
    assert len(server.requests) == 7
    assert len(context.waits) == 6


def test_pauses_grow_and_are_capped(serve: Serve) -> None:
    """Pauses about double from try to try, up to five minutes."""
    server, context = serve(*[refusal(503)] * 12, HELLO), WaitingContext()
    ask(server, context)
    ceilings = [min(2.0**k, LONGEST_PAUSE_S) for k in range(1, 13)]
    for (_, seconds), ceiling in zip(context.waits, ceilings, strict=True):
        assert ceiling / 2 <= seconds <= ceiling


@pytest.mark.parametrize(
    ("value", "low", "high"),
    [
        ("7", 7, 7),
        ("0.5", 0.5, 0.5),
        ("0", 0, 0),
        ("-5", 0, 0),
        (" 30 ", 30, 30),
        ("86400", LONGEST_PAUSE_S, LONGEST_PAUSE_S),
        ("9" * 400, LONGEST_PAUSE_S, LONGEST_PAUSE_S),
        ("nan", 1, 2),
        ("inf", 1, 2),
        ("soon", 1, 2),
        ("", 1, 2),
        ("1e3", 1, 2),
        ("Mon, 99 Foo 2026", 1, 2),
        ("Sun, 06 Nov 1994 08:49:37 GMT", 0, 0),
        ("Fri, 31 Dec 9999 23:59:59 GMT", LONGEST_PAUSE_S, LONGEST_PAUSE_S),
    ],
)
def test_retry_after_is_honoured_and_capped(
    serve: Serve, value: str, low: float, high: float
) -> None:
    """The server's wish counts, up to five minutes; one that can't be read counts as none."""
    context = WaitingContext()
    ask(serve(replace(refusal(429), headers={"Retry-After": value}), HELLO), context)
    assert low <= context.waits[0][1] <= high


def test_retry_after_may_be_a_date(serve: Serve) -> None:
    """A Retry-After date is waited for."""
    when = dt.datetime.now(dt.UTC) + dt.timedelta(seconds=60)
    header = {"Retry-After": email.utils.format_datetime(when, usegmt=True)}
    context = WaitingContext()
    ask(serve(replace(refusal(503), headers=header), HELLO), context)
    assert 50 <= context.waits[0][1] <= 60


def test_retry_after_zero_is_no_licence_to_hammer(serve: Serve) -> None:
    """A server that keeps saying "at once" gets growing pauses after a few tries."""
    hasty = replace(refusal(429), headers={"Retry-After": "0"})
    context = WaitingContext()
    ask(serve(*[hasty] * 8, HELLO), context)
    assert [seconds for _, seconds in context.waits[:3]] == [0, 0, 0]
    assert all(seconds >= 8 for _, seconds in context.waits[3:])


@settings(deadline=None)
@given(st.text(max_size=40) | st.from_regex(r"\A\w{3}, \d+ \w{3} \d+ [\d:]+ [-+\w]+\Z"))
def test_any_retry_after_is_seconds_or_none(value: str) -> None:
    """Whatever stands in the header, it is a number of seconds, not negative, or nothing."""
    seconds = retry_after_s({"retry-after": value})
    assert seconds is None or seconds >= 0


@pytest.fixture
def closed_port() -> Iterator[int]:
    """A port that refuses connections until a server of this process listens on it."""
    with socket.socket() as holder:
        # Kept bound, so that no other program is given the port; the server shares the address.
        holder.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        holder.bind(("127.0.0.1", 0))
        yield holder.getsockname()[1]


def test_refused_connection_is_waited_out(serve: Serve, closed_port: int) -> None:
    """A server that is down is asked again until it is up."""

    def start_at_the_third() -> None:
        if len(context.waits) == 3:
            serve(HELLO, port=closed_port)

    context = WaitingContext(on_wait=start_at_the_third)
    agent = agent_at(f"http://127.0.0.1:{closed_port}/v1")
    assert agent.propose(BRIEF, context).reply.text == "hello"
    assert len(context.waits) == 3
    assert "Connection" in context.waits[0][0]


HOUR_S = 3600.0


@pytest.mark.system
def test_six_hours_of_refused_connections_neither_hammer_nor_give_up(closed_port: int) -> None:
    """Real refusals, simulated hours: pauses grow to the cap, differ, and never end the run."""
    context = SimulatedContext(ends_at_s=6 * HOUR_S)
    agent = agent_at(f"http://127.0.0.1:{closed_port}/v1")
    with pytest.raises(StopRequestedError):  # it was still trying when the time was over
        agent.propose(BRIEF, context)
    growing, steady = context.waits[:7], context.waits[8:]
    assert all(a < b for a, b in itertools.pairwise(growing))
    assert all(LONGEST_PAUSE_S / 2 <= seconds <= LONGEST_PAUSE_S for seconds in steady)
    assert len({round(seconds, 3) for seconds in steady}) > len(steady) / 2
    # Most: seven pauses of a second and more, then one each 150 s. Least: one each 300 s.
    assert (
        6 * HOUR_S / LONGEST_PAUSE_S <= len(context.waits) <= 8 + 6 * HOUR_S / (LONGEST_PAUSE_S / 2)
    )


@pytest.mark.system
def test_after_hours_the_first_call_that_is_answered_goes_through(
    serve: Serve, closed_port: int
) -> None:
    """The server is back after two simulated hours: it is found within one pause, by one call."""
    back_s = 2 * HOUR_S
    servers: list[ChatServer] = []

    def come_back(now_s: float) -> None:
        if now_s >= back_s and not servers:
            servers.append(serve(HELLO, port=closed_port))

    context = SimulatedContext(ends_at_s=24 * HOUR_S, on_wait=come_back)
    assert (
        agent_at(f"http://127.0.0.1:{closed_port}/v1").propose(BRIEF, context).reply.text == "hello"
    )
    assert back_s <= context.now_s <= back_s + LONGEST_PAUSE_S
    assert len(servers[0].requests) == 1


@given(
    failures=st.integers(1, 10**9),
    wish=st.none() | st.floats(0, allow_nan=False),
    jitter=st.floats(0, 1),
)
def test_any_pause_is_bounded(failures: int, wish: float | None, jitter: float) -> None:
    """At most five minutes; after the first tries at least half of what the failures earned."""
    seconds = pause_s(failures, wish, jitter=jitter)
    assert 0 <= seconds <= LONGEST_PAUSE_S
    if wish is None or failures > 3:
        assert seconds >= min(FIRST_PAUSE_S * 2.0 ** min(failures - 1, 16), LONGEST_PAUSE_S) / 2
    if wish is None:
        assert pause_s(failures + 1, None, jitter=jitter) >= seconds


@pytest.mark.parametrize(
    "slow",
    [replace(HELLO, delay_s=30), replace(HELLO, trickle_s=0.3)],
    ids=["silent", "trickling"],
)
def test_slow_answers_time_out(serve: Serve, slow: Answer) -> None:
    """A server that is silent, or sends a byte now and then, is given up after timeout_s in all."""
    server, context = serve(slow, HELLO), WaitingContext()
    started = time.monotonic()
    assert ask(server, context, timeout_s=0.4).text == "hello"
    assert time.monotonic() - started < 20  # either answer takes 30
    assert len(context.waits) == 1


def test_stop_out_of_a_wait_passes_through(serve: Serve) -> None:
    """A run that is ended while the agent waits ends at once."""

    def stop() -> None:
        raise StopRequestedError("stopped")

    server = serve(refusal(500))
    with pytest.raises(StopRequestedError, match="stopped"):
        ask(server, WaitingContext(on_wait=stop))
    assert len(server.requests) == 1


def test_stop_out_of_a_call_passes_through(serve: Serve) -> None:
    """A run that is ended while the model answers ends at once, and nothing is tried again."""

    class StoppingContext(WaitingContext):
        def call(self, function: Callable[[], object], timeout_s: float) -> object:  # type: ignore[override]
            raise StopRequestedError("stopped")

    context = StoppingContext()
    with pytest.raises(StopRequestedError, match="stopped"):
        ask(serve(), context)
    assert context.waits == []


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
