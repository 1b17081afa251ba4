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

from orchestrator.agents.messages import event_line, read_event
from orchestrator.agents.openai_answers import ONLY_REASONING, cost_usd
from orchestrator.agents.openai_api import OpenAIAgent
from orchestrator.agents.openai_errors import (
    FIRST_PAUSE_S,
    LONGEST_PAUSE_S,
    pause_s,
    retry_after_s,
)
from orchestrator.config.endpoints import AgentConfig, Prices
from orchestrator.core.errors import AgentBlockedError, AutorlError, StopRequestedError, UserError
from orchestrator.core.experiments import Experiment
from orchestrator.core.records import Attempt, Files, Reply, Rung, Status, Tokens
from orchestrator.proposals.agent_events import Replied
from orchestrator.proposals.brief import Brief
from orchestrator.proposals.endings import ending
from orchestrator.proposals.prompt import build_messages
from tests.agents import endpoint_errors
from tests.fakes import Answer, ChatServer, SimulatedContext, WaitingContext, completion, refusal

KEY = "sk-top-secret-0123456789"
BRIEF = Brief(
    ordinal=1, program="Find the key.", files=Files("e = 1\n", "t = 1\n"), rung=Rung(12, 8), lead=1
)  # fmt: skip
HELLO = completion("hello")

Serve = Callable[..., ChatServer]


@pytest.fixture
def serve() -> Iterator[Serve]:
    """Start scripted servers that are closed afterwards."""
    servers: list[ChatServer] = []

    def start(*answers: Answer, port: int = 0) -> ChatServer:
        servers.append(ChatServer(*answers, port=port))
        return servers[-1]

    yield start
    for server in servers:
        server.close()


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


def test_cost_counts_cached_input_at_its_price() -> None:
    """Cached input has its own price, else that of other input."""
    tokens = Tokens(1_000_000, 400_000, 100_000, 50_000)
    assert cost_usd(tokens, Prices(input=1.0, cached=0.1, output=10.0)) == pytest.approx(1.64)
    assert cost_usd(tokens, Prices(input=1.0, output=10.0)) == pytest.approx(2.0)
    uncached = Tokens(1_000_000, None, 0, None)
    assert cost_usd(uncached, Prices(input=1.0, cached=0.0, output=1.0)) == 1.0
    assert cost_usd(Tokens(10, 99, 0, 0), Prices(input=1.0, cached=0.0, output=1.0)) == 0.0


@pytest.mark.parametrize(
    ("tokens", "prices"),
    [(Tokens(1, 1, 1, 1), None), (Tokens(None, None, 5), Prices(input=1.0, output=1.0)),
     (Tokens(5), Prices(input=1.0, output=1.0))],
)  # fmt: skip
def test_cost_may_be_unknown(tokens: Tokens, prices: Prices | None) -> None:
    """Without prices, or without counts, the cost is unknown and not 0."""
    assert cost_usd(tokens, prices) is None


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


# -- too long a prompt -----------------------------------------------------------------------------

LONG = replace(
    BRIEF,
    history=[
        Experiment(n, "t", False, Status.DISCARD, Rung(12, 8), "openai:m", description="x" * 200)
        for n in range(1, 201)
    ],
)


def length(request: dict[str, list[dict[str, str]]]) -> int:
    return sum(len(message["content"]) for message in request["messages"])


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


# -- errors and endings wherever they stand --------------------------------------------------------


@pytest.mark.parametrize("sent", endpoint_errors.TOO_LONG, ids=lambda sent: sent.server)
def test_too_long_in_any_words_sheds_history(serve: Serve, sent: endpoint_errors.Sent) -> None:
    """Whatever the server, its status and its words: less history at once, and no pause."""
    server, context = serve(Answer(sent.status, sent.body), HELLO), WaitingContext()
    assert agent_at(server.url).propose(LONG, context).reply.text == "hello"
    assert length(server.requests[1]) < length(server.requests[0])
    assert context.waits == []


@pytest.mark.parametrize(
    "sent", [*endpoint_errors.CREDIT, *endpoint_errors.KEY, *endpoint_errors.MODEL],
    ids=lambda sent: f"{sent.kind.value} {sent.server}",
)  # fmt: skip
def test_what_a_person_must_mend_pauses(serve: Serve, sent: endpoint_errors.Sent) -> None:
    """After one call, with the variable or the key of the configuration to look at."""
    said = blocked(serve(Answer(sent.status, sent.body)))
    assert "$OPENAI_API_KEY" in said


