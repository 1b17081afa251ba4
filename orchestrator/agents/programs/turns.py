"""The stream of turns that `claude` prints, and `qwen` after its example."""

import re
from collections.abc import Callable

from orchestrator.agents.programs.program import Said
from orchestrator.agents.programs.reading import at, dollars, failed, object_in, status_in, text
from orchestrator.core.records import Tokens

_ERROR = re.compile(r"API Error: [^\]\n]{1,1000}")
_MESSAGES = 10_000
"""No turn has more; further ones are not counted."""


class TurnsOutput:
    """Messages as they come, and one result at the end, which has the sums."""

    def __init__(self, tokens: Callable[[object], Tokens]) -> None:
        """Start with nothing.

        Args:
            tokens: reads a message's or a result's usage.
        """
        self.is_over = False
        self._read_tokens = tokens
        self._result: object = None
        self._is_known = False
        self._text = ""
        self._usages: dict[str, Tokens] = {}

    def feed(self, line: bytes) -> None:
        """Take a line."""
        event = object_in(line)
        match at(event, "type"):
            case "system" | "user":
                self._is_known = True
            case "assistant":
                self._is_known = True
                self._message(at(event, "message"))
            case "result":
                self._is_known = self.is_over = True
                self._result = event

    def _message(self, message: object) -> None:
        parts = at(message, "content")
        texts = [text(at(part, "text")) for part in parts] if isinstance(parts, list) else []
        if said := "\n".join(filter(None, texts)):
            self._text = said
        # A message comes in parts, each with the usage so far.
        if len(self._usages) < _MESSAGES:
            self._usages[text(at(message, "id"))] = self._read_tokens(at(message, "usage"))

    def said(self, exit_code: int | None, stderr: str) -> Said:
        """Return what it told; without a result, the tokens are those of the messages so far."""
        result = self._result
        tokens = self._read_tokens(at(result, "usage"))
        if tokens == Tokens():
            for usage in self._usages.values():
                tokens = tokens.plus(usage)
        said = text(at(result, "result")) or self._text
        error, status = "", at(result, "api_error_status")
        subtype = text(at(result, "subtype"))
        if at(result, "is_error") is True or subtype.startswith("error"):
            error = text(at(result, "error", "message")) or said or subtype or "it failed"
        if result is None and (told := _ERROR.findall(stderr)):
            error = text(told[-1])  # what it was still waiting for
        is_status = isinstance(status, int) and 400 <= status < 600
        return failed(
            Said(
                said,
                tokens,
                _cost_usd(result),
                error,
                int(status) if is_status else status_in(error),  # type: ignore[call-overload]
                self._is_known,
            ),
            exit_code,
            stderr,
        )


def _cost_usd(result: object) -> float | None:
    """Return the cost; None if it has a model in it whose prices it only guesses."""
    models = at(result, "modelUsage")
    of_models = list(models.values()) if isinstance(models, dict) else []
    if any(at(usage, "costBasis") == "unknown" for usage in of_models):
        return None
    return dollars(at(result, "total_cost_usd"))
