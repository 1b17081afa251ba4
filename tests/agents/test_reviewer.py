"""The reviewer in a child process, against a real HTTP server on loopback."""

import json
import os
import select
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from orchestrator.agents.reviewer import ModelReviewer
from orchestrator.config.endpoints import AgentConfig, Prices
from orchestrator.core.records import Files, Tokens
from orchestrator.core.reviews import NoReview, Opinion, Review, ReviewRequest
from orchestrator.proposals.agent_events import AgentWaits, Reviewed, ReviewEvent
from orchestrator.proposals.review_prompt import ReviewBrief, build_review
from tests.fakes import Answer, ChatServer, completion, refusal

KEY = "sk-top-secret-0123456789"
BEFORE, AFTER = Files("r = 0\n", "t = 1\n"), Files("r = 0.05 # \ud800\n", "t = 1\n")
BRIEF = ReviewBrief(
    "Find the key.",
    ReviewRequest(BEFORE, AFTER, "a bonus", "it helps", ("reward",), ("score: 0 -> 1",)),
)
GAMING = '{"opinion": "gaming", "reason": "a bonus for existing"}'
EARNED = '{"opinion": "earned", "reason": "fine"}'
USAGE = {"prompt_tokens": 1000, "completion_tokens": 50,
         "prompt_tokens_details": {"cached_tokens": 200}}  # fmt: skip
PATIENCE_S = 30.0

Serve = Callable[..., ChatServer]
Make = Callable[..., ModelReviewer]


@pytest.fixture
def serve() -> Iterator[Serve]:
    """Start scripted servers that are closed afterwards."""
    servers: list[ChatServer] = []

    def start(*answers: Answer) -> ChatServer:
        servers.append(ChatServer(*answers, review=None))
        return servers[-1]

    yield start
    for server in servers:
        server.close()


@pytest.fixture
def make(monkeypatch: pytest.MonkeyPatch) -> Iterator[Make]:
    """Make reviewers with a key in the environment, which are closed afterwards."""
    monkeypatch.setenv("OPENAI_API_KEY", KEY)
    reviewers: list[ModelReviewer] = []

    def start(url: str, **options: object) -> ModelReviewer:
        reviewers.append(ModelReviewer(settings(url, **options)))
        return reviewers[-1]

    yield start
    for reviewer in reviewers:
        reviewer.close()


def settings(url: str, **options: object) -> AgentConfig:
    known = {"model": "m", "base_url": url, "timeout_s": 20.0}
    return AgentConfig(**known | options)  # type: ignore[arg-type]


def children() -> set[int]:
    """Return the children of this process that live or are not reaped."""
    file = Path(f"/proc/{os.getpid()}/task/{os.getpid()}/children")
    return {int(word) for word in file.read_text().split()}


def gone(reviewer: ModelReviewer, before: set[int]) -> None:
    """Poll until there are no other processes than before; there must be no news meanwhile."""
    deadline = time.monotonic() + PATIENCE_S
    while children() != before:
        assert time.monotonic() < deadline
        assert reviewer.poll() == []


def news(reviewer: ModelReviewer) -> list[tuple[str, ReviewEvent]]:
    """Wait as the engine does, by descriptors and timeout alone, until there is news."""
    deadline = time.monotonic() + PATIENCE_S
    while time.monotonic() < deadline:
        due_s = reviewer.timeout_s()
        left_s = deadline - time.monotonic()
        select.select(list(reviewer.descriptors()), [], [], left_s if due_s is None else due_s)
        if events := reviewer.poll():
            return list(events)
    raise AssertionError("no news")


def ended(reviewer: ModelReviewer, waits: list[AgentWaits] | None = None) -> Reviewed:
    """Return what came of the one review in flight; collect pauses before it."""
    while True:
        for _, event in news(reviewer):
            if isinstance(event, Reviewed):
                return event
            if waits is not None:
                waits.append(event)


def refused(reviewer: ModelReviewer) -> str:
    """Return why there is no review."""
    answer = ended(reviewer).answer
    assert isinstance(answer, NoReview)
    return answer.reason


def test_a_review_comes_with_its_cost(serve: Serve, make: Make) -> None:
    """Opinion, reason, who gave it, tokens, dollars, and the chat as it was sent."""
    server = serve(completion(f"```json\n{GAMING}\n```", usage=USAGE))
    reviewer = make(server.url, prices=Prices(input=10.0, cached=1.0, output=100.0))
    assert reviewer.name == "openai:m"
    before = children()
    reviewer.ask("k", BRIEF)
    [(key, event)] = news(reviewer)
    assert key == "k"
    assert isinstance(event, Reviewed)
    assert isinstance(event.answer, Review)
    assert event.answer == Review(
        Opinion.GAMING, "a bonus for existing", "openai:m", Tokens(1000, 200, 50, None),
        pytest.approx(0.0132),
    )  # fmt: skip
    assert event.sent == tuple(build_review(BRIEF, context_tokens=64_000))
    assert event.text.startswith("```json")
    assert server.headers[0]["authorization"] == f"Bearer {KEY}"
    assert reviewer.timeout_s() is None
    gone(reviewer, before)  # reviews are rare: no process is kept for the next one


def test_two_reviews_at_once(serve: Serve, make: Make) -> None:
    """Lanes may need them at the same time."""
    server = serve(completion(GAMING), completion(GAMING))
    reviewer = make(server.url)
    reviewer.ask("1", BRIEF)
    reviewer.ask("2", BRIEF)
    keys: set[str] = set()
    while len(keys) < 2:
        keys |= {key for key, _ in news(reviewer)}
    assert (keys, len(server.requests)) == ({"1", "2"}, 2)


