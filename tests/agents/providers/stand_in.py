"""The common part of stand-ins: a server on loopback that answers as one provider does.

What each says is taken from its documentation, its source, or answers that its users have shown.
"""

import json
from abc import ABC, abstractmethod
from dataclasses import dataclass, replace
from http.server import BaseHTTPRequestHandler
from typing import Any, ClassVar

from tests.agents.streams import DONE, event, response_stream
from tests.fakes import Answer, ChatServer, reply

SAYS = reply("SCORE = 1\n")
"""The proposal that every stand-in makes."""
THINKS = "The key is behind the door, so "


@dataclass
class Said:
    """What the model of a stand-in says."""

    text: str = SAYS
    thinks: str = THINKS
    finish: str = "stop"
    prompt_tokens: int = 100
    cached: int = 60
    tokens: int = 20
    thought_tokens: int = 5


class StandIn(ChatServer, ABC):
    """Answers by its own rules; what a test sets on it makes it do something odd."""

    title: ClassVar[str]
    """The heading of its page."""
    apis: ClassVar[tuple[str, ...]] = ("chat", "responses")
    names: ClassVar[tuple[str, ...]]
    """Its models."""
    context_tokens: ClassVar[int] = 200_000
    """How long a prompt it takes."""

    def __init__(self) -> None:
        self.said = Said()
        self.first: list[Answer] = []
        """Answers before those by its rules."""
        rows = [{"id": name, "object": "model"} for name in self.names]
        super().__init__(models=Answer(body={"object": "list", "data": rows}))

    def _answer_to(self, handler: BaseHTTPRequestHandler) -> Answer:
        request = json.loads(handler.rfile.read(int(handler.headers["content-length"])))
        self.requests.append(request)
        self.headers.append({name.lower(): value for name, value in handler.headers.items()})
        self.paths.append(handler.path)
        if self.first:
            return self.first.pop(0)
        if (refused := self.refusal(handler.path, request, self.headers[-1])) is not None:
            return refused
        said = self.limited(request)
        if handler.path == "/v1/chat/completions":
            if request.get("stream"):
                return self.chat_stream(request, said)
            return Answer(body=self.chat(request, said))
        if handler.path == "/v1/responses" and "responses" in self.apis:
            whole = self.response(request, said)
            return self.response_stream(whole) if request.get("stream") else Answer(body=whole)
        return self.missing(handler.path)

    # What differs from one to the other.

    def refusal(self, path: str, request: Any, headers: Any) -> Answer | None:
        """Return why it does not take a request, None if it does."""
        if request["model"] not in self.names:
            return self.unknown_model(request["model"])
        return self.too_long(length(request)) if length(request) > self.context_tokens else None

    @abstractmethod
    def unknown_model(self, name: str) -> Answer:
        """Return what it says of a model that it does not have."""

    @abstractmethod
    def too_long(self, tokens: int) -> Answer | None:
        """Return what it says of a prompt that is too long; None if it cuts it."""

    def missing(self, path: str) -> Answer:
        """Return what it says of a path that it does not have."""
        return Answer(404, {"detail": "Not Found"})

    def limited(self, request: Any) -> Said:
        """Return what its model says within the request's limit of output."""
        names = ("max_completion_tokens", "max_tokens", "max_output_tokens")
        limits = [request[name] for name in names if request.get(name) is not None]
        if not limits or limits[0] >= self.said.tokens:
            return self.said
        return replace(
            self.said, text=self.said.text[: limits[0]], finish="length", tokens=limits[0]
        )

    def usage(self, said: Said) -> dict[str, Any]:
        """Return the counts of a chat completion."""
        return {
            "prompt_tokens": said.prompt_tokens, "completion_tokens": said.tokens,
            "total_tokens": said.prompt_tokens + said.tokens,
            "prompt_tokens_details": {"cached_tokens": said.cached},
            "completion_tokens_details": {"reasoning_tokens": said.thought_tokens},
        }  # fmt: skip

    def message(self, said: Said) -> dict[str, Any]:
        """Return the message of a chat completion."""
        return {"role": "assistant", "content": said.text}

    def deltas(self, said: Said) -> list[dict[str, Any]]:
        """Return the deltas of a stream."""
        half = len(said.text) // 2
        texts = [said.text[:half], said.text[half:]]
        return [{"role": "assistant", "content": ""}, *[{"content": text} for text in texts]]

    def known(self, request: Any) -> dict[str, Any]:
        """Return what stands beside the choices."""
        return {"id": "chatcmpl-1", "created": 1764300000, "model": request["model"]}

    def ended(self, said: Said) -> dict[str, Any]:
        """Return how a choice ended."""
        return {"finish_reason": said.finish, "logprobs": None}

    # What is alike.

    def chat(self, request: Any, said: Said) -> dict[str, Any]:
        """Return a chat completion, whole."""
        choice = {"index": 0, "message": self.message(said), **self.ended(said)}
        return self.known(request) | {
            "object": "chat.completion", "choices": [choice], "usage": self.usage(said),
        }  # fmt: skip

    def chat_stream(self, request: Any, said: Said) -> Answer:
        """Return a chat completion as chunks."""
        events = [self.chunk(request, delta) for delta in self.deltas(said)]
        events.append(self.chunk(request, {}, **self.ended(said)))
        if (request.get("stream_options") or {}).get("include_usage"):
            events.append(self.beside(request, [], usage=self.usage(said)))
        return stream([*events, DONE])

    def chunk(self, request: Any, delta: Any, **fields: Any) -> bytes:
        """Return one chunk."""
        choice = {"index": 0, "delta": delta, "finish_reason": None} | fields
        return self.beside(request, [choice])

    def beside(self, request: Any, choices: Any, **fields: Any) -> bytes:
        """Return one event of a chat completion's stream."""
        return event(
            self.known(request) | {"object": "chat.completion.chunk", "choices": choices} | fields
        )

    def response(self, request: Any, said: Said) -> dict[str, Any]:
        """Return a response, whole."""
        is_cut = said.finish == "length"
        status = "incomplete" if is_cut else "completed"
        content = {"type": "output_text", "text": said.text, "annotations": []}
        thought = {"type": "reasoning", "id": "rs_1", "summary": []}
        message = {
            "type": "message", "id": "msg_1", "status": status, "role": "assistant",
            "content": [content],
        }  # fmt: skip
        return {
            "id": "resp_1", "object": "response", "created_at": 1764300000, "status": status,
            "model": request["model"], "error": None, "output": [thought, message],
            "incomplete_details": {"reason": "max_output_tokens"} if is_cut else None,
            "usage": {
                "input_tokens": said.prompt_tokens, "output_tokens": said.tokens,
                "input_tokens_details": {"cached_tokens": said.cached},
                "output_tokens_details": {"reasoning_tokens": said.thought_tokens},
                "total_tokens": said.prompt_tokens + said.tokens,
            },
        }  # fmt: skip

    def response_stream(self, whole: dict[str, Any]) -> Answer:
        """Return a response as events."""
        return stream(response_stream(whole, whole["status"]))


def stream(pieces: Any) -> Answer:
    """Return an answer of events."""
    return Answer(200, b"", {"content-type": "text/event-stream"}, pieces=pieces)


def error(status: int, message: str, **fields: Any) -> Answer:
    """Return an error as OpenAI words it."""
    return Answer(status, {"error": {"message": message} | fields})


def length(request: Any) -> int:
    """Return the tokens of a prompt, about."""
    said = request.get("messages") or request.get("input")
    text = sum(len(message["content"]) for message in said) + len(request.get("instructions", ""))
    return text // 4
