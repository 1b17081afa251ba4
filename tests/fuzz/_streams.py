"""Answers of both interfaces as events, their JSON, order, framing and bytes changed at random."""

import contextlib
import json
import random
from collections.abc import Callable
from typing import Any

from tests.agents.streams import DONE, chat_stream, chunk, event, response, response_stream

Change = Callable[[Any, random.Random], Any]
_FRAMES = (
    b"", b"\n", b"\r\n", b"\r", b": ping\n\n", b"data:\n\n", b"data: [DONE]\n\n", b"event: error\n",
    b"event: error\ndata: x\n\n", b"error: {}\n\n", b"data: null\n\n", b"data: {\n\n", b"id: \xff\n",
    b"retry: 9e9\n\n", b"data: " + b"x" * 9000 + b"\n\n", b"\xef\xbb\xbf", b"data: {}\n\n",
    b'data: {"error": {"code": 502, "message": "down"}}\n\n', b"\x00",
)  # fmt: skip


def responses(generator: random.Random) -> dict[str, Any]:
    """Return a whole response."""
    status = generator.choice(["completed"] * 4 + ["incomplete", "failed", "in_progress", "x"])
    return response(generator.choice(["hi", "hi", None, ""]), status=status)


def stream_body(generator: random.Random, change: Change) -> bytes:
    """Return the bytes of a stream, hardly ever those of a healthy one."""
    events = _events(generator)
    if generator.random() < 0.7:
        events = [_changed(line, generator, change) for line in events]
    for _ in range(generator.choice([0, 0, 0, 1, 1, 2, 5])):
        at = generator.randrange(len(events) + 1)
        drawn = generator.random()
        if drawn < 0.5:
            events.insert(at, generator.choice(_FRAMES))
        elif drawn < 0.75:
            del events[at : at + 1]
        else:
            generator.shuffle(events)
    body = b"".join(events)
    if generator.random() < 0.1:
        body = body.replace(b"\n", generator.choice([b"\r\n", b"\r", b"\n\n", b""]))
    return body


def _events(generator: random.Random) -> list[bytes]:
    drawn = generator.random()
    if drawn < 0.45:
        return chat_stream("h", "i", done=generator.random() < 0.8)
    if drawn < 0.55:
        thought = chunk({"reasoning_content": "hm", "content": None})
        return [thought, chunk({"content": [{"type": "text", "text": "hi"}]}, "stop"), DONE]
    whole = responses(generator)
    if drawn < 0.95:
        return response_stream(whole, generator.choice([whole["status"], "completed", "failed"]))
    return [event(whole)]


def _changed(line: bytes, generator: random.Random, change: Change) -> bytes:
    if generator.random() < 0.6 or b"data: {" not in line:
        return line
    head, _, data = line.partition(b"data: ")
    with contextlib.suppress(ValueError):  # a number of more digits than Python writes
        document = change(json.loads(data), generator)
        text = json.dumps(document, ensure_ascii=generator.random() < 0.7)
        return head + b"data: " + text.encode("utf-8", "surrogatepass") + b"\n\n"
    return head + b"data: " + b"9" * 5000 + b"\n\n"
