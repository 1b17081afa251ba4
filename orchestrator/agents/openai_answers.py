"""Read an answer of the chat API. It may have any shape: servers differ, and some are broken."""

import json
import re
from dataclasses import replace
from typing import Any

from orchestrator.agents.prices import Tariff, cost_usd
from orchestrator.core.records import Reply, Tokens
from orchestrator.proposals.endings import worst_reason

ONLY_REASONING = "(only reasoning, and no answer)"
"""Stands for the answer of a model that sent none beside its reasoning, which is never one."""
REASONING = ("reasoning_content", "reasoning")
MOST_TOKENS = 10**8
"""Of one call; a larger count is none that can be meant."""
MOST_USD = 10_000
"""Of one call; likewise."""
_MOST_WORDS = 500
"""Characters of a text with a good status that is an error's wording; a longer one is none."""
_BROKEN = re.compile(r"[\ufeff\s]*(?:[{\[]|(?:data|event)?:)")
"""How JSON and a stream of it begin."""
ENDINGS = ("finish_reason", "native_finish_reason", "finish_details", "stop_reason", "done_reason")
"""Fields that say how a reply ended: OpenAI, OpenRouter, OpenAI's vision models, vLLM, Ollama."""
_ANSWER_PARTS = {None, "text", "output_text"}
"""Kinds of the parts of a message that are the answer: thinking is none."""


def field(holder: object, name: str) -> Any:
    """Return a field of an object; None if it is not there."""
    return holder.get(name) if isinstance(holder, dict) else None


def read_document(body: bytes) -> object:
    """Return the JSON of a body, or its text where it is none, without a limit on what it holds."""
    try:
        return json.loads(body)
    except (ValueError, RecursionError):  # not JSON, not UTF-8, a number or a nesting without end
        return body[:10_000].decode("utf-8", "replace")


def error_in(document: object) -> object:
    """Return what stands in an answer's `error`, or in its first choice's; None if nothing does."""
    return field(document, "error") or field(choice_of(document), "error") or None


def error_words(document: object, status: int) -> object:
    """Return where a server's own words on an error may stand, in an answer without a reply.

    What breaks off in a model's reply holds the model's words, which may be any error's; with 4xx
    no model has been asked.
    """
    said = error_in(document)
    if isinstance(said, dict) and isinstance(precise := field(document, "error_type"), str):
        return said | {"code": precise}  # OpenRouter's responses, whose codes are of a few kinds
    if said or not isinstance(document, str) or 400 <= status < 500:
        return said or document
    is_reply = _BROKEN.match(document) or (status < 300 and len(document) > _MOST_WORDS)
    return "" if is_reply else document


def is_of_another_api(document: object) -> bool:
    """Is an answer without an error whole, and none of the chat API?"""
    if isinstance(document, str):  # a page, a stream, text; half of an object is none of them
        return document.lstrip("\ufeff \t\r\n")[:1] not in "{["
    return not isinstance(document, dict) or not ("choices" in document or document.get("error"))


def read_reply(document: object, tariff: Tariff | None) -> Reply | None:
    """Return the reply in an answer, None if it holds no message."""
    choice = choice_of(document)
    message = field(choice, "message")
    tokens = usage_in(document)
    cost = cost_usd(tokens, tariff)
    if choice is None and _is_filtered(document):
        return refused_prompt("", document, tariff)
    if not isinstance(message, dict):
        return None
    refusal = text_of(field(message, "refusal"))
    text = refusal or text_of(field(message, "content"))
    if not text and any(text_of(field(message, name)) for name in REASONING):
        text = ONLY_REASONING
    return Reply(
        text=text,
        tokens=tokens,
        cost_usd=told_usd(document, cost),
        finish_reason="refusal" if refusal else _ending(choice, document),
    )


def refused_prompt(said: str, document: object, tariff: Tariff | None) -> Reply:
    """Return the reply that stands for a prompt which a filter has refused, in its words."""
    tokens = usage_in(document)
    cost = told_usd(document, cost_usd(tokens, tariff))
    return Reply(said, tokens, cost, "content_filter")


