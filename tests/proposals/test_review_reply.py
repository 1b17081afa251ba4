"""A reviewer's answer: one JSON object, and nothing that could be read otherwise."""

import json

import pytest

from orchestrator.core.records import Reply, Tokens
from orchestrator.core.reviews import NoReview, Opinion, Review
from orchestrator.proposals.review_reply import REASON_CHARS, read_review

GAMING = '{"opinion": "gaming", "reason": "a bonus for existing"}'
EARNED = '{"opinion": "earned", "reason": "approved"}'


def read(text: str, finish: str = "stop") -> Review | NoReview:
    return read_review(Reply(text, Tokens(10, None, 5, None), 0.25, finish), "openai:m")


@pytest.mark.parametrize(
    "text",
    [
        GAMING,
        f"\n  {GAMING}\n\n",
        f"```json\n{GAMING}\n```",
        f"```\n{GAMING}\n```\n",
        f"~~~json\n{GAMING}\n~~~",
        f"<think>is it {EARNED}? no</think>\n{GAMING}",
        f"it may be {EARNED}\n</think>\n{GAMING}",
        f"Here is my review:\n\n```json\n{GAMING}\n```",
        f"The bonus is paid for nothing.\n{GAMING}",
        f"{GAMING}</s>",
        GAMING.replace('"gaming"', '" Gaming."').replace('"opinion"', '"Opinion"'),
        json.dumps(json.loads(GAMING) | {"confidence": 0.9, "lines": [{"n": 1}]}, indent=2),
        GAMING.replace(": ", ":\n"),
        GAMING.replace("a bonus", "a bonus").replace(" for", "\tfor"),
    ],
)
def test_an_opinion_is_read(text: str) -> None:
    """Fenced, after its reasoning, with more fields; tokens and cost come along."""
    review = read(text)
    assert isinstance(review, Review), review
    assert (review.opinion, review.by) == (Opinion.GAMING, "openai:m")
    assert review.reason == "a bonus for existing"
    assert (review.tokens.total, review.cost_usd) == (15, 0.25)


@pytest.mark.parametrize(
    ("word", "opinion"),
    [("off limits", "off limits"), ("OFF_LIMITS", "off limits"), ("off-limits", "off limits"),
     ("unsure", "unsure"), ("Earned", "earned")],
)  # fmt: skip
def test_every_opinion_has_its_spellings(word: str, opinion: str) -> None:
    """Without regard to case and to what joins the words."""
    review = read(json.dumps({"opinion": word, "reason": "so"}))
    assert isinstance(review, Review)
    assert review.opinion == opinion


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("", "no JSON object"),
        ("earned", "no JSON object"),
        ("[1]", "no JSON object"),
        ('{"opinion": "earned"', "no JSON object"),
        ("{opinion: gaming}", "no JSON object"),
        ('["earned"]', "no JSON object"),
        ('{"reason": "fine"}', "none of earned"),
        ('{"opinion": "fine"}', "'fine', none of earned"),
        ('{"opinion": null}', "none of earned"),
        ('{"opinion": ["earned"]}', "none of earned"),
        ('{"verdict": {"opinion": "earned"}}', "none of earned"),
        ('{"opinion": "gaming", "opinion": "earned"}', "more than one opinion"),
        (f"{EARNED}\n{GAMING}", "more follows"),
        (f"the diff says {EARNED}, but it is gaming", "more follows"),
        (f"the diff says {EARNED}\n{{opinion: gaming}}", "more follows"),
        (f"{EARNED} would be wrong", "more follows"),
        ("{" * 5000, "no JSON object"),
        ('{"a":' * 100_000, "no JSON object"),
        ("<think>no end", "ends within its reasoning"),
        ("\x00\ud800", "no JSON object"),
        ("1" * 5000, "no JSON object"),
    ],
)
def test_anything_else_is_no_review(text: str, why: str) -> None:
    """Above all where a candidate's own words are quoted; the call is paid for all the same."""
    answer = read(text)
    assert isinstance(answer, NoReview)
    assert why in answer.reason
    assert answer.reason.startswith("openai:m gave no answer that can be used: ")
    assert (answer.tokens.total, answer.cost_usd) == (15, 0.25)
    assert len(answer.reason) < REASON_CHARS + 100


@pytest.mark.parametrize("finish", ["length", "content_filter", "refusal", "tool_calls", "?"])
def test_half_an_answer_is_none(finish: str) -> None:
    """Cut off, filtered, refused: whatever stands there."""
    assert isinstance(read(EARNED, finish), NoReview)


@pytest.mark.parametrize("reason", [None, "", 3, ["x"]])
def test_an_opinion_without_a_reason_counts(reason: object) -> None:
    """What is shown says so."""
    review = read(json.dumps({"opinion": "gaming", "reason": reason}))
    assert isinstance(review, Review)
    assert review.reason == "no reason was given"


def test_a_reason_is_one_clean_line() -> None:
    """It is shown to people on a terminal, and to the agent."""
    review = read(json.dumps({"opinion": "gaming", "reason": "a\n\x1b[31mb\u202e " + "x" * 9000}))
    assert isinstance(review, Review)
    assert review.reason.startswith("a b x")
    assert len(review.reason) == REASON_CHARS
