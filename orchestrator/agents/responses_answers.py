"""Read an answer of OpenAI's Responses interface. It may have any shape, as that of the chat's."""

from collections.abc import Sequence

from orchestrator.agents.openai_answers import (
    ONLY_REASONING,
    field,
    text_of,
    token_count,
    told_usd,
    whole_output,
)
from orchestrator.agents.prices import Tariff, cost_usd
from orchestrator.core.records import Reply, Tokens
from orchestrator.proposals.endings import worst_reason

_CALLS = frozenset(
    "function_call custom_tool_call computer_call local_shell_call shell_call apply_patch_call "
    "mcp_approval_request".split()
)
"""Items after which the model waits for what the caller does; there is nothing of the kind here."""


def is_of_another_api(document: object) -> bool:
    """Is an answer without an error whole, and none of the Responses interface?"""
    if isinstance(document, str):  # a page, a stream, text; half of an object is none of them
        return document.lstrip("\ufeff \t\r\n")[:1] not in "{["
    return not isinstance(document, dict) or not ("output" in document or document.get("error"))


def read_response(document: object, tariff: Tariff | None) -> Reply | None:
    """Return the reply in an answer, None if it holds none."""
    output = field(document, "output")
    if not isinstance(output, list):
        return None
    items = [item for item in output if isinstance(item, dict)]
    status = field(document, "status")
    if not items and status in (None, "completed"):
        return None
    messages = _answers([item for item in items if item.get("type") == "message"])
    refusal = "".join(_refusals(message) for message in messages)
    text = refusal or "".join(text_of(message.get("content")) for message in messages)
    if not text and any(item.get("type") == "reasoning" for item in items):
        text = ONLY_REASONING
    tokens = _usage(document)
    return Reply(
        text=text,
        tokens=tokens,
        cost_usd=told_usd(document, cost_usd(tokens, tariff)),
        finish_reason="refusal" if refusal else _ending(document, items),
    )


def _answers(messages: Sequence[dict[str, object]]) -> Sequence[dict[str, object]]:
    """Return the messages that are the answer: what a model says while it works is none of it."""
    final = [message for message in messages if message.get("phase") != "commentary"]
    return final or messages


def _refusals(message: dict[str, object]) -> str:
    content = message.get("content")
    parts = content if isinstance(content, list) else []
    said = [field(part, "refusal") for part in parts if field(part, "type") == "refusal"]
    return "".join(words for words in said if isinstance(words, str))


def _ending(document: object, items: Sequence[dict[str, object]]) -> str:
    """Return how it ended: of all that says so the worst.

    Without a status it ended normally, as a chat's reply without a finish reason.
    """
    status = field(document, "status")
    cause = field(field(document, "incomplete_details"), "reason")
    first = "stop" if not isinstance(document, dict) or "status" not in document else _word(status)
    if status == "completed":
        first = "stop"
    elif status == "incomplete" and _word(cause) != "null":
        first = _word(cause)
    beside = [_word(item.get("status")) for item in items if item.get("type") == "message"]
    if any(_word(item.get("type")) in _CALLS for item in items):
        beside.append("tool_calls")
    return worst_reason(first, [*beside, _word(cause)])


def _word(value: object) -> str:
    return value.strip()[:60] if isinstance(value, str) and value.strip() else "null"


def _usage(document: object) -> Tokens:
    usage = field(document, "usage")
    prompt, output = token_count(usage, "input_tokens"), token_count(usage, "output_tokens")
    return Tokens(
        input=prompt,
        cached=token_count(field(usage, "input_tokens_details"), "cached_tokens"),
        output=whole_output(usage, prompt, output),
        reasoning=token_count(field(usage, "output_tokens_details"), "reasoning_tokens"),
    )
