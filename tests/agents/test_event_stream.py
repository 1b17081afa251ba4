"""Server-sent events, wherever the network cuts their bytes."""

import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from orchestrator.agents.event_stream import (
    MOST_LINE_BYTES,
    Event,
    EventReader,
    EventTooLongError,
    looks_like_events,
)


def read(*pieces: bytes) -> list[Event]:
    reader = EventReader()
    return [event for piece in pieces for event in reader.feed(piece)] + reader.end()


@pytest.mark.parametrize(
    ("text", "events"),
    [
        (b"data: a\n\ndata: b\n\n", [Event("", "a"), Event("", "b")]),
        (b"data:a\r\n\r\ndata: b\r\rdata: c\n\n", [Event("", "a"), Event("", "b"), Event("", "c")]),
        (b"event: x\ndata: a\ndata: b\n\ndata: c\n\n", [Event("x", "a\nb"), Event("", "c")]),
        (b": OPENROUTER PROCESSING\n\n: again\n\ndata: a\n\n", [Event("", "a")]),
        (b"data: a", [Event("", "a")]),
        (b"data:  a \n", [Event("", " a ")]),
        (b"error: {}\n\n", [Event("error", "{}")]),
        (b"event: only a name\n\ndata: a\n\n", [Event("", "a")]),
        (b"id: 7\nretry: 5\nodd: x\nodd\ndata: a\n\n", [Event("", "a")]),
        (b"\xef\xbb\xbfdata: a\n\n", [Event("", "a")]),
        (b"data: \xff\n\n", [Event("", "\ufffd")]),
        (b"data\n\n", []),
        (b"", []),
    ],
    ids=range(13),
)  # fmt: skip
def test_events_are_read(text: bytes, events: list[Event]) -> None:
    """Comments, names, several lines, any line ends, and a last event without its blank line."""
    assert read(text) == events


@given(st.lists(st.integers(0, 60)))
def test_where_the_bytes_are_cut_is_no_matter(cuts: list[int]) -> None:
    """The same events at any cut, within a CRLF and within a letter too."""
    text = "event: e\r\ndata: ä\r\ndata: b\r\n\r\n: c\r\rdata: ö\n\nevent: f\r\ndata: {}".encode()
    places = [0, *sorted(cuts), len(text)]
    pieces = [text[a:b] for a, b in itertools.pairwise(places)]
    assert read(*pieces) == read(text)


@pytest.mark.parametrize(
    "piece", [b"x" * 2**20, b"data: " + b"x" * 2**20 + b"\n"], ids=["a line", "lines of one event"]
)
def test_an_event_without_end_is_left(piece: bytes) -> None:
    """Neither a line nor an event may grow for ever."""
    reader = EventReader()
    with pytest.raises(EventTooLongError):
        for _ in range(MOST_LINE_BYTES // 2**20 + 1):
            reader.feed(piece)


@pytest.mark.parametrize(
    ("beginning", "answer"),
    [
        (b"", None), (b"\n ", None), (b"da", None), (b"data", None), (b"data:", True),
        (b"\r\n: ping", True), (b"event: x", True), (b"error: {}", True), (b'{"a"', False),
        (b"[", False), (b"<html>", False), (b"database", False), (b"\xef\xbb\xbfdata: ", True),
    ],
)  # fmt: skip
def test_a_stream_is_known_by_its_beginning(beginning: bytes, answer: bool | None) -> None:
    """Whatever the headers say; too few bytes say nothing yet."""
    assert looks_like_events(beginning) is answer
