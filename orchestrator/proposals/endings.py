"""How a model's reply ended: the finish reasons of all servers sorted into five endings. Pure.

Servers that speak the chat API pass on the words of what stands behind them. Names are compared
without case and punctuation: `MAX_TOKENS`, `maxTokens` and `max-tokens` are one.
"""

import re
from collections.abc import Iterable
from typing import Literal

from orchestrator.core.errors import EditError
from orchestrator.core.text import one_line

Ending = Literal["complete", "cut", "filtered", "refused", "transient"]

# The reply reached a limit of its length.
_TOO_LONG = """
    length max_tokens max_length max_len max_output max_output_tokens max_new_tokens
    max_completion_tokens max_predicted_tokens_reached token_limit limit
"""
_TOOL_CALLS = """
    tool_call tool_calls tool_use function_call malformed_function_call malformed_tool_use
    unexpected_tool_call too_many_tool_calls
"""
_NAMES: dict[Ending, str] = {
    # The model itself ended the reply.
    "complete": """
        stop stopped eos eos_token eos_found eot end_of_text end_turn stop_sequence stop_string
        stop_string_found stop_criteria_met stop_word word complete completed finish finished done
        normal alternative_status_final end eot_id eom stop_token end_of_sequence end_of_turn
        <|im_end|> </s>
    """,
    # Not a whole answer, and asking again as before may well end alike.
    "cut": f"""{_TOO_LONG} {_TOOL_CALLS}
        model_length max_context context_length context_length_reached context_window_exceeded
        model_context_window_exceeded error_limit time_limit timeout incomplete not_finished
        in_progress truncated alternative_status_truncated_final alternative_status_partial
        repetition pause_turn malformed_response malformed_model_output missing_thought_signature
        no_image
    """,
    "filtered": """
        content_filter content_filtered alternative_status_content_filter sensitive safety
        recitation language blocklist blacklist prohibited_content spii guardrail guardrails
        guardrail_intervened error_toxic content_policy_violation moderation image_safety
        image_prohibited_content image_recitation
    """,
    "refused": "refusal refused",
    # The server gave up, not the model: the same request may be answered a minute later.
    "transient": """
        error failed network_error insufficient_system_resource insufficient_system_resources
        server_error internal_error upstream_error overloaded unavailable abort aborted cancel
        canceled cancelled user_cancel user_stopped load unload model_unloaded
    """,
}
# A broken reply is waited out, so it comes first: words that name a lasting cause go before it.
_FROM_GOOD_TO_BAD: tuple[Ending, ...] = ("complete", "transient", "cut", "filtered", "refused")
# What a word outside of the table is about, the first that fits. A cause that lasts comes before
# one that passes: `token_limit_error` would be waited out for ever.
_STEMS: tuple[tuple[Ending, re.Pattern[str]], ...] = (
    ("filtered", re.compile("filter|safety|blocked|moderat|sensitive|policy")),
    ("cut", re.compile("length|token|context|tool|function|malformed|format|parse")),
    (
        "transient",
        re.compile("error|overload|unavailable|network|ratelimit|upstream|interrupt|preempt"),
    ),
)
_PREFIXES = ("finishreason", "stopreason", "reason")


def _key(name: str) -> str:
    return "".join(c for c in name[:200].casefold() if c.isalnum())


_ENDINGS: dict[str, Ending] = {
    _key(name): ending for ending, names in _NAMES.items() for name in names.split()
}


def ending(finish_reason: str) -> Ending:
    """Return how a reply ended, by its finish reason.

    A reason that the table does not have is sorted by its stem, and an unknown one counts as cut:
    half a reply must never be used, and waiting for another end might last for ever. A call of a
    tool does too: no tool was offered, and what the model would have written after the call's
    result is missing, however complete the text before it looks.
    """
    return _known(finish_reason) or "cut"


def worst_reason(finish_reason: str, beside: Iterable[str]) -> str:
    """Return the worst of the reasons that one reply came with.

    Args:
        finish_reason: the reason itself; unknown words of it count.
        beside: further words, such as the upstream server's own. Unknown ones mean nothing: the
            string that ended the reply may stand there.
    """
    bad = [name for name in (finish_reason, *beside) if _known(name) not in {None, "complete"}]
    return max(bad, key=lambda name: _FROM_GOOD_TO_BAD.index(ending(name)), default=finish_reason)


def _known(finish_reason: str) -> Ending | None:
    key = _stripped(finish_reason)
    if key in _ENDINGS:
        return _ENDINGS[key]
    # A cause may follow, as in `content_filter: OTHER`; what ended normally has none.
    first = _ENDINGS.get(_stripped(re.split("[:,]", finish_reason, maxsplit=1)[0]))
    if first not in {None, "complete"}:
        return first
    return next((ending for ending, stem in _STEMS if stem.search(key)), None)


def check_ending(finish_reason: str) -> None:
    """Refuse a reply that is not complete.

    Raises:
        EditError: `truncated`, `content_filter` or `refusal`, with the server's word for it.
    """
    match ending(finish_reason):
        case "complete":
            return
        case "filtered":
            code, message = "content_filter", "the model's content filter stopped the reply"
        case "refused":
            code, message = "refusal", "the model refused"
        case "transient":
            code, message = "truncated", "the server broke off the reply; answer again"
        case "cut":
            code, message = "truncated", _why_cut(finish_reason)
    raise EditError(code, f"{message} (finish reason: {one_line(finish_reason, 100)})")


def _why_cut(finish_reason: str) -> str:
    key = _stripped(finish_reason)
    if key in map(_key, _TOOL_CALLS.split()):
        return "the reply ended in a call of a tool, and there are none: answer in text alone"
    if key in map(_key, _TOO_LONG.split()):
        return "the reply was cut off at the output limit; answer shorter"
    if key in _ENDINGS:
        return "the reply was cut off before its end; answer shorter"
    return "the reply did not end normally, so it may be cut off; answer again, shorter"


def _stripped(finish_reason: str) -> str:
    key = _key(finish_reason)
    for prefix in _PREFIXES:
        key = key.removeprefix(prefix)
    return key
