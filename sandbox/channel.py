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
MAX_DEPTH = 32
MAX_PAYLOAD_BYTES = 512 * 1024 * 1024
_ONE_WRITE_BYTES = 1024 * 1024
"""Largest payload that is copied behind its head: the peer then wakes up once."""
_CLAIMED_BYTES = 4 * 1024 * 1024
"""Most memory that is made for what has only been announced."""


class ChannelError(Exception):
    """The peer sent an illegal message, or none in time."""


class ChannelClosedError(ChannelError):
    """The peer is gone: its process ended or it closed the channel."""


def parse_head(text: bytes) -> dict[str, Any]:
    """Return the JSON object in `text`, in which nothing can trouble whoever handles it later.

    It is nested at most `MAX_DEPTH` deep, its integers fit in 64 bits, and its strings are text
    that UTF-8 can hold: what of a string is not becomes `?`.

    Raises:
        ChannelError: it is none.
    """
    try:
        head = _DECODER.decode(text.decode(json.detect_encoding(text), "surrogatepass"))
        # An escaped half of a surrogate pair is legal JSON and no text.
        if text.count(b"[") + text.count(b"{") > MAX_DEPTH or b"\\u" in text:
            head = _checked(head, MAX_DEPTH)
    except (ValueError, RecursionError, MemoryError) as error:
        raise ChannelError("a message head is not JSON, or not of a sensible kind") from error
    if not isinstance(head, dict):
        raise ChannelError("a message head is not a JSON object")
    return head


def _int64(digits: str) -> int:
    if len(digits) > 20 or not -(2**63) <= (number := int(digits)) < 2**63:
        raise ValueError("an integer of more than 64 bits")
    return number


# `json.loads` and `json.dumps` with such settings make one for each message.
_DECODER = json.JSONDecoder(parse_int=_int64)
_ENCODER = json.JSONEncoder(separators=(",", ":"))


def _checked(value: Any, depth: int) -> Any:
    if isinstance(value, str):
        return value.encode("utf-8", "replace").decode()
    if isinstance(value, dict | list):
        if depth == 0:
            raise ValueError(f"nested more than {MAX_DEPTH} deep")
        if isinstance(value, list):
            return [_checked(item, depth - 1) for item in value]
        return {_checked(name, 1): _checked(item, depth - 1) for name, item in value.items()}
    return value


class Channel:
    """One end of a stream socket that carries whole messages."""

    def __init__(self, sock: socket.socket) -> None:
        self._socket = sock
        self.was_lost = False
        """Whether a send or receive here has found the peer gone."""

    def send(self, head: Mapping[str, Any], payload: bytes | memoryview = b"") -> None:
        """Send one message.

        Raises:
            ChannelClosedError: the peer is gone.
        """
        text = _ENCODER.encode(head).encode()
        message = _FRAME.pack(len(text), len(payload)) + text
        try:
            if len(payload) <= _ONE_WRITE_BYTES:
                self._socket.sendall(message + payload)
                return
            self._socket.sendall(message)
            self._socket.sendall(payload)
        except OSError as error:
            raise self._lost(f" ({error})") from error

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
        return parse_head(text), payload

    def has_news(self, within_s: float) -> bool:
        """Does something arrive, or is the peer gone, within a time?

        While this process itself is stopped, at most a second of it passes.
        """
        poll = select.poll()
        poll.register(self._socket, select.POLLIN)
        left_s = within_s
        while not poll.poll(1000 * min(left_s, 1.0)):
            left_s -= 1.0
            if left_s <= 0:
                return False
        return True

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
        if count <= _CLAIMED_BYTES:
            return bytes(self._received(count, deadline))
        data = bytearray()
        while len(data) < count:
            # By as much as has come: a peer that only claims to send a lot costs no memory.
            more = min(count - len(data), max(_CLAIMED_BYTES, len(data)))
            data += self._received(more, deadline)
        return bytes(data)

    def _received(self, count: int, deadline: float | None) -> bytearray:
        data = bytearray(count)
        view = memoryview(data)
        while view:
            timeout_s = None if deadline is None else max(0.001, deadline - time.monotonic())
            if timeout_s != self._socket.gettimeout():  # setting it is a system call
                self._socket.settimeout(timeout_s)
            try:
                received = self._socket.recv_into(view)
            except TimeoutError as error:
                raise ChannelError("no message in time") from error
            except OSError as error:
                raise self._lost(f" ({error})") from error
            if received == 0:
                raise self._lost()
            view = view[received:]
        return data

    def _lost(self, why: str = "") -> ChannelClosedError:
        self.was_lost = True
        return ChannelClosedError(f"the peer is gone{why}")
