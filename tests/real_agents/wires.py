"""The wire formats of model endpoints: what a request asks, and a move as the answer to it."""

import json
import re
from collections.abc import Iterable, Mapping
from typing import Any, Protocol

from tests.real_agents.moves import Edit, Move, Read, Run, Say, ToolCall, tool_call

INPUT, CACHED, OUTPUT, REASONING = 1000, 600, 50, 20
"""Tokens of every answer: the input includes what was cached, the output the reasoning."""

_FOLDER = re.compile(r"/[^\s\"'\\:,]*/turn-[^\s\"'\\/]+/work")


class Wire(Protocol):
    """One format."""

    def is_ask(self, path: str, request: Mapping[str, Any]) -> bool:
        """Is this a question of the agent's turn, and not one for a title or the like?"""

    def turn(self, request: Mapping[str, Any]) -> int:
        """Return how many tools have answered before."""

    def answer(self, move: Move, request: Mapping[str, Any]) -> bytes:
        """Return a move as the body of an answer."""

    def error(self, status: int, message: str) -> bytes:
        """Return the body of an HTTP error."""


def _events(events: Iterable[Mapping[str, Any]], *, named: bool = False) -> bytes:
    lines = []
    for event in events:
        name = f"event: {event['type']}\n" if named else ""
        lines.append(f"{name}data: {json.dumps(event)}\n\n")
    return "".join(lines).encode()


def _said(
    move: Move, offered: Mapping[str, Mapping[str, Any]], request: Mapping[str, Any]
) -> str | ToolCall:
    """Return a move as the call of a tool, or as text if there is none for it."""
    if isinstance(move, Say):
        return move.text
    assert isinstance(move, Read | Edit | Run)
    # Some tools want whole paths: every program tells its model where it works.
    found = _FOLDER.search(json.dumps(request))
    folder = found[0] if found else ""
    return tool_call(move, offered, folder) or f"There is no tool to {type(move).__name__.lower()}."


class Responses:
    """OpenAI's Responses, as codex speaks it."""

    def is_ask(self, path: str, request: Mapping[str, Any]) -> bool:
        return path.endswith("/responses") and bool(request.get("tools"))

    def turn(self, request: Mapping[str, Any]) -> int:
        return sum(str(item.get("type")).endswith("_call_output") for item in request["input"])

    def answer(self, move: Move, request: Mapping[str, Any]) -> bytes:
        offered = {
            tool["name"]: tool.get("parameters", {}).get("properties", {})
            for tool in request.get("tools") or []
            if "name" in tool
        }
        said = _said(move, offered, request)
        turn = self.turn(request)
        item: dict[str, Any]
        if isinstance(said, str):
            content = [{"type": "output_text", "text": said, "annotations": []}]
            item = {"type": "message", "role": "assistant", "id": f"msg_{turn}", "content": content}
        elif said.text:
            item = {"type": "custom_tool_call", "id": f"ctc_{turn}", "call_id": f"call_{turn}", "name": said.name, "input": said.text}  # fmt: skip
        else:
            item = {"type": "function_call", "id": f"fc_{turn}", "call_id": f"call_{turn}", "name": said.name, "arguments": json.dumps(said.arguments)}  # fmt: skip
        usage = {
            "input_tokens": INPUT,
            "input_tokens_details": {"cached_tokens": CACHED},
            "output_tokens": OUTPUT,
            "output_tokens_details": {"reasoning_tokens": REASONING},
            "total_tokens": INPUT + OUTPUT,
        }
        response = {"id": f"resp_{turn}", "object": "response", "model": request["model"]}
        done = response | {"status": "completed", "output": [item], "usage": usage}
        return _events(
            [
                {"type": "response.created", "response": response | {"status": "in_progress"}},
                {"type": "response.output_item.done", "output_index": 0, "item": item},
                {"type": "response.completed", "response": done},
            ],
            named=True,
        )

    def error(self, status: int, message: str) -> bytes:
        code = {401: "invalid_api_key", 429: "rate_limit_exceeded"}.get(status, "server_error")
        error = {"message": message, "type": code, "param": None, "code": code}
        return json.dumps({"error": error}).encode()


class Messages:
    """Anthropic's Messages, as claude speaks it."""

    def is_ask(self, path: str, request: Mapping[str, Any]) -> bool:
        return path.partition("?")[0].endswith("/messages") and bool(request.get("tools"))

    def turn(self, request: Mapping[str, Any]) -> int:
        contents = [message["content"] for message in request["messages"]]
        parts = [part for content in contents if isinstance(content, list) for part in content]
        return sum(part.get("type") == "tool_result" for part in parts)

    def answer(self, move: Move, request: Mapping[str, Any]) -> bytes:
        offered = {
            tool["name"]: tool.get("input_schema", {}).get("properties", {})
            for tool in request.get("tools") or []
        }
        said = _said(move, offered, request)
        is_text = isinstance(said, str)
        block: dict[str, Any]
        if isinstance(said, str):
            block = {"type": "text", "text": ""}
            delta = {"type": "text_delta", "text": said}
        else:
            block = {"type": "tool_use", "id": f"toolu_{self.turn(request)}", "name": said.name, "input": {}}  # fmt: skip
            delta = {"type": "input_json_delta", "partial_json": json.dumps(said.arguments)}
        usage = {
            "input_tokens": INPUT - CACHED,
            "cache_creation_input_tokens": 0,
            "cache_read_input_tokens": CACHED,
            "output_tokens": 1,
        }
        message = {
            "id": f"msg_{self.turn(request)}", "type": "message", "role": "assistant",
            "model": request["model"], "content": [], "stop_reason": None, "stop_sequence": None,
            "usage": usage,
        }  # fmt: skip
        ended = {"stop_reason": "end_turn" if is_text else "tool_use", "stop_sequence": None}
        counted = usage | {
            "output_tokens": OUTPUT,
            "output_tokens_details": {"thinking_tokens": REASONING},
        }
        return _events(
            [
                {"type": "message_start", "message": message},
                {"type": "content_block_start", "index": 0, "content_block": block},
                {"type": "content_block_delta", "index": 0, "delta": delta},
                {"type": "content_block_stop", "index": 0},
                {"type": "message_delta", "delta": ended, "usage": counted},
                {"type": "message_stop"},
            ],
            named=True,
        )

    def error(self, status: int, message: str) -> bytes:
        kinds = {401: "authentication_error", 429: "rate_limit_error"}
        error = {"type": kinds.get(status, "api_error"), "message": message}
        return json.dumps({"type": "error", "error": error}).encode()


