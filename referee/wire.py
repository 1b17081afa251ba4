"""One message of the channel between the referee and a worker: how it is received, and errors."""

import traceback
from typing import Any, Literal

from referee.records import CandidateError
from sandbox import Channel

MAX_TEXT = 8_000
"""Longest error text that a worker sends, in characters."""


def receive(channel: Channel, kind: str, *, payload_bytes: int = 0) -> tuple[dict[str, Any], bytes]:
    """Receive a worker's message of one kind and size; its error becomes a `CandidateError`."""
    head, payload = channel.receive(max_payload_bytes=payload_bytes)
    if head.get("kind") == "error":
        status = "invalid" if head.get("error") == "contract" else "crash"
        raise CandidateError(
            status, str(head.get("message", "")), details=str(head.get("traceback", ""))
        )
    if head.get("kind") != kind:
        raise CandidateError("rejected", f"the worker sent {head.get('kind')!r}, not {kind!r}")
    if len(payload) != payload_bytes:
        raise CandidateError(
            "rejected", f"the worker's {kind} has {len(payload)} bytes, not {payload_bytes}"
        )
    return head, payload


def number(value: Any, name: str) -> float:
    """Return a number of a worker's message, if it is one and neither NaN, infinite nor absurd."""
    if type(value) not in {int, float} or not abs(value) < 1e300:
        raise CandidateError("rejected", f"the worker's {name} is no finite number: {value!r:.100}")
    return float(value)


def send_error(channel: Channel, kind: Literal["contract", "crash"], error: Exception) -> None:
    """Send a worker's last message: what the candidate raised."""
    # The last call comes last in a traceback, so the tail is what helps.
    text = "".join(traceback.format_exception(error))[-MAX_TEXT:]
    message = f"{type(error).__name__}: {error}"[:MAX_TEXT]
    channel.send({"kind": "error", "error": kind, "message": message, "traceback": text})


def receive_request(channel: Channel) -> tuple[dict[str, Any], bytes] | None:
    """Receive the referee's next request (`head["do"]`); None when it closes."""
    head, payload = channel.receive()
    return None if head.get("do") == "close" else (head, payload)
