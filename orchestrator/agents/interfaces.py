"""OpenAI's two interfaces, chat completions and responses: what is sent and what comes. Pure."""

from collections.abc import Collection, Mapping, Sequence
from typing import Any, Protocol

from orchestrator.agents import openai_answers, responses_answers
from orchestrator.agents.prices import Tariff
from orchestrator.agents.streamed_answers import ChatStream, ResponseStream, Stream
from orchestrator.config.endpoints import AgentConfig
from orchestrator.core.records import Reply
from orchestrator.proposals.prompt import Message


class Interface(Protocol):
    """One of the two."""

    path: str
    title: str
    optional: Mapping[str, Sequence[str]]
    """Parameters that a model need not take, and what errors call each."""

    def request(
        self, config: AgentConfig, model: str, messages: Sequence[Message], dropped: Collection[str]
    ) -> dict[str, Any]:
        """Return the request.

        Args:
            config: the agent's configuration.
            model: the model that is asked.
            messages: the chat.
            dropped: optional parameters that the model does not take.
        """

    def read_reply(self, document: object, tariff: Tariff | None) -> Reply | None:
        """Return the reply in an answer, None if it holds none."""

    def is_foreign(self, document: object) -> bool:
        """Is an answer without an error whole, and none of this interface?"""

    def stream(self) -> Stream:
        """Return a reader of one answer's events."""


class ChatInterface:
    """Chat Completions, which every compatible server has."""

    path = "chat/completions"
    title = "a chat API (agent.base_url)"
    optional: Mapping[str, Sequence[str]] = {
        "temperature": ("temperature",),
        "max_completion_tokens": ("max_completion_tokens",),
        "max_tokens": ("max_tokens",),
        "reasoning_effort": ("reasoning_effort", "thinking"),
        "stream_options": ("stream_options", "include_usage"),
        "stream": ("stream",),
    }

    def request(
        self, config: AgentConfig, model: str, messages: Sequence[Message], dropped: Collection[str]
    ) -> dict[str, Any]:
        """Return the request, with `max_tokens` where `max_completion_tokens` is refused."""
        is_streamed = config.silence_s is not None and "stream" not in dropped
        is_older = "max_completion_tokens" in dropped
        ours = {
            "model": model,
            "messages": [{"role": m.role, "content": m.content} for m in messages],
            "temperature": config.temperature,
            "max_completion_tokens": config.max_output_tokens,
            "max_tokens": config.max_output_tokens if is_older else None,
            "reasoning_effort": config.effort,
            "stream_options": {"include_usage": True} if is_streamed else None,
            "stream": True if is_streamed else None,
        }
        return _merged(ours, dropped, config.extra)

    def read_reply(self, document: object, tariff: Tariff | None) -> Reply | None:
        """Return the reply in a completion."""
        return openai_answers.read_reply(document, tariff)

    def is_foreign(self, document: object) -> bool:
        """Has it neither choices nor an error?"""
        return openai_answers.is_of_another_api(document)

    def stream(self) -> Stream:
        """Return a reader of chunks."""
        return ChatStream()


class ResponsesInterface:
    """Responses, which OpenAI recommends; nothing is stored at the server."""

    path = "responses"
    title = "a Responses API (agent.base_url, agent.api)"
    optional: Mapping[str, Sequence[str]] = {
        "temperature": ("temperature",),
        "max_output_tokens": ("max_output_tokens",),
        "reasoning": ("reasoning.effort", "reasoning", "thinking"),
        "store": ("store",),
        "stream": ("stream",),
    }

    def request(
        self, config: AgentConfig, model: str, messages: Sequence[Message], dropped: Collection[str]
    ) -> dict[str, Any]:
        """Return the request: the system's message is `instructions`, the others `input`."""
        is_streamed = config.silence_s is not None and "stream" not in dropped
        system = [m.content for m in messages if m.role == "system"]
        ours = {
            "model": model,
            "instructions": "\n\n".join(system) or None,
            "input": [
                {"role": m.role, "content": m.content} for m in messages if m.role != "system"
            ],
            "temperature": config.temperature,
            "max_output_tokens": config.max_output_tokens,
            "reasoning": None if config.effort is None else {"effort": config.effort},
            "store": False,
            "stream": True if is_streamed else None,
        }
        return _merged(ours, dropped, config.extra)

    def read_reply(self, document: object, tariff: Tariff | None) -> Reply | None:
        """Return the reply in a response."""
        return responses_answers.read_response(document, tariff)

    def is_foreign(self, document: object) -> bool:
        """Has it neither output nor an error?"""
        return responses_answers.is_of_another_api(document)

    def stream(self) -> Stream:
        """Return a reader of its events."""
        return ResponseStream()


def interface_of(config: AgentConfig) -> Interface:
    """Return the interface that a configuration names."""
    return ResponsesInterface() if config.api == "responses" else ChatInterface()


def _merged(
    ours: Mapping[str, Any], dropped: Collection[str], extra: Mapping[str, Any] | None
) -> dict[str, Any]:
    """Return the parameters that are set; those of the user's own last, one level deep."""
    request = {
        name: value for name, value in ours.items() if value is not None and name not in dropped
    }
    for name, value in (extra or {}).items():
        both = isinstance(value, dict) and isinstance(request.get(name), dict)
        request[name] = request[name] | value if both else value
    return request