class ChatCompletions:
    """OpenAI's Chat Completions, as opencode, qwen and aider speak it."""

    def is_ask(self, path: str, request: Mapping[str, Any]) -> bool:
        # aider offers no tools, and asks for an answer in one piece.
        is_for_edits = bool(request.get("tools")) or not request.get("stream")
        return path.endswith("/chat/completions") and is_for_edits

    def turn(self, request: Mapping[str, Any]) -> int:
        return sum(message.get("role") == "tool" for message in request["messages"])

    def answer(self, move: Move, request: Mapping[str, Any]) -> bytes:
        functions = [tool["function"] for tool in request.get("tools") or []]
        offered = {
            tool["name"]: tool.get("parameters", {}).get("properties", {}) for tool in functions
        }
        said = _said(move, offered, request)
        message: dict[str, Any] = {"role": "assistant", "content": said}
        if isinstance(said, ToolCall):
            function = {"name": said.name, "arguments": json.dumps(said.arguments)}
            call = {"index": 0, "id": f"call_{self.turn(request)}", "type": "function", "function": function}  # fmt: skip
            message = {"role": "assistant", "content": None, "tool_calls": [call]}
        finish = "tool_calls" if isinstance(said, ToolCall) else "stop"
        usage = {
            "prompt_tokens": INPUT,
            "prompt_tokens_details": {"cached_tokens": CACHED},
            "completion_tokens": OUTPUT,
            "completion_tokens_details": {"reasoning_tokens": REASONING},
            "total_tokens": INPUT + OUTPUT,
        }
        known = {"id": "chatcmpl-1", "created": 1, "model": request["model"]}
        if not request.get("stream"):
            choice = {"index": 0, "message": message, "finish_reason": finish}
            body = known | {"object": "chat.completion", "choices": [choice], "usage": usage}
            return json.dumps(body).encode()
        known["object"] = "chat.completion.chunk"
        first = {"index": 0, "delta": message, "finish_reason": None}
        last = {"index": 0, "delta": {}, "finish_reason": finish}
        chunks = [{"choices": [first]}, {"choices": [last]}, {"choices": [], "usage": usage}]
        return _events([known | chunk for chunk in chunks]) + b"data: [DONE]\n\n"

    def error(self, status: int, message: str) -> bytes:
        return Responses().error(status, message)


class GenerateContent:
    """Gemini's streamGenerateContent, as gemini speaks it."""

    def is_ask(self, path: str, request: Mapping[str, Any]) -> bool:
        return ":streamGenerateContent" in path and bool(request.get("tools"))

    def turn(self, request: Mapping[str, Any]) -> int:
        parts = [part for content in request["contents"] for part in content.get("parts", [])]
        return sum("functionResponse" in part for part in parts)

    def answer(self, move: Move, request: Mapping[str, Any]) -> bytes:
        declared = [
            tool
            for tools in request.get("tools") or []
            for tool in tools.get("functionDeclarations", [])
        ]
        offered = {
            tool["name"]: (tool.get("parametersJsonSchema") or tool.get("parameters") or {}).get(
                "properties", {}
            )
            for tool in declared
        }
        said = _said(move, offered, request)
        part: dict[str, Any] = {"text": said}
        if isinstance(said, ToolCall):
            part = {"functionCall": {"name": said.name, "args": said.arguments}}
        usage = {
            "promptTokenCount": INPUT,
            "cachedContentTokenCount": CACHED,
            "candidatesTokenCount": OUTPUT - REASONING,
            "thoughtsTokenCount": REASONING,
            "totalTokenCount": INPUT + OUTPUT,
        }
        candidate = {"content": {"role": "model", "parts": [part]}, "finishReason": "STOP", "index": 0}  # fmt: skip
        return _events([{"candidates": [candidate], "usageMetadata": usage, "modelVersion": "m"}])

    def error(self, status: int, message: str) -> bytes:
        words = {401: "UNAUTHENTICATED", 429: "RESOURCE_EXHAUSTED"}
        error = {"code": status, "message": message, "status": words.get(status, "INTERNAL")}
        return json.dumps({"error": error}).encode()


WIRES: dict[str, Wire] = {
    "codex": Responses(),
    "claude": Messages(),
    "opencode": ChatCompletions(),
    "qwen": ChatCompletions(),
    "aider": ChatCompletions(),
    "gemini": GenerateContent(),
}
"""What each program speaks to the tests' server."""
