"""The openai agent and what passes by itself: busy endpoints, spoilt answers, refused connections."""

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

from orchestrator.agents.openai_errors import (
    FIRST_PAUSE_S,
    LONGEST_PAUSE_S,
    pause_s,
    retry_after_s,
)
from orchestrator.core.errors import AgentBlockedError, StopRequestedError
from tests.agents.openai_rig import BRIEF, HELLO, Serve, agent_at, ask, blocked
from tests.fakes import Answer, ChatServer, SimulatedContext, WaitingContext, completion, refusal

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
