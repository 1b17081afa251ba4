"""Answers as server-sent events: of a chat completion, and of a response."""

import json
from collections.abc import Sequence
from typing import Any

from tests.fakes import Answer

DONE = b"data: [DONE]\n\n"
USAGE = {
    "prompt_tokens": 100, "completion_tokens": 20, "total_tokens": 120,
    "prompt_tokens_details": {"cached_tokens": 60},
    "completion_tokens_details": {"reasoning_tokens": 5},
}  # fmt: skip
RESPONSE_USAGE = {
    "input_tokens": 100, "output_tokens": 20, "total_tokens": 120,
    "input_tokens_details": {"cached_tokens": 60},
    "output_tokens_details": {"reasoning_tokens": 5},
}  # fmt: skip


def event(document: object, name: str = "") -> bytes:
    """Return one event."""
    head = f"event: {name}\n" if name else ""
    return f"{head}data: {json.dumps(document)}\n\n".encode()


def chunk(delta: object = None, finish: object = None, **beside: object) -> bytes:
    """Return a chunk of a chat completion."""
    choice = {"index": 0, "delta": {} if delta is None else delta, "finish_reason": finish}
    known = {"id": "x", "object": "chat.completion.chunk", "created": 1, "model": "m"}
    return event(known | {"choices": [choice]} | beside)


def chat_stream(
    *texts: str, finish: object = "stop", usage: object = USAGE, done: bool = True
) -> list[bytes]:
    """Return the events of a healthy chat completion."""
    events = [chunk({"role": "assistant", "content": ""}), *[chunk({"content": t}) for t in texts]]
    events.append(chunk(None, finish))
    if usage is not None:
        known = {"id": "x", "object": "chat.completion.chunk", "created": 1, "model": "m"}
        events.append(event(known | {"choices": [], "usage": usage}))
    return [*events, DONE] if done else events


def response(text: str | None = "hello", **fields: Any) -> dict[str, Any]:
    """Return a healthy response, whole."""
    content = {"type": "output_text", "text": text, "annotations": [], "logprobs": []}
    message = {
        "type": "message", "id": "msg_1", "status": "completed", "role": "assistant",
        "content": [content],
    }  # fmt: skip
    thought = {"type": "reasoning", "id": "rs_1", "summary": []}
    return {
        "id": "resp_1", "object": "response", "created_at": 1, "status": "completed", "model": "m",
        "error": None, "incomplete_details": None,
        "output": [thought] if text is None else [thought, message], "usage": RESPONSE_USAGE,
    } | fields  # fmt: skip


def response_stream(whole: dict[str, Any], last: str = "completed") -> list[bytes]:
    """Return the events of a response, of which the last has it whole."""
    begun = whole | {"status": "in_progress", "output": [], "usage": None}
    events = [("created", {"response": begun}), ("in_progress", {"response": begun})]
    for place, item in enumerate(whole.get("output") or []):
        events.append(("output_item.added", {"output_index": place, "item": {**item}}))
        for part in item.get("content") or []:
            events += [
                ("output_text.delta", {"output_index": place, "delta": letter})
                for letter in part.get("text", "")
            ]
        events.append(("output_item.done", {"output_index": place, "item": item}))
    events.append((last, {"response": whole}))
    return [
        event(
            {"type": f"response.{kind}", "sequence_number": number} | document, f"response.{kind}"
        )
        for number, (kind, document) in enumerate(events)
    ]


def streamed(pieces: Sequence[bytes | float], status: int = 200) -> Answer:
    """Return an answer that comes piece by piece."""
    return Answer(status, b"", {"content-type": "text/event-stream"}, pieces=pieces)


def streamed_at_once(pieces: Sequence[bytes], **options: Any) -> Answer:
    """Return an answer of the same bytes, in one piece."""
    headers = {"content-type": "text/event-stream; charset=utf-8"}
    return Answer(200, b"".join(pieces), headers, **{"sized": False} | options)