def test_a_rate_that_a_request_never_fits_sheds_history_until_it_does(serve: Serve) -> None:
    """429 with more tokens requested than the limit itself: a shorter prompt, again and again."""
    [tpm] = [sent for sent in endpoint_errors.TOO_LONG if sent.server == "openai tpm"]
    server, context = serve(*[Answer(429, tpm.body)] * 3, HELLO), WaitingContext()
    assert agent_at(server.url).propose(LONG, context).reply.text == "hello"
    assert context.waits == []


RATES = {
    "gemini": refusal(429, "You exceeded your current quota. * Quota exceeded for metric: "
                      "free_tier_input_token_count, limit: 15000, model: x Please retry in 34s.",
                      type="RESOURCE_EXHAUSTED"),
    "anthropic": refusal(429, "This request would exceed your organization's rate limit of 10,000 "
                         "input tokens per minute. Please reduce the prompt length, or try again "
                         "later.", type="rate_limit_error"),
    "openai": refusal(429, "Rate limit reached for m on tokens per min. Limit: 10000 / min. "
                      "Current: 12000 / min."),
}  # fmt: skip


@pytest.mark.parametrize("answer", RATES.values(), ids=list(RATES))
def test_a_rate_below_the_prompt_sheds_history(serve: Serve, answer: Answer) -> None:
    """The limit alone is said: a prompt above it never passes, a shorter one is waited out."""
    long = replace(LONG, history=[replace(past, description="x" * 400) for past in LONG.history])
    server, context = serve(*[answer] * 6, HELLO), WaitingContext()
    agent = agent_at(server.url)
    assert agent.propose(long, context).reply.text == "hello"
    lengths = [length(request) for request in server.requests]
    assert lengths[0] > 15_000 * 3.5 > lengths[-1]
    assert lengths[-1] == lengths[-2]
    assert context.waits


@pytest.mark.parametrize(
    "words",
    ["on requests per min. Limit: 3 / min. Current: 4 / min.",
     "exceed your organization's rate limit of 5 requests per minute",
     "Quota exceeded for metric: generate_requests, limit: 5"],
)  # fmt: skip
def test_a_rate_of_requests_sheds_nothing(serve: Serve, words: str) -> None:
    """Its number is no length."""
    server, context = (
        serve(refusal(429, words, type="RESOURCE_EXHAUSTED"), HELLO),
        WaitingContext(),
    )
    assert agent_at(server.url).propose(LONG, context).reply.text == "hello"
    assert len(context.waits) == 1
    assert length(server.requests[0]) == length(server.requests[1])


WORDS_OF_A_LENGTH = [
    refusal(400, "n_ctx overrun"),
    refusal(422, "the sequence has more characters than we take"),
    refusal(400, "context budget blown"),
]


@pytest.mark.parametrize("answer", WORDS_OF_A_LENGTH)
def test_a_refusal_that_may_be_of_the_length_is_tried_shorter(serve: Serve, answer: Answer) -> None:
    """In words that no table has: where a shorter prompt passes, the length it was."""
    server, context = serve(answer, answer, HELLO), WaitingContext()
    assert agent_at(server.url).propose(LONG, context).reply.text == "hello"
    assert length(server.requests[0]) > length(server.requests[2])
    assert context.waits == []


def test_a_refusal_of_any_length_is_what_it_says(serve: Serve) -> None:
    """The run pauses with the server's words, and the next prompt is as long as before."""
    refused = refusal(400, "max_tokens is above what this model supports")
    server = serve(*[refused] * 30)
    agent = agent_at(server.url)
    with pytest.raises(AgentBlockedError, match=r"refuses the request: HTTP 400: max_tokens is"):
        agent.propose(LONG, WaitingContext())
    tries = len(server.requests)
    assert tries < 12
    with pytest.raises(AgentBlockedError):
        agent.propose(LONG, WaitingContext())
    assert length(server.requests[tries]) == length(server.requests[0])


def test_a_prompt_that_never_fits_says_what_the_server_said(serve: Serve) -> None:
    """The run pauses, with the server's words: it may be the output limit that is too large."""
    server = serve(*[refusal(500, "Context size has been exceeded.")] * 30)
    with pytest.raises(AgentBlockedError, match=r"even without history.*Context size has been"):
        agent_at(server.url).propose(LONG, WaitingContext())