def with_bill_of(reply: Reply, other: Reply) -> Reply:
    """Return a reply with the tokens and dollars of another one added to its own."""
    cost = reply.cost_usd
    if other.cost_usd is not None:
        cost = (cost or 0.0) + other.cost_usd
    return replace(reply, tokens=reply.tokens.plus(other.tokens), cost_usd=cost)


def told_usd(document: object, otherwise: float | None) -> float | None:
    """Return the dollars that the server says the call cost, as OpenRouter does.

    With a key of the user's own for the model behind it, what that one charges comes on top.
    """
    usage = field(document, "usage")
    told = _dollars(field(usage, "cost"))
    if told is None:
        return otherwise
    if field(usage, "is_byok") is not True:
        return told
    upstream = _dollars(field(field(usage, "cost_details"), "upstream_inference_cost"))
    return otherwise if upstream is None else told + upstream


def _dollars(value: object) -> float | None:
    is_number = isinstance(value, int | float) and not isinstance(value, bool)
    return float(value) if is_number and 0 <= value <= MOST_USD else None  # type: ignore[operator,arg-type]


def choice_of(document: object) -> object:
    """Return the first choice of an answer, None if it has none."""
    choices = field(document, "choices")
    return choices[0] if isinstance(choices, list) and choices else None


def _is_filtered(document: object) -> bool:
    """Was the prompt filtered? Said beside choices that are none: Gemini, Azure."""
    if field(field(document, "promptFeedback"), "blockReason"):
        return True
    rows = field(document, "prompt_filter_results")
    results = [field(row, "content_filter_results") for row in rows] if type(rows) is list else []
    checks = [check for found in results if isinstance(found, dict) for check in found.values()]
    return any(field(check, "filtered") is True for check in checks)


def _ending(choice: object, document: object) -> str:
    """Return the finish reason: of several the worst.

    A reply without any such field ended normally. One whose field is null did not: so the servers
    send what they have not finished.
    """
    said = [
        holder[name]
        for name in ENDINGS
        for holder in (choice, document)
        if isinstance(holder, dict) and name in holder
    ]
    stages = [field(holder, "status") for holder in (choice, document)]
    causes = [field(holder, "incomplete_details") for holder in (choice, document)]
    first = _reason(said[0]) or ("unknown" if said[0] else "null") if said else "stop"
    return worst_reason(first, filter(None, map(_reason, [*said[1:], *causes, *stages])))


def _reason(value: object) -> str:
    """Return the word of a finish reason, perhaps within an object; "" where it is none."""
    word = field(value, "type") or field(value, "reason") or value
    return word.strip()[:60] if isinstance(word, str) else ""


def text_of(value: object) -> str:
    """Return the text of a message, which some servers send in parts: of reasoning too."""
    if isinstance(value, list):
        return "".join(
            part["text"]
            for part in value
            if isinstance(part, dict)
            and isinstance(part.get("text"), str)
            and _kind(part) in _ANSWER_PARTS
            and not part.get("thought")
        )
    return value if isinstance(value, str) else ""


def _kind(part: dict[str, Any]) -> str | None:
    kind = part.get("type")
    return kind if kind is None or isinstance(kind, str) else ""


def usage_in(document: object) -> Tokens:
    """Return the tokens that an answer says it has cost.

    Some servers count reasoning in the total alone (Gemini, xAI): it is output all the same.
    """
    usage = field(document, "usage")
    prompt, output = token_count(usage, "prompt_tokens"), token_count(usage, "completion_tokens")
    return Tokens(
        input=prompt,
        cached=token_count(field(usage, "prompt_tokens_details"), "cached_tokens"),
        output=whole_output(usage, prompt, output),
        reasoning=token_count(field(usage, "completion_tokens_details"), "reasoning_tokens"),
    )


def whole_output(usage: object, prompt: int | None, output: int | None) -> int | None:
    """Return the tokens of an answer, with those that stand in the total alone."""
    total = token_count(usage, "total_tokens")
    if prompt is None or output is None or total is None:
        return output
    return max(output, total - prompt)


def token_count(holder: object, name: str) -> int | None:
    """Return a count of tokens, None where there is none that can be."""
    value = field(holder, name)
    return value if type(value) is int and 0 <= value <= MOST_TOKENS else None
