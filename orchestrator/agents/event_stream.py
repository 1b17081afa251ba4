"""Server-sent events, read as their bytes come. Pure.

Tolerant where servers are: any line ends, a last event without its blank line, and llama.cpp's
field `error`, which the standard does not have.
"""

from dataclasses import dataclass

MOST_LINE_BYTES = 8 * 2**20
_FIELDS = ("data", "event", "id", "retry", "error")


@dataclass(frozen=True)
class Event:
    """One event."""

    name: str
    """What stands in `event`; empty if nothing does."""
    data: str
    """The lines of `data`, without the bytes that are no UTF-8."""


class EventTooLongError(Exception):
    """A line, or the data of one event, is longer than any that can be meant."""


class EventReader:
    """Turns bytes into events. A comment, such as a sign of life, is none."""

    def __init__(self) -> None:
        self._rest = b""
        """The last line, as far as it has come."""
        self._name = ""
        self._data: list[str] = []
        self._size = 0

    def feed(self, data: bytes) -> list[Event]:
        """Take bytes, and return the events that they complete.

        Raises:
            EventTooLongError: one of them is.
        """
        self._rest += data
        if b"\n" in data or b"\r" in data:
            # Whether a line feed follows a carriage return at the very end is not known yet.
            text, held = self._rest, b""
            if text.endswith(b"\r"):
                text, held = text[:-1], b"\r"
            *lines, rest = text.replace(b"\r\n", b"\n").replace(b"\r", b"\n").split(b"\n")
            self._rest = rest + held
        else:
            lines = []
        if len(self._rest) > MOST_LINE_BYTES:
            raise EventTooLongError
        return [event for line in lines for event in self._line(line)]

    def end(self) -> list[Event]:
        """Return what the end of the stream completes: an event without its blank line."""
        return [*self.feed(b"\n"), *self._dispatch()]

    def _line(self, line: bytes) -> list[Event]:
        if not line:
            return self._dispatch()
        field, colon, value = line.decode("utf-8", "replace").partition(":")
        value = value.removeprefix(" ")
        field = field.removeprefix("\ufeff")
        if not colon or field not in _FIELDS:
            return []
        self._size += len(value)
        if self._size > MOST_LINE_BYTES:
            raise EventTooLongError
        match field:
            case "data":
                self._data.append(value)
            case "event":
                self._name = value
            case "error":
                self._name = "error"
                self._data.append(value)
        return []

    def _dispatch(self) -> list[Event]:
        events = [Event(self._name, "\n".join(self._data))] if self._data else []
        self._name, self._data, self._size = "", [], 0
        return events


def without_blanks(beginning: bytes) -> bytes:
    """Return the beginning of a body without what may stand before its first word."""
    return beginning.removeprefix(b"\xef\xbb\xbf").lstrip(b" \t\r\n")


def looks_like_events(beginning: bytes) -> bool | None:
    """Is this how a stream of events begins? None if it is too short to say."""
    text = without_blanks(beginning)
    if text[:1] == b":":
        return True
    starts = [field.encode() + b":" for field in _FIELDS]
    if any(text.startswith(start) for start in starts):
        return True
    return None if any(start.startswith(text) for start in starts) else False
