"""Server-sent events: what has changed, told to all viewers from one reading a second.

An event has a number; a viewer that was away names the last one it has, and gets those since. Where
these are gone, or the server is another one, it is told to load everything again. A viewer that
does not read what it is sent is dropped, and comes back when it can.
"""

import asyncio
import contextlib
import secrets
import time
from collections import deque
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from typing import Any

from starlette.concurrency import run_in_threadpool

from orchestrator.core.errors import AutorlError
from orchestrator.web.answers import Answers
from orchestrator.web.current import Current, Picture, Shown

POLL_S = 1.0
_KEPT_EVENTS = 500
_WAITING_EVENTS = 100
_SILENCE_S = 15.0
_MOST_VIEWERS = 100


class TooManyViewersError(Exception):
    """There are as many event streams as this server holds."""


@dataclass(frozen=True)
class Event:
    """Something that has changed."""

    number: int
    kind: str
    """`status`, `experiments`, `notebook` or `reset`."""
    data: dict[str, Any]


@dataclass(eq=False)
class _Viewer:
    events: asyncio.Queue[Event | None] = field(
        default_factory=lambda: asyncio.Queue(_WAITING_EVENTS)
    )


class Feed:
    """Reads the workspace while somebody looks, and tells what has changed."""

    def __init__(self, current: Current, answers: Answers, *, poll_s: float = POLL_S) -> None:
        self._current = current
        self._answers = answers
        self._poll_s = poll_s
        self._lock = asyncio.Lock()
        self._read_at_s = float("-inf")
        self._picture: Picture | None = None
        self._problem: str | None = None
        self._events: deque[Event] = deque(maxlen=_KEPT_EVENTS)
        self._number = 0
        self._viewers: set[_Viewer] = set()
        self._boot = secrets.token_hex(4)
        self._is_closing = False

    @property
    def last(self) -> str:
        """The last event, as a viewer names it."""
        return f"{self._boot}-{self._number}"

    @property
    def viewers(self) -> int:
        """How many follow the events."""
        return len(self._viewers)

    async def picture(self) -> Picture:
        """Return the run as it is now, at most a second old.

        Raises:
            AutorlError: it can't be read.
            OSError: likewise.
        """
        async with self._lock:
            if self._picture is None or time.monotonic() - self._read_at_s >= self._poll_s:
                await self._read()
            assert self._picture is not None
            return self._picture

    async def shown(self, tag: str | None) -> Shown:
        """Return what is shown of a run, of the present one by default.

        Raises:
            UserError: there is no such run.
        """
        picture = await self.picture()
        name = tag or picture.tag
        async with self._lock:
            return await run_in_threadpool(self._current.shown, name or "")

    async def run_status(self, tag: str) -> dict[str, Any]:
        """Return the status of an older run."""
        async with self._lock:
            return await run_in_threadpool(self._current.run_status, tag)

    async def changed(self) -> None:
        """Read at once: somebody has just acted."""
        async with self._lock:
            with contextlib.suppress(AutorlError, OSError):
                await self._read()

    async def warm(self) -> None:
        """Read a long run before somebody asks for it."""
        with contextlib.suppress(AutorlError, OSError):  # told to whoever asks
            await self.picture()

    async def poll(self) -> None:
        """Read once a second while there are viewers, without end."""
        while True:
            await asyncio.sleep(self._poll_s)
            if self._viewers:  # else nobody is told
                with contextlib.suppress(AutorlError, OSError):  # told as an event
                    await self.picture()

    def close(self) -> None:
        """End all streams."""
        self._is_closing = True
        for viewer in self._viewers:
            _drop(viewer)

    def stream(self, last: str | None) -> AsyncIterator[bytes]:
        """Return the events after the one that a viewer has seen last, as they are sent.

        Raises:
            TooManyViewersError: there are too many viewers.
        """
        if len(self._viewers) >= _MOST_VIEWERS or self._is_closing:
            raise TooManyViewersError
        return self._stream(last)

    async def _stream(self, last: str | None) -> AsyncIterator[bytes]:
        viewer = _Viewer()
        self._viewers.add(viewer)
        try:
            for event in self._since(last):
                yield self._text(event)
            while True:
                try:
                    event_or_end = await asyncio.wait_for(viewer.events.get(), _SILENCE_S)
                except TimeoutError:
                    yield b": still here\n\n"
                    continue
                if event_or_end is None:
                    return
                yield self._text(event_or_end)
        finally:
            self._viewers.discard(viewer)

    def _since(self, last: str | None) -> list[Event]:
        boot, _, number = (last or "").partition("-")
        now = Event(self._number, "hello", {})
        if last is None:
            return [now]
        if boot != self._boot or not number.isdigit() or int(number) > self._number:
            return [Event(self._number, "reset", {})]
        missed = self._number - int(number)
        if missed > len(self._events):
            return [Event(self._number, "reset", {})]
        return [*list(self._events)[len(self._events) - missed :], now]

    async def _read(self) -> None:
        """Read the workspace; tell what has changed since."""
        before, self._read_at_s = self._picture, time.monotonic()
        try:
            now = await run_in_threadpool(self._current.picture)
        except (AutorlError, OSError) as error:
            if self._problem != str(error):
                self._problem = str(error)
                self._tell("problem", {"reading_problem": self._problem})
            self._read_at_s = time.monotonic()
            raise
        self._picture, self._read_at_s = now, time.monotonic()
        had_problem, self._problem = self._problem is not None, None
        numbers = self._current.newly_changed(now.tag) if now.tag is not None else []
        if before is None:
            return
        if before.tag != now.tag:
            self._tell("reset", {})
        if now.facts != before.facts or had_problem:
            self._tell("status", now.status)
        if now.notebook != before.notebook:
            self._tell("notebook", {})
        if numbers:
            self._tell("experiments", {"tag": now.tag, "numbers": numbers[-200:]})

    def _tell(self, kind: str, data: dict[str, Any]) -> None:
        self._number += 1
        event = Event(self._number, kind, data)
        self._events.append(event)
        for viewer in list(self._viewers):
            try:
                viewer.events.put_nowait(event)
            except asyncio.QueueFull:
                self._viewers.discard(viewer)  # its place is free
                _drop(viewer)

    def _text(self, event: Event) -> bytes:
        data = self._answers.text(event.data)
        return f"id: {self._boot}-{event.number}\nevent: {event.kind}\ndata: {data}\n\n".encode()


def _drop(viewer: _Viewer) -> None:
    while not viewer.events.empty():
        viewer.events.get_nowait()
    viewer.events.put_nowait(None)
