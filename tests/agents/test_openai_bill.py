"""What calls of the chat API cost, those that fail among them."""

import socket

import pytest

from orchestrator.config.endpoints import Prices
from orchestrator.core.records import Tokens
from tests.agents.conftest import Serve
from tests.agents.openai_rig import HELLO, ask
from tests.fakes import Answer, ChatServer, WaitingContext, completion, refusal

PRICES = Prices(input=1.0, cached=0.5, output=10.0)
USAGE = {"prompt_tokens": 1000, "completion_tokens": 100}


@pytest.mark.parametrize("finish", ["length", "content_filter", "stop"])
def test_an_answer_is_billed_however_it_ended(serve: Serve, finish: str) -> None:
    """Cut and filtered ones are the experiment's, and are no use, and cost what the others do."""
    reply = ask(serve(completion("part", finish, usage=USAGE)), prices=PRICES)
    assert (reply.tokens, reply.cost_usd) == (Tokens(1000, None, 100), pytest.approx(0.002))


def test_a_filtered_prompt_is_billed_if_the_server_says_so(serve: Serve) -> None:
    """Beside choices that are none, and in a refusal."""
    gemini = Answer(200, {"promptFeedback": {"blockReason": "SAFETY"}, "usage": USAGE})
    reply = ask(serve(gemini), prices=PRICES)
    assert (reply.finish_reason, reply.cost_usd) == ("content_filter", pytest.approx(0.002))
    error = {"message": "filtered", "code": "content_filter"}
    reply = ask(serve(Answer(400, {"error": error, "usage": USAGE})), prices=PRICES)
    assert (reply.finish_reason, reply.cost_usd) == ("content_filter", pytest.approx(0.002))


def test_broken_replies_are_billed_with_the_one_that_follows(serve: Serve) -> None:
    """Each was paid for, and the daemon hears that it may have been."""
    context = WaitingContext()
    broken = completion("par", "error", usage=USAGE)
    server = serve(broken, broken, completion("hello", usage=USAGE), completion("x", usage=USAGE))
    reply = ask(server, context, prices=PRICES)
    assert (reply.text, reply.tokens) == ("hello", Tokens(3000, None, 300))
    assert reply.cost_usd == pytest.approx(0.006)
    assert context.billed == [True, True]


@pytest.mark.parametrize(
    ("answer", "may_be"),
    [
        (refusal(429, "slow down"), False),
        (refusal(503, "overloaded"), False),
        (Answer(200, b'{"choices": [{"mess'), True),
        (Answer(200, completion("hello").body, cut_at=20), True),
        (Answer(200, completion("hello").body, delay_s=3.0), True),
    ],
    ids=["busy", "down", "half of an answer", "hung up", "no answer in time"],
)
def test_only_what_was_broken_off_may_be_billed(serve: Serve, answer: Answer, may_be: bool) -> None:
    """What the endpoint refuses costs nothing; what it began may."""
    context = WaitingContext()
    assert ask(serve(answer, HELLO), context, timeout_s=1.0).text == "hello"
    assert context.billed == [may_be]


def test_a_call_that_was_never_taken_is_not_billed() -> None:
    """Nobody listens there at first."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    server: list[ChatServer] = []
    context = WaitingContext(lambda: server.append(ChatServer(HELLO, port=port)))
    stand_in = type("Server", (), {"url": f"http://127.0.0.1:{port}/v1"})
    try:
        assert ask(stand_in(), context).text == "hello"  # type: ignore[arg-type]
    finally:
        for each in server:
            each.close()
    assert context.billed == [False]


@pytest.mark.parametrize(
    ("usage", "output"),
    [
        ({"prompt_tokens": 10, "completion_tokens": 5, "total_tokens": 15}, 5),
        ({"prompt_tokens": 10, "completion_tokens": 5, "total_tokens": 515}, 505),
        ({"prompt_tokens": 10, "completion_tokens": 5, "total_tokens": 3}, 5),
        ({"prompt_tokens": 10, "completion_tokens": 5, "total_tokens": "many"}, 5),
        ({"prompt_tokens": 10, "total_tokens": 30}, None),
    ],
    ids=["all", "reasoning apart", "too few", "no number", "no output"],
)
def test_reasoning_outside_the_output_is_output(
    serve: Serve, usage: dict[str, object], output: int | None
) -> None:
    """Some servers count it in the total alone, and bill it."""
    assert ask(serve(completion("hi", usage=usage))).tokens == Tokens(10, None, output)