def test_a_filtered_prompt_is_the_experiments(serve: Serve) -> None:
    """Another prompt may pass: neither a wait nor a pause."""
    for sent in endpoint_errors.POLICY:
        assert ask(serve(Answer(sent.status, sent.body))).finish_reason == "content_filter"


@pytest.mark.parametrize(
    ("said", "is_filtered"),
    [
        ({"promptFeedback": {"blockReason": "SAFETY"}}, True),
        ({"prompt_filter_results": [{"content_filter_results": {
            "hate": {"filtered": False, "severity": "safe"}, "violence": {"filtered": True}}}]}, True),
        ({"prompt_filter_results": [{"content_filter_results": {"hate": {"filtered": False}}}]}, False),
        ({"prompt_filter_results": [None, {"content_filter_results": [True]}]}, False),
        ({"promptFeedback": {}}, False),
    ],
)  # fmt: skip
def test_a_filtered_prompt_may_come_with_no_choice(
    serve: Serve, said: dict[str, object], is_filtered: bool
) -> None:
    """What was filtered stands beside the empty list; any other empty list is waited out."""
    server, context = serve(Answer(body={"choices": []} | said), HELLO), WaitingContext()
    reply = ask(server, context)
    assert (reply.finish_reason == "content_filter") is is_filtered
    assert len(context.waits) == (not is_filtered)


def choice(**fields: object) -> Answer:
    message = {"role": "assistant", "content": "half"}
    return Answer(body={"choices": [{"index": 0, "message": message} | fields]})


@pytest.mark.parametrize(
    "answer",
    [
        choice(finish_reason="error"),
        choice(finish_reason="network_error"),
        choice(finish_reason="insufficient_system_resource"),
        choice(finish_reason="stop", error={"code": 502, "message": "Upstream error"}),
        choice(finish_reason="error", error={"code": 429, "message": "busy"}),
        choice(finish_reason="stop", error="broken"),
        Answer(body={"error": {"message": "late"}, "choices": [{"message": {"content": "half"}}]}),
    ],
    ids=["error", "network", "resource", "choice 502", "choice 429", "choice text", "beside"],
)  # fmt: skip
def test_a_reply_that_the_server_broke_off_is_waited_out(serve: Serve, answer: Answer) -> None:
    """Half of it is never used, and it uses up no try of the experiment."""
    context = WaitingContext()
    assert ask(serve(answer, HELLO), context).text == "hello"
    assert len(context.waits) == 1


@pytest.mark.parametrize(
    "finish", ["max_tokens", "MAX_TOKENS", "SAFETY", "sensitive", "wat", 7, ["x"]]
)
def test_no_odd_ending_is_a_normal_one(serve: Serve, finish: object) -> None:
    """What is cut, filtered or unknown arrives as such, and no edit is read from it."""
    assert ending(ask(serve(choice(finish_reason=finish))).finish_reason) in {"cut", "filtered"}


@pytest.mark.parametrize(
    "fields",
    [
        {"finish_reason": None, "native_finish_reason": "MAX_TOKENS"},
        {"finish_reason": "stop", "native_finish_reason": "length"},
        {"native_finish_reason": "length"},
        {"finish_details": {"type": "max_tokens"}},
        {"finish_reason": "stop", "finish_details": {"type": "max_tokens"}},
        {"stop_reason": "max_tokens"},
        {"done_reason": "length"},
        {"finish_reason": "stop", "incomplete_details": {"reason": "max_output_tokens"}},
        {"status": "incomplete"},
        *({"finish_reason": nothing} for nothing in (None, "", " ", 0, False, [])),
    ],
)
@pytest.mark.parametrize("outside", [False, True], ids=["choice", "answer"])
def test_a_bad_ending_counts_wherever_it_stands(
    serve: Serve, fields: dict[str, object], outside: bool
) -> None:
    """Beside a reason that says nothing or says `stop`, in the choice or outside of it."""
    answer = choice(**fields)
    if outside:
        answer = Answer(body={"choices": [{"message": {"content": "half"}}]} | fields)
    assert ending(ask(serve(answer)).finish_reason) == "cut"


