"""Listens for browsers: a bounded number of connections, none of which may wait in silence."""

import asyncio
import contextlib
import os
import socket
from collections.abc import Callable
from typing import Any

import uvicorn
from starlette.types import ASGIApp
from uvicorn.protocols.http.h11_impl import H11Protocol

from orchestrator.core.errors import CommandFailedError, UserError

FIRST_PORT = 8765
_PORTS_TRIED = 20
_MOST_CONNECTIONS = 200
_BACKLOG = 64
_SILENCE_S = 10.0
"""Within which a connection must have sent a whole request's head."""
_STALL_S = 30.0
"""Within which a client must have read some of what it is sent."""
_YIELDS = 10
"""Niceness: where all cores are busy, run and evaluations come first."""


class BoundedProtocol(H11Protocol):
    """HTTP/1.1 that refuses connections over a bound, and closes those that say nothing.

    Without it a thousand idle connections would use up this process's descriptors.
    """

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Take a connection, or close it at once."""
        if len(self.connections) >= _MOST_CONNECTIONS:
            transport.abort()
            return
        super().connection_made(transport)
        self.loop.call_later(_SILENCE_S, self._end_silence)

    def connection_lost(self, exc: Exception | None) -> None:
        """Forget a connection; one that was refused was never known."""
        if self.transport is not None:
            super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        """Read on, unless it was refused."""
        if self.transport is not None:
            super().data_received(data)

    def pause_writing(self) -> None:
        """Wait for a client that reads slowly, but not for ever."""
        super().pause_writing()
        self._stalled = self.loop.call_later(_STALL_S, self.transport.abort)

    def resume_writing(self) -> None:
        """Go on: it has read."""
        self._stalled.cancel()
        super().resume_writing()

    def _end_silence(self) -> None:
        if self.cycle is None and not self.transport.is_closing():
            self.transport.close()


def listen(host: str, port: int | None) -> socket.socket:
    """Return a socket that listens; without a port the first free one from `FIRST_PORT` on.

    Raises:
        UserError: there is no such address, or the port is taken.
    """
    try:
        family, _, _, _, address = socket.getaddrinfo(
            host, port or 0, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
        )[0]
    except (OSError, UnicodeError) as error:
        raise UserError(f"--host {host!r} is no address of this machine: {error}") from None
    ports = [port] if port is not None else range(FIRST_PORT, FIRST_PORT + _PORTS_TRIED)
    for one in ports:
        listening = socket.socket(family)
        listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            listening.bind((address[0], one, *address[2:]))
            listening.listen(_BACKLOG)
        except OSError as error:
            listening.close()
            if port is not None or one == ports[-1]:
                raise UserError(
                    f"port {one} of {host} can't be used ({error.strerror}): "
                    "name another one with --port"
                ) from None
            continue
        return listening
    raise CommandFailedError("no port was tried")


def serve(app: ASGIApp, listening: socket.socket, ready: Callable[[], None]) -> None:
    """Serve until a signal ends it; `ready` is called once it answers."""
    config = uvicorn.Config(
        app,
        loop="asyncio",
        http=BoundedProtocol,
        ws="none",
        log_level="warning",
        access_log=False,
        server_header=False,
        date_header=False,
        proxy_headers=False,
        backlog=_BACKLOG,  # as many are accepted at a time
        timeout_keep_alive=15,
        timeout_graceful_shutdown=2,
        h11_max_incomplete_event_size=16 * 1024,
    )
    os.nice(_YIELDS)
    server = _Server(config, ready)
    with contextlib.suppress(KeyboardInterrupt):  # how a person ends it
        server.run(sockets=[listening])


class _Server(uvicorn.Server):
    def __init__(self, config: uvicorn.Config, ready: Callable[[], None]) -> None:
        super().__init__(config)
        self._ready = ready

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        self._ready()

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        app: Any = self.config.app
        app.state.feed.close()  # streams end before the server waits for them
        await super().shutdown(sockets)
