"""An answer's body as its bytes come: whole, or a stream of events, whatever was asked for."""

from collections.abc import Callable

from orchestrator.agents.event_stream import (
    MOST_LINE_BYTES,
    Event,
    EventReader,
    EventTooLongError,
    looks_like_events,
    without_blanks,
)
from orchestrator.agents.openai_errors import TransientError
from orchestrator.agents.streamed_answers import BrokenStreamError, Stream

MOST_BYTES = 8 * 2**20
"""Of an answer's body, inflated. JSON of so many bytes takes 25 times that in memory at most."""
MOST_STREAM_BYTES = 32 * MOST_BYTES
"""Of a stream: a chunk a token, each some hundred bytes long, of which a few are kept."""


class AnswerBody:
    """Takes a body, and keeps no more of it than may be."""

    def __init__(self, stream: Stream | None = None) -> None:
        """Take nothing yet.

        Args:
            stream: what reads events, if they were asked for; a server may answer whole all the
                same.
        """
        self._stream = stream
        self._events: EventReader | None = None
        self._is_known = stream is None
        """Is it known whether these are events?"""
        self._content = bytearray()
        self._size = 0

    @property
    def is_stream(self) -> bool:
        """Has it turned out to be events?"""
        return self._events is not None

    @property
    def can_stream(self) -> bool:
        """Were events asked for?"""
        return self._stream is not None

    @property
    def is_whole(self) -> bool:
        """Has the last event come, so that a connection that breaks off now does not matter?"""
        return self.is_stream and self._stream is not None and self._stream.is_whole

    @property
    def content(self) -> bytes:
        """The bytes of a body that came whole."""
        return bytes(self._content)

    def feed(self, data: bytes) -> bool:
        """Take bytes; return whether nothing follows that is wanted.

        Raises:
            TransientError: it is too large, or events that can't be read.
        """
        self._size += len(data)
        if not self._is_known:
            data = without_blanks(bytes(self._content) + data)
            self._content.clear()
            if (answer := looks_like_events(data)) is not None:
                self._is_known, self._events = True, EventReader() if answer else None
        most = MOST_BYTES if self._events is None else MOST_STREAM_BYTES
        if self._size > most:
            raise TransientError(
                f"an answer of more than {most >> 20} MB", may_be_billed=self.is_stream
            )
        if self._events is None:
            self._content += data
            return False
        return self._take(lambda events: events.feed(data))

    def end(self) -> None:
        """Take what the end completes. Raises as `feed`."""
        if self._events is None:
            return
        was_whole = self.is_whole
        try:
            self._take(lambda events: events.end())
        except TransientError:
            if not was_whole:  # else half an event broke off behind the last one that matters
                raise

    def _take(self, read: Callable[[EventReader], list[Event]]) -> bool:
        assert self._events is not None
        assert self._stream is not None
        try:
            return any(self._stream.take(event) for event in read(self._events))
        except EventTooLongError as error:
            said = f"an event of more than {MOST_LINE_BYTES >> 20} MB"
            raise TransientError(said, may_be_billed=True) from error
        except BrokenStreamError as error:
            raise TransientError(str(error), may_be_billed=True) from error

    def document(self) -> object:
        """Return what a stream came to. Raises `TransientError` if it broke off."""
        assert self._stream is not None
        try:
            return self._stream.document()
        except BrokenStreamError as error:
            raise TransientError(str(error), may_be_billed=True) from error
