"""Read an answer of the chat API. It may have any shape: servers differ, and some are broken."""

from typing import Any

from orchestrator.config.schema import Prices
from orchestrator.core.records import Reply, Tokens


def field(holder: object, name: str) -> Any:
    """Return a field of an object or dict; None if it is not there."""
    if isinstance(holder, dict):
        return holder.get(name)
    return getattr(holder, name, None)


def read_reply(answer: object, prices: Prices | None) -> Reply | None:
    """Return the reply in an answer, None if it holds no message.

    The client returns a 200 with an unexpected body as text, or as an object with any fields.
    """
    choices = field(answer, "choices")
    choice = choices[0] if isinstance(choices, list) and choices else None
    message = field(choice, "message")
    if message is None:
        return None
    refusal = _text(field(message, "refusal"))
    tokens = _usage(answer)
    return Reply(
        text=refusal or _text(field(message, "content")),
        tokens=tokens,
        cost_usd=cost_usd(tokens, prices),
        finish_reason="refusal" if refusal else str(field(choice, "finish_reason") or "stop"),
    )


def cost_usd(tokens: Tokens, prices: Prices | None) -> float | None:
    """Return the cost of a call, None if prices or counts are unknown."""
    if prices is None or tokens.input is None or tokens.output is None:
        return None
    cached = min(tokens.cached or 0, tokens.input)
    cached_price = prices.input if prices.cached is None else prices.cached
    total = (tokens.input - cached) * prices.input + cached * cached_price
    return (total + tokens.output * prices.output) / 1e6


def _text(value: object) -> str:
    """Return the text of a message, which some servers send in parts."""
    if isinstance(value, list):
        return "".join(_text(field(part, "text")) for part in value)
    return value if isinstance(value, str) else ""


def _usage(answer: object) -> Tokens:
    usage = field(answer, "usage")

    def count(holder: object, name: str) -> int | None:
        value = field(holder, name)
        return value if type(value) is int and value >= 0 else None

    return Tokens(
        input=count(usage, "prompt_tokens"),
        cached=count(field(usage, "prompt_tokens_details"), "cached_tokens"),
        output=count(usage, "completion_tokens"),
        reasoning=count(field(usage, "completion_tokens_details"), "reasoning_tokens"),
    )