def test_a_broken_answer_is_no_review(serve: Serve, make: Make) -> None:
    """Asked once, not again; what it cost counts."""
    server = serve(completion("I think it is fine", usage=USAGE), completion(EARNED))
    reviewer = make(server.url)
    reviewer.ask("k", BRIEF)
    event = ended(reviewer)
    assert isinstance(event.answer, NoReview)
    assert "no JSON object: I think it is fine" in event.answer.reason
    assert event.answer.tokens.total == 1050
    assert event.text == "I think it is fine"
    assert len(server.requests) == 1


@pytest.mark.parametrize(
    ("answer", "why"),
    [
        (refusal(401, f"wrong key {KEY}"), "refuses the key in $OPENAI_API_KEY"),
        (refusal(404, "no such model"), "no model m at"),
        (Answer(200, {"error": {"message": "quota", "code": "insufficient_quota"}}), "quota"),
        (refusal(400, "what is this"), "the endpoint refuses the request"),
    ],
)
def test_what_needs_the_user_pauses_nothing(
    answer: Answer, why: str, serve: Serve, make: Make
) -> None:
    """It is why there is no review, at once, and shows no key."""
    server = serve(answer, completion(EARNED))
    reviewer = make(server.url)
    reviewer.ask("k", BRIEF)
    reason = refused(reviewer)
    assert reason.startswith("openai:m can't review: ")
    assert why in reason
    assert KEY not in reason
    assert len(server.requests) == 1


@pytest.mark.parametrize(
    "answer",
    [
        refusal(503, "busy"),
        Answer(429, {"error": {"message": "slow down"}}, {"retry-after": "0"}),
        Answer(200, {"error": {"message": "overloaded", "code": 503}}),
    ],
)
def test_what_passes_is_tried_again(answer: Answer, serve: Serve, make: Make) -> None:
    """A few times within the time limit; each pause is told."""
    server = serve(answer, completion(EARNED))
    reviewer = make(server.url)
    reviewer.ask("k", BRIEF)
    waits: list[AgentWaits] = []
    answered = ended(reviewer, waits).answer
    assert isinstance(answered, Review)
    assert (answered.opinion, len(waits), len(server.requests)) == (Opinion.EARNED, 1, 2)


def test_a_slow_endpoint_delays_nothing_for_long(serve: Serve, make: Make) -> None:
    """Silent, or a byte now and then: the limit is of the whole review."""
    before = children()
    for answer in (
        replace(completion(EARNED), delay_s=60),
        replace(completion(EARNED), trickle_s=1),
    ):
        reviewer = make(serve(answer).url, timeout_s=2.0)
        began = time.monotonic()
        reviewer.ask("k", BRIEF)
        assert "within 2 s" in refused(reviewer)
        assert time.monotonic() - began < 4.0
        assert reviewer.timeout_s() is None
        gone(reviewer, before)


def test_an_endpoint_that_stays_busy_is_given_up(serve: Serve, make: Make) -> None:
    """As soon as it asks for a longer pause than there is time left."""
    busy = Answer(429, {"error": {"message": "slow down"}}, {"retry-after": "120"})
    reviewer = make(serve(busy).url)
    began = time.monotonic()
    reviewer.ask("k", BRIEF)
    reason = refused(reviewer)
    assert "within 20 s" in reason
    assert "slow down" in reason
    assert time.monotonic() - began < 10.0
    nobody = make("http://127.0.0.1:9/v1", timeout_s=3.0)
    nobody.ask("k", BRIEF)
    assert "within 3 s" in refused(nobody)


def test_too_long_a_prompt_is_cut(serve: Serve, make: Make) -> None:
    """The server's limit may be below the configured one."""
    too_long = refusal(
        400, "This model's maximum context length is 2000 tokens", code="context_length_exceeded"
    )
    server = serve(too_long, completion(EARNED))
    long = replace(BRIEF.request, after=Files("x = 1\n" * 30_000, "t = 1\n"))
    reviewer = make(server.url)
    reviewer.ask("k", replace(BRIEF, request=long))
    event = ended(reviewer)
    assert isinstance(event.answer, Review)
    first, second = (len(json.dumps(request)) for request in server.requests)
    assert second < first
    assert "its middle is left out" in event.sent[1].content


def test_a_cancelled_review_leaves_nothing(serve: Serve, make: Make) -> None:
    """No news, no process."""
    before = children()
    reviewer = make(serve(replace(completion(EARNED), delay_s=60)).url)
    reviewer.ask("k", BRIEF)
    assert reviewer.poll() == []
    assert children() != before
    reviewer.cancel("k")
    gone(reviewer, before)
    assert reviewer.timeout_s() is None


def test_another_reviewer_takes_over(serve: Serve, make: Make) -> None:
    """After a reload: what is in flight is asked of the new one; of nobody, it ends."""
    held = threading.Event()
    reviewer = make(serve(replace(completion(EARNED), held_by=held)).url)
    reviewer.ask("k", BRIEF)
    reviewer.poll()
    other = serve(completion(GAMING), replace(completion(EARNED), delay_s=60))
    reviewer.replace(settings(other.url, model="other"))
    assert reviewer.name == "openai:other"
    answer = ended(reviewer).answer
    assert isinstance(answer, Review)
    assert (answer.opinion, answer.by) == (Opinion.GAMING, "openai:other")
    reviewer.ask("k2", BRIEF)
    reviewer.poll()
    reviewer.replace(None)
    assert reviewer.name is None
    assert reviewer.timeout_s() == 0.0
    assert "turned off" in refused(reviewer)
    assert (reviewer.poll(), list(reviewer.descriptors()), reviewer.timeout_s()) == ([], [], None)