@pytest.mark.parametrize(
    "fields",
    [
        {},
        {"finish_reason": "stop", "stop_reason": None},
        {"finish_reason": "stop", "stop_reason": "</s>"},
        {"finish_reason": "stop", "stop_reason": 151645},
        {"finish_reason": "stop", "native_finish_reason": "STOP", "status": "completed"},
        {"finish_reason": "stop", "native_finish_reason": None, "incomplete_details": None},
        {"finish_details": {"type": "stop", "stop": "<|im_end|>"}},
        {"stop_reason": "end_turn"},
    ],
)
def test_a_normal_ending_stays_normal(serve: Serve, fields: dict[str, object]) -> None:
    """What stands beside the reason is often null, a token of the model, or its number."""
    assert ending(ask(serve(choice(**fields))).finish_reason) == "complete"


@pytest.mark.parametrize("name", ["reasoning_content", "reasoning"])
def test_reasoning_is_no_answer(serve: Serve, name: str) -> None:
    """Beside an answer it is left out; alone it is none, and the record says so."""
    edit = "candidate/train.py\n```python\nLR = 1\n```"
    beside = {"role": "assistant", "content": "hi", name: edit}
    alone = {"role": "assistant", "content": "", name: edit}
    server = serve(choice(message=beside), choice(message=alone))
    agent = agent_at(server.url)
    assert agent.propose(BRIEF, WaitingContext()).reply.text == "hi"
    assert agent.propose(BRIEF, WaitingContext()).reply.text == ONLY_REASONING


def test_parts_that_are_thinking_are_no_answer(serve: Serve) -> None:
    """Of a message in parts only the text counts."""
    parts = [{"type": "thinking", "text": "a"}, {"type": "text", "text": "b"}, {"text": "c"},
             {"type": ["text"], "text": "d"}, {"type": "reasoning", "text": "e"}]  # fmt: skip
    assert ask(serve(completion(parts))).text == "bc"


@pytest.mark.parametrize(
    "body",
    [
        b'{"choices":' + b"[" * 200_000,
        b'{"choices":[{"message":{"content":'
        + b"[" * 400
        + b"]" * 400
        + b"}}]}"
        + b" " * 100
        + b"x",
        b'{"choices":' + b"9" * 5000 + b"}",
        b"\xff\xfe\x00\x00",
        b'{"error":' * 400 + b"1" + b"}" * 400,
    ],
    ids=["deep", "deep inside", "long number", "no text", "deep error"],
)
def test_json_without_end_is_waited_out(serve: Serve, body: bytes) -> None:
    """Nesting and numbers that Python's parser refuses are a broken answer, no bug."""
    context = WaitingContext()
    assert ask(serve(Answer(200, body), HELLO), context).text == "hello"
    assert len(context.waits) == 1


@pytest.mark.parametrize("count", [10**30, 10**400, -1, 1e3, "7", True, [1]])
def test_a_count_that_none_can_be_is_unknown(serve: Serve, count: object) -> None:
    """No ledger column and no limit ever sees it."""
    usage = {"prompt_tokens": count, "completion_tokens": 3}
    assert ask(serve(completion("hi", usage=usage))).tokens == Tokens(output=3)


def test_not_a_number_is_unknown(serve: Serve) -> None:
    """NaN and Infinity, which Python's parser takes, are no counts."""
    body = b'{"choices":[{"message":{"content":"hi"}}],"usage":{"prompt_tokens":NaN,'
    body += b'"completion_tokens":Infinity}}'
    assert ask(serve(Answer(200, body))).tokens == Tokens()


def test_halves_of_surrogates_reach_the_record(serve: Serve) -> None:
    """A reply may hold them; the message to the daemon keeps them."""
    reply = ask(serve(Answer(200, b'{"choices":[{"message":{"content":"a\\ud800b"}}]}')))
    event = read_event(event_line(Replied(reply)).removesuffix(b"\n"))
    assert isinstance(event, Replied)
    assert event.reply == reply


def test_a_redirect_pauses_with_the_address(serve: Serve) -> None:
    """The user decides where prompt and key go."""
    moved = Answer(308, b"", {"Location": "https://user:hunter2@elsewhere.example/v1"})
    said = blocked(serve(moved))
    assert "redirects to https://…@elsewhere.example/v1: set agent.base_url" in said


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
