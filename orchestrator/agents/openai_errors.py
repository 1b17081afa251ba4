"""The outcomes of a call that brings no reply, and the pauses before the next one. No network."""

import datetime as dt
import email.utils
import re
import time
from collections.abc import Mapping, Sequence

from orchestrator.agents.error_facts import ErrorFacts
from orchestrator.agents.error_table import Kind
from orchestrator.config.endpoints import AgentConfig
from orchestrator.core.errors import AgentBlockedError

FIRST_PAUSE_S = 2.0
LONGEST_PAUSE_S = 300.0
_PATIENT_TRIES = 3
_UNSUPPORTED = re.compile(
    r"un(?:supported|recognized|known|expected)|not (?:supported|support|permitted|allowed)|extra"
    r"|deprecated|only .{1,10} (?:is )?allowed|temperature\b.{0,20}\bmust be",
    re.IGNORECASE,
)


class TransientError(Exception):
    """A transient failure. `retry_after_s` is the server's Retry-After, if it sent one.

    `may_be_billed` says that the model may have worked: the call was broken off, not refused.
    """

    def __init__(
        self, reason: str, retry_after_s: float | None = None, *, may_be_billed: bool = False
    ) -> None:
        super().__init__(reason)
        self.retry_after_s = retry_after_s
        self.may_be_billed = may_be_billed


class NotChatError(TransientError):
    """A whole answer that is none of the chat API: a page, another API. A portal's may pass."""


class BlockedError(AgentBlockedError):
    """The endpoint answers, and a person must act. `kind` says on what."""

    def __init__(self, kind: Kind, line: str) -> None:
        super().__init__(line)
        self.kind = kind


class ContextOverflowError(Exception):
    """The prompt is longer than the model accepts; the text is the server's.

    `otherwise` is what the refusal means if shorter prompts are refused too, where its words only
    suggest a length.
    """

    def __init__(self, reason: str, *, otherwise: BlockedError | None = None) -> None:
        super().__init__(reason)
        self.otherwise = otherwise


def unsupported_parameter(facts: ErrorFacts, sent: Mapping[str, Sequence[str]]) -> str | None:
    """Return which optional parameter a refused request was refused for; None if none.

    Args:
        facts: what the refusal says.
        sent: the optional parameters of the request, and what errors call each.
    """
    if not _UNSUPPORTED.search(facts.text):
        return None
    named = [name for name, words in sent.items() if any(word in facts.params for word in words)]
    worded = [name for name, words in sent.items() if any(word in facts.text for word in words)]
    return next(iter(named + worded), None)


def cure_of(kind: Kind, config: AgentConfig, model: str, where: str, *, has_key: bool) -> str:
    """Return what the user must check before `model` at `where` can answer."""
    variable = f"${config.api_key_env}"
    if kind is Kind.CREDIT:
        return f"the quota or credit of the key in {variable} is used up"
    if kind in {Kind.KEY, Kind.PERMISSION} and not has_key:
        return f"the endpoint wants a key, and {variable} is not set"
    if kind is Kind.KEY:
        return f"the endpoint refuses the key in {variable}"
    if kind is Kind.PERMISSION:
        return f"the endpoint refuses the key in {variable} this model, or this place"
    if kind is Kind.MODEL:
        other = "; or it has no Responses interface: agent.api: chat"
        return (
            f"no model {model} at {where} for the key in {variable} "
            f"(agent.model, agent.base_url{other if config.api == 'responses' else ''})"
        )
    return "the endpoint refuses the request"


def retry_after_s(headers: Mapping[str, str]) -> float | None:
    """Return the server's Retry-After in seconds (given as seconds or a date), None without one."""
    value = headers.get("retry-after", "").strip()
    if not value:
        return None
    if re.fullmatch(r"[-+]?(?:\d+\.?\d*|\.\d+)", value, re.ASCII):
        return max(0.0, float(value))
    try:
        when = email.utils.parsedate_to_datetime(value)
        if when.tzinfo is None:
            when = when.replace(tzinfo=dt.UTC)
        return max(0.0, when.timestamp() - time.time())
    except (ValueError, TypeError, IndexError, OverflowError):
        return None


def pause_s(failures: int, wish_s: float | None, *, jitter: float) -> float:
    """Return the seconds before the next try: Retry-After, capped, or exponential with jitter.

    A server that keeps asking for short pauses gets growing ones in the end.

    Args:
        failures: tries that have failed in a row, at least 1.
        wish_s: the server's Retry-After, if it sent one.
        jitter: from 0 to 1, drawn anew each time: between half of the pause and all of it.
    """
    if wish_s is not None and (wish_s >= LONGEST_PAUSE_S or failures <= _PATIENT_TRIES):
        return min(wish_s, LONGEST_PAUSE_S)
    ceiling = min(FIRST_PAUSE_S * 2.0 ** min(failures - 1, 16), LONGEST_PAUSE_S)
    return max(wish_s or 0.0, ceiling * (1 + jitter) / 2)
