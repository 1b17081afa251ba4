"""Classify errors of an OpenAI-compatible endpoint, and compute pauses. No network."""

import datetime as dt
import email.utils
import re
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from orchestrator.core.text import one_line

FIRST_PAUSE_S = 2.0
LONGEST_PAUSE_S = 300.0
_PATIENT_TRIES = 3
_TRANSIENT_STATUS = {408, 409, 425, 429}
_BAD_REQUEST_STATUS = {400, 413, 422}
_NO_QUOTA = {"insufficient_quota", "billing_hard_limit_reached"}
# Error texts of different servers.
_OVERFLOW = re.compile(
    r"context.{0,20}(?:length|size|window)|prompt is too long|too many (?:input )?tokens",
    re.IGNORECASE,
)
_UNSUPPORTED = re.compile(
    r"un(?:supported|recognized|known|expected)|not (?:supported|support|permitted|allowed)|extra",
    re.IGNORECASE,
)


class TransientError(Exception):
    """A transient failure. `retry_after_s` is the server's Retry-After, if it sent one."""

    def __init__(self, reason: str, retry_after_s: float | None = None) -> None:
        super().__init__(reason)
        self.retry_after_s = retry_after_s


class ContextOverflowError(Exception):
    """The prompt is longer than the model accepts."""


@dataclass(frozen=True)
class Refusal:
    """An HTTP error of the endpoint."""

    status_code: int
    text: str
    """The server's text, without the key."""
    codes: frozenset[str]
    """The API's own `code` and `type`."""
    param: str
    """The parameter that the server names as the cause."""
    retry_after_s: float | None = None

    @property
    def line(self) -> str:
        """The server's text, in one line."""
        return one_line(self.text, 300)

    @property
    def is_overflow(self) -> bool:
        """Is the prompt too long for the model?"""
        return self._is_bad_request and (
            self.status_code == 413
            or "context_length_exceeded" in self.codes
            or bool(_OVERFLOW.search(self.text))
        )

    @property
    def is_out_of_quota(self) -> bool:
        """Is the key's quota used up? Waiting does not help, even with status 429."""
        return bool(self.codes & _NO_QUOTA)

    @property
    def is_transient(self) -> bool:
        """May the same request succeed later?"""
        is_temporary = self.status_code in _TRANSIENT_STATUS or self.status_code >= 500
        return is_temporary and not self.is_out_of_quota

    def unsupported(self, sent: Sequence[str]) -> str | None:
        """Return which of these optional parameters the server rejects; None if none."""
        if not (self._is_bad_request and _UNSUPPORTED.search(self.text)):
            return None
        if self.param in sent:
            return self.param
        return next((name for name in sent if name in self.text), None)

    @property
    def _is_bad_request(self) -> bool:
        return self.status_code in _BAD_REQUEST_STATUS


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
