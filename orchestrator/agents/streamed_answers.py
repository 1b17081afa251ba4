"""Put an answer together that comes as events: the same document as if it had come whole. Pure.

A stream that ends before its last event is none of a reply: what is missing may be anything. The
last event of a chat is the one with a finish reason, of a response the one with the whole response.
"""

import json
from typing import Any, Protocol

from orchestrator.agents.event_stream import Event
from orchestrator.agents.openai_answers import (
    ENDINGS,
    REASONING,
    choice_of,
    error_in,
    field,
    text_of,
)
from orchestrator.proposals.endings import worst_reason

MOST_CHARS = 8 * 2**20
"""Of all that is kept of a stream."""
_DONE = "[DONE]"


class BrokenStreamError(Exception):
    """No reply comes of these events; the text says why."""


class Stream(Protocol):
    """Events of one answer."""

    @property
    def is_whole(self) -> bool:
        """Has all of the answer come, so that nothing that fails now matters?"""

    def take(self, event: Event) -> bool:
        """Take an event; return whether nothing follows that is wanted.

        Raises:
            BrokenStreamError: it can't be read, or is too much.
        """

    def document(self) -> object:
        """Return the answer, or the error in its place, as if it had come whole.

        Raises:
            BrokenStreamError: the stream ended too early.
        """


def _read(event: Event) -> list[dict[str, Any]]:
    """Return the objects of an event: one, or several of a server that forgets blank lines."""
    try:
        found = [json.loads(event.data)]
    except (ValueError, RecursionError):
        try:
            lines = [line for line in event.data.split("\n") if line.strip(" \t\r") != _DONE]
            found = [json.loads(line) for line in lines]
        except (ValueError, RecursionError):
            found = [None]
    if event.name == "error":
        return [{"error": error_in(told) or told or event.data or "error"} for told in found]
    if not all(isinstance(document, dict) for document in found):
        raise BrokenStreamError("an event of the stream can't be read")
    return found


class ChatStream:
    """Chunks of a chat completion."""

    def __init__(self) -> None:
        self._texts: dict[str, list[str]] = {"content": [], "refusal": []}
        self._size = 0
        self._has_reasoning = False
        self._choice: dict[str, Any] = {}
        self._reasons: list[str] = []
        self._beside: dict[str, Any] = {}
        """Fields of the document, such as `usage`: the last ones."""
        self._other: object = None
        """An error, or a whole completion that came as one event."""

    @property
    def is_whole(self) -> bool:
        """Has a finish reason come?"""
        return bool(self._reasons) or self._other is not None

    def take(self, event: Event) -> bool:
        """Take a chunk."""
        if event.data.strip() == _DONE:
            return True
        for chunk in _read(event):
            self._take(chunk)
        return self._other is not None or event.data.endswith(f"\n{_DONE}")

    def _take(self, chunk: dict[str, Any]) -> None:
        choice = choice_of(chunk)
        if error_in(chunk):
            self._other = {"error": error_in(chunk)}
        elif chunk.get("object") == "error":  # vLLM, formerly
            self._other = {"error": chunk}
        elif isinstance(field(choice, "message"), dict) and field(choice, "delta") is None:
            self._other = chunk
        if self._other is not None:
            return
        self._beside |= {
            name: chunk[name] for name in ("usage", *ENDINGS) if chunk.get(name) is not None
        }
        if isinstance(choice, dict) and choice.get("index", 0) in (0, None):
            self._take_choice(choice)

    def _take_choice(self, choice: dict[str, Any]) -> None:
        delta = choice.get("delta")
        for name, texts in self._texts.items():
            text = text_of(field(delta, name))
            self._size += len(text)
            if self._size > MOST_CHARS:
                raise BrokenStreamError(f"an answer of more than {MOST_CHARS >> 20} MB")
            if text:
                texts.append(text)
        self._has_reasoning |= any(text_of(field(delta, name)) for name in REASONING)
        if isinstance(reason := choice.get("finish_reason"), str) and reason.strip():
            self._reasons.append(reason)
        self._choice |= {name: choice[name] for name in ENDINGS if choice.get(name) is not None}

    def document(self) -> object:
        """Return the completion."""
        if self._other is not None:
            return self._other
        if not self._reasons:
            raise BrokenStreamError(
                "the stream ended before the reply did (no finish_reason; agent.silence_s: null "
                "asks for whole answers)"
            )
        message = {name: "".join(texts) for name, texts in self._texts.items()}
        if self._has_reasoning:
            message[REASONING[0]] = "…"  # that there is some is all that is read of it
        reason = worst_reason(self._reasons[0], self._reasons[1:])
        choice = self._choice | {"message": message, "finish_reason": reason}
        return self._beside | {"choices": [choice]}


class ResponseStream:
    """Events of a response, of which the last one has it whole."""

    _LAST = frozenset(
        "response.completed response.incomplete response.failed response.cancelled".split()
    )

    def __init__(self) -> None:
        self._items: list[Any] = []
        self._size = 0
        self._final: object = None

    @property
    def is_whole(self) -> bool:
        """Has the last event come?"""
        return self._final is not None

    def take(self, event: Event) -> bool:
        """Take an event."""
        if event.data.strip() == _DONE:
            return True
        for found in _read(event):
            kind = found.get("type")
            self._take(found, kind if isinstance(kind, str) else event.name, len(event.data))
        return self.is_whole

    def _take(self, found: dict[str, Any], kind: str, size: int) -> None:
        if kind == "error" or found.get("error"):
            self._final = {"error": found.get("error") or found}
        elif kind in self._LAST:
            response = found.get("response")
            if not isinstance(response, dict):
                raise BrokenStreamError("the last event of the stream has no response")
            self._final = response if response.get("output") else response | {"output": self._items}
        elif kind == "response.output_item.done":
            self._size += size
            if self._size > MOST_CHARS:
                raise BrokenStreamError(f"an answer of more than {MOST_CHARS >> 20} MB")
            self._items.append(found.get("item"))
        elif isinstance(found.get("output"), list) and "status" in found:
            self._final = found  # whole, as one event

    def document(self) -> object:
        """Return the response."""
        if self._final is None:
            raise BrokenStreamError("the stream ended before the response did")
        return self._final
