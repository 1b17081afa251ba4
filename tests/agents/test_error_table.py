"""Errors of servers, in the words that each of them sends, and what they mean."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from orchestrator.agents.error_facts import read_error
from orchestrator.agents.error_table import Kind, kind_of
from orchestrator.agents.openai_answers import error_in
from tests.agents.endpoint_errors import ALL, BUSY, CREDIT, TOO_LONG, Sent


def sorted_as(sent: Sent, status: int | None = None) -> Kind:
    """Sort an error as the agent does, perhaps with another status."""
    said = error_in(sent.body) or sent.body
    facts = read_error(said)
    http = status or sent.status
    return kind_of(facts.status or (http if http >= 400 else None), facts.text)


@pytest.mark.parametrize("sent", ALL, ids=lambda sent: f"{sent.kind.value} {sent.server}")
def test_an_error_means_what_its_server_means(sent: Sent) -> None:
    """Too long, credit, key, model, permission, busy or filtered, whatever the words and place."""
    assert sorted_as(sent) is sent.kind


@pytest.mark.parametrize("status", [200, 400, 429, 500, 503])
@pytest.mark.parametrize(
    "sent", [s for s in (*TOO_LONG, *CREDIT) if not isinstance(s.body, str) or s.status == 400],
    ids=lambda sent: f"{sent.kind.value} {sent.server}",
)  # fmt: skip
def test_the_words_count_whatever_the_status(sent: Sent, status: int) -> None:
    """A gateway that passes an error on with another status changes nothing about it."""
    assert sorted_as(sent, status) is sent.kind


@pytest.mark.parametrize("sent", ALL, ids=lambda sent: f"{sent.kind.value} {sent.server}")
def test_the_words_count_wherever_they_stand(sent: Sent) -> None:
    """In an array, below `detail`, or as JSON in a string of another error."""
    if isinstance(sent.body, str) or "choices" in sent.body:
        return
    for body in ([sent.body], {"detail": sent.body}, {"error": {"message": json.dumps(sent.body)}}):
        assert sorted_as(sent._replace(body=body)) is sent.kind, body


def test_what_echoes_the_request_says_nothing() -> None:
    """A validation error may quote the whole prompt, and a prompt may hold any words."""
    quoted = {
        "detail": [{"type": "missing", "msg": "Field required", "input": s.body} for s in ALL]
    }
    assert kind_of(422, read_error(quoted).text) is Kind.REFUSED


def test_a_page_of_a_proxy_is_sorted_by_its_status_alone() -> None:
    """Its words are anybody's."""
    page = "<html><body>maximum context length; invalid api key; insufficient credits</body></html>"
    assert kind_of(502, read_error(page).text) is Kind.BUSY
    assert kind_of(404, read_error({"message": page}).text) is Kind.MODEL


@pytest.mark.parametrize(
    ("limit", "requested", "kind"),
    [("30000", "36278", Kind.TOO_LONG), ("30,000", "30,001", Kind.TOO_LONG),
     ("30000", "30000", Kind.BUSY), ("200000", "6000", Kind.BUSY)],
)  # fmt: skip
def test_a_request_larger_than_the_limit_itself_is_too_long(
    limit: str, requested: str, kind: Kind
) -> None:
    """It never passes, while a smaller one does as soon as others are out of the window."""
    text = f"on tokens per min (TPM): Limit {limit}, Used 100, Requested {requested}. Try again"
    assert kind_of(429, text) is kind


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3)
    | st.dictionaries(
        st.sampled_from(["error", "message", "code", "status", "detail", "metadata", "raw", "param",
                         "type", "loc", "choices"]),
        inner, max_size=4,
    ),
    max_leaves=15,
)  # fmt: skip


@given(body=JSON, status=st.none() | st.integers(100, 999))
def test_any_body_has_a_meaning(body: object, status: int | None) -> None:
    """No JSON, however odd its numbers, is a bug."""
    facts = read_error(body)
    assert isinstance(kind_of(status, facts.text), Kind)
    assert facts.status is None or 400 <= facts.status <= 599


def test_a_body_without_end_is_read_within_bounds() -> None:
    """Deep, wide and long ones: a bounded part of them counts."""
    deep: object = "x"
    for _ in range(300):
        deep = {"error": deep}
    wide = {"error": {"errors": [{"message": "y" * 10_000}] * 100_000}}
    assert len(read_error(deep).text) < 10_000
    assert len(read_error(wide).text) < 10_000
    assert read_error({"error": {"code": 10**4000, "status": float("nan")}}).status is None


def test_busy_is_never_too_long() -> None:
    """A rate of tokens is no length of a prompt."""
    assert {sorted_as(sent) for sent in BUSY} == {Kind.BUSY}
