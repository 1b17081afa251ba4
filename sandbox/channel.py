"""Messages between a worker and its owner: a JSON head and a raw payload, both length-limited.

Never pickles: the peer may run hostile code, so only numbers and text are accepted.
"""

import contextlib
import json
import select
import socket
import struct
import time
from collections.abc import Mapping
from typing import Any

_FRAME = struct.Struct("<II")
MAX_HEAD_BYTES = 4 * 1024 * 1024
MAX_PAYLOAD_BYTES = 512 * 1024 * 1024


class ChannelError(Exception):
    """The peer sent an illegal message, or none in time."""


class ChannelClosedError(ChannelError):
    """The peer is gone: its process ended or it closed the channel."""


class Channel:
    """One end of a stream socket that carries whole messages."""

    def __init__(self, sock: socket.socket) -> None:
        self._socket = sock

    def send(self, head: Mapping[str, Any], payload: bytes | memoryview = b"") -> None:
        """Send one message.

        Raises:
            ChannelClosedError: the peer is gone.
        """
        text = json.dumps(head, separators=(",", ":")).encode()
        try:
            self._socket.sendall(_FRAME.pack(len(text), len(payload)) + text)
            if payload:
                self._socket.sendall(payload)
        except OSError as error:
            raise ChannelClosedError(f"the peer is gone ({error})") from error

    def receive(
        self, timeout_s: float | None = None, *, max_payload_bytes: int = MAX_PAYLOAD_BYTES
    ) -> tuple[dict[str, Any], bytes]:
        """Receive one message: its head and its payload, of at most `max_payload_bytes`.

        Raises:
            ChannelClosedError: the peer is gone.
            ChannelError: an illegal message, or none within `timeout_s` seconds.
        """
        deadline = None if timeout_s is None else time.monotonic() + timeout_s
        head_bytes, payload_bytes = _FRAME.unpack(self._exactly(_FRAME.size, deadline))
        if head_bytes > MAX_HEAD_BYTES or payload_bytes > max_payload_bytes:
            raise ChannelError(f"a message of {head_bytes} + {payload_bytes} bytes is too large")
        text = self._exactly(head_bytes, deadline)
        payload = self._exactly(payload_bytes, deadline)
        try:
            head = json.loads(text)
        except (ValueError, RecursionError) as error:
            raise ChannelError("a message head is not JSON") from error
        if not isinstance(head, dict):
            raise ChannelError("a message head is not a JSON object")
        return head, payload

    def is_quiet(self) -> bool:
        """Is the peer still there, and is nothing left to receive?"""
        poll = select.poll()
        poll.register(self._socket, select.POLLIN)
        return not poll.poll(0)

    def hang_up(self) -> None:
        """Close the connection for both sides; what has arrived can still be received."""
        with contextlib.suppress(OSError):
            self._socket.shutdown(socket.SHUT_RDWR)

    def close(self) -> None:
        """Close this end; the peer's next receive raises `ChannelClosedError`."""
        self._socket.close()

    def _exactly(self, count: int, deadline: float | None) -> bytes:
        data = bytearray(count)
        view = memoryview(data)
        while view:
            self._socket.settimeout(
                None if deadline is None else max(0.001, deadline - time.monotonic())
            )
            try:
                received = self._socket.recv_into(view)
            except TimeoutError as error:
                raise ChannelError("no message in time") from error
            except OSError as error:
                raise ChannelClosedError(f"the peer is gone ({error})") from error
            if received == 0:
                raise ChannelClosedError("the peer is gone")
            view = view[received:]
        return bytes(data)
