"""Errors and endings, wherever in an answer they stand."""

from dataclasses import replace

import pytest

from orchestrator.agents.messages import event_line, read_event
from orchestrator.agents.openai_answers import ONLY_REASONING
from orchestrator.core.errors import AgentBlockedError
from orchestrator.core.records import Tokens
from orchestrator.proposals.agent_events import Replied
from orchestrator.proposals.endings import ending
from tests.agents import endpoint_errors
from tests.agents.openai_rig import BRIEF, HELLO, LONG, Serve, agent_at, ask, blocked, length
from tests.fakes import Answer, WaitingContext, completion, refusal


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
