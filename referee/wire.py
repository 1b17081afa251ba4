"""One message of the channel between the referee and a worker: how it is received, and errors."""

import builtins
import reprlib
import traceback
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal

from referee.records import CandidateError
from sandbox import Channel

MAX_TEXT = 8_000
"""Longest error text that a worker sends, in characters."""
MAX_COUNT = 2**53
"""Largest magnitude of a count or a size that a worker reports: any larger is no honest one."""
_KNOWN_ERRORS = frozenset(
    name
    for name, value in vars(builtins).items()
    if isinstance(value, type) and issubclass(value, Exception)
) | {"CandidateContractError", "EnvironmentContractError", "OutOfMemoryError", "PolicyError"}
_FILES = frozenset({"env.py", "train.py"})
_MAX_LINE = 100_000


def receive(
    channel: Channel,
    kind: str,
    *,
    payload_bytes: int | range = 0,
    timeout_s: float | None = None,
) -> tuple[dict[str, Any], bytes]:
    """Receive a worker's message of one kind and size; its error becomes a `CandidateError`.

    Raises `ChannelError` if it has not arrived within `timeout_s` seconds.
    """
    sizes = payload_bytes
    if isinstance(sizes, int):
        sizes = range(sizes, sizes + 1)
    head, payload = channel.receive(timeout_s, max_payload_bytes=sizes[-1])
    if head.get("kind") == "error":
        status = "invalid" if head.get("error") == "contract" else "crash"
        raise CandidateError(
            status,
            _text(head.get("message")),
            details=_text(head.get("traceback")),
            told=_type_and_line(head),
        )
    if head.get("kind") != kind:
        raise CandidateError("rejected", f"the worker sent {shown(head.get('kind'))}, not {kind!r}")
    if len(payload) not in sizes:
        raise CandidateError(
            "rejected", f"the worker's {kind} has {len(payload)} bytes, not {payload_bytes}"
        )
    return head, payload


def _text(value: object) -> str:
    """Return a text of a worker's message, cut to its bound; anything else is none."""
    return value[:MAX_TEXT] if isinstance(value, str) else ""


def _type_and_line(head: Mapping[str, Any]) -> str:
    """Return what may be told of an error in evaluation; a type of the candidate's own has no name.

    A message may be forged, so only what stands in a fixed list is repeated.
    """
    kind, file, line = (head.get(name) for name in ("type", "file", "line"))
    known = isinstance(kind, str) and kind in _KNOWN_ERRORS
    where = ""
    if isinstance(file, str) and file in _FILES and type(line) is int and 0 < line <= _MAX_LINE:
        where = f" at candidate/{file} line {line}"
    return f"{kind if known else 'an error'}{where}"


def number(value: Any, name: str) -> float:
    """Return a number of a worker's message, if it is one and neither NaN, infinite nor absurd."""
    if type(value) not in {int, float} or not abs(value) < 1e300:
        raise CandidateError("rejected", f"the worker's {name} is no finite number: {shown(value)}")
    return float(value)


def count(value: Any, name: str, *, least: int = 0, most: int = MAX_COUNT) -> int:
    """Return a whole number of a worker's message, if it is one and within bounds."""
    if type(value) is not int or not least <= value <= most:
        raise CandidateError(
            "rejected",
            f"the worker's {name} is no whole number from {least:,} to {most:,}: {shown(value)}",
        )
    return value


def shown(value: object) -> str:
    """Return a value of a worker's message as text: short, whatever it is and however deep."""
    return reprlib.repr(value)[:100]


def send_error(channel: Channel, kind: Literal["contract", "crash"], error: Exception) -> None:
    """Send a worker's last message: what the candidate raised."""
    # The last call comes last in a traceback, so the tail is what helps.
    text = "".join(traceback.format_exception(error))[-MAX_TEXT:]
    message = f"{type(error).__name__}: {error}"[:MAX_TEXT] + _place_in_world(error)
    file, line = _place(error)
    channel.send(
        {
            "kind": "error",
            "error": kind,
            "message": message,
            "traceback": text,
            "type": type(error).__name__,
            "file": file,
            "line": line,
        }
    )


def _place(error: Exception) -> tuple[str, int]:
    """Return the last line of the candidate's files that an error passed through."""
    for frame in reversed(traceback.extract_tb(error.__traceback__)):
        path = Path(frame.filename)
        if path.name in _FILES and path.parent.name == "candidate" and frame.lineno:
            return path.name, frame.lineno
    return "", 0


def _place_in_world(error: Exception) -> str:
    """Return where in the user's world an error arose, in brackets, if it did so there."""
    for frame in traceback.extract_tb(error.__traceback__)[-1:]:
        path = Path(frame.filename)
        if path.parent.name == "task":
            return f" (task/{path.name} line {frame.lineno})"
    return ""


def receive_request(channel: Channel) -> tuple[dict[str, Any], bytes] | None:
    """Receive the referee's next request (`head["do"]`); None when it closes."""
    head, payload = channel.receive()
    return None if head.get("do") == "close" else (head, payload)
