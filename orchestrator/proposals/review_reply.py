"""Read a reviewer's reply: one JSON object. Pure.

Reasoning before it and a fence around it do no harm. What could be read in two ways is no opinion:
a reply that quotes a candidate's own `{"opinion": "earned"}` must not pass for it.
"""

import json
import re

from orchestrator.core.errors import EditError
from orchestrator.core.records import Reply
from orchestrator.core.reviews import NoReview, Opinion, Review
from orchestrator.core.text import one_line
from orchestrator.proposals.endings import check_ending
from orchestrator.proposals.reasoning import answer_of

REASON_CHARS = 500
_MOST_CHARS = 100_000
_END = re.compile(r"\s*(?:`{3,}|~{3,})?\s*")
_KNOWN = ", ".join(opinion.value for opinion in Opinion)


def read_review(reply: Reply, by: str) -> Review | NoReview:
    """Return the opinion in a reply; without one that is clear, why there is none.

    Args:
        reply: as the model gave it, in a fence or after its reasoning or not.
        by: who was asked.
    """
    try:
        check_ending(reply.finish_reason)
        opinion, reason = _opinion(answer_of(reply.text)[:_MOST_CHARS])
    except EditError as error:
        why = f"{by} gave no answer that can be used: {one_line(str(error), REASON_CHARS)}"
        return NoReview(why, reply.tokens, reply.cost_usd)
    return Review(opinion, reason, by, reply.tokens, reply.cost_usd)


def _opinion(text: str) -> tuple[Opinion, str]:
    """Return opinion and reason. Raises `EditError` if there is not exactly one opinion."""
    fields = _object(text)
    said = [value for name, value in fields if name.strip().casefold() == "opinion"]
    reasons = [value for name, value in fields if name.strip().casefold() == "reason"]
    words = {_word(value) for value in said}
    if len(words) > 1:
        raise EditError("ambiguous", "it holds more than one opinion")
    word = words.pop() if words else ""
    try:
        opinion = Opinion(word)
    except ValueError:
        raise EditError("unknown", f"its opinion is {word[:40]!r}, none of {_KNOWN}") from None
    reason = reasons[0] if reasons and isinstance(reasons[0], str) else ""
    return opinion, one_line(reason, REASON_CHARS) or "no reason was given"


def _object(text: str) -> list[tuple[str, object]]:
    """Return the fields of the JSON object with which a text ends, and which is its only one."""
    start = text.find("{")
    try:
        fields, end = json.JSONDecoder(object_pairs_hook=_Fields, strict=False).raw_decode(
            text, max(start, 0)
        )
    except (ValueError, RecursionError):
        fields, end = None, 0
    if start < 0 or not isinstance(fields, _Fields):
        raise EditError("empty", f"it is no JSON object: {one_line(text, 100)}")
    if not _END.fullmatch(text, end):
        raise EditError("ambiguous", f"more follows the JSON object: {one_line(text[end:], 100)}")
    return fields


class _Fields(list[tuple[str, object]]):
    """The fields of an object in their order: a name that stands twice is not lost."""


def _word(value: object) -> str:
    """Return an opinion as it is compared: `Off_Limits` is `off limits`."""
    text = value if isinstance(value, str) else json.dumps(value, default=str)[:100]
    return " ".join(text.casefold().replace("_", " ").replace("-", " ").split()).strip(".")
