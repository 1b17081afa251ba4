r"""The messages between the daemon and an agent's process, both ends: a line of JSON each.

UTF-8 that keeps halves of surrogate pairs: a reply may hold any, and `\ud83d\ude00`
escapes would come back as one character where two were sent.
"""

import dataclasses
import functools
import json
import types
import typing
from collections.abc import Mapping, Sequence
from enum import Enum
from typing import Any

from orchestrator.agents.workplace import Workplace
from orchestrator.config.endpoints import AgentConfig
from orchestrator.core.records import Reply, Rung, Tokens
from orchestrator.proposals.agent_events import (
    AgentBlocked,
    AgentEvent,
    AgentFinished,
    AgentWaits,
    NothingToAdd,
    Replied,
)
from orchestrator.proposals.brief import Brief
from orchestrator.proposals.prompt import Message
from orchestrator.proposals.review_prompt import ReviewBrief

Question = Brief | ReviewBrief
"""What a model is asked: for a proposal, or for a review."""


@dataclasses.dataclass(frozen=True)
class JobFailed:
    """An unexpected exception in the agent's process."""

    traceback: str


JobEvent = AgentEvent | JobFailed

_EVENTS: Mapping[str, type[JobEvent]] = {
    "replied": Replied,
    "nothing_to_add": NothingToAdd,
    "finished": AgentFinished,
    "blocked": AgentBlocked,
    "waits": AgentWaits,
    "failed": JobFailed,
}
_NAMES = {kind: name for name, kind in _EVENTS.items()}


def settings_line(config: AgentConfig, workplace: Workplace | None) -> bytes:
    """Return the first line to an agent's process: what it works with.

    Args:
        config: the agent's configuration.
        workplace: where a program works; None for an endpoint.
    """
    return _line({"config": config.model_dump(mode="json"), "workplace": workplace})


def read_settings(line: bytes) -> tuple[AgentConfig, Workplace | None]:
    """Return what `settings_line` wrote."""
    facts = _object(line)
    workplace: Workplace | None = _record(Workplace, facts["workplace"])
    return AgentConfig.model_validate(facts["config"]), workplace


def brief_line(brief: Brief) -> bytes:
    """Return a brief as one line of JSON."""
    return _line(brief)


def read_brief(line: bytes) -> Brief:
    """Return the brief that `brief_line` wrote."""
    brief: Brief = _record(Brief, _object(line))
    return brief


def question_line(question: Question) -> bytes:
    """Return a question as one line of JSON."""
    if isinstance(question, ReviewBrief):
        return _line({"review": question})
    return brief_line(question)


def read_question(line: bytes) -> Question:
    """Return the question that `question_line` wrote."""
    facts = _object(line).get("review")
    if facts is None:
        return read_brief(line)
    review: ReviewBrief = _record(ReviewBrief, facts)
    return review


def event_line(event: JobEvent) -> bytes:
    """Return an event as one line of JSON."""
    return _line({"event": _NAMES[type(event)], **vars(event)})


def read_event(line: bytes) -> JobEvent:
    """Return the event that `event_line` wrote.

    Raises:
        ValueError: the line is no event.
    """
    try:
        facts = _object(line)
        kind = _EVENTS[facts.pop("event")]
        if kind is Replied:
            return _replied(facts)
        return kind(**facts)
    except (KeyError, TypeError, AttributeError) as error:
        raise ValueError(f"no message of an agent's process: {error}") from error


def _replied(facts: dict[str, Any]) -> Replied:
    reply = facts["reply"]
    return Replied(
        Reply(**reply | {"tokens": Tokens(**reply["tokens"])}),
        tuple(Message(**message) for message in facts["sent"]),
        facts["agent"],
        facts["is_free"],
    )


def _record(kind: Any, value: Any) -> Any:
    """Return a value of JSON as the type that it had: a record, a tuple, a mapping, or plain."""
    if value is None or kind is Any:
        return value
    if isinstance(kind, type) and dataclasses.is_dataclass(kind):
        hints = _hints(kind)
        return kind(**{name: _record(hints[name], entry) for name, entry in value.items()})
    origin, arguments = typing.get_origin(kind), typing.get_args(kind)
    if origin in {types.UnionType, typing.Union}:
        (known,) = [argument for argument in arguments if argument is not types.NoneType]
        return _record(known, value)
    if origin is Mapping:
        key, entry_kind = arguments
        return {_record(key, name): _record(entry_kind, entry) for name, entry in value.items()}
    if origin is tuple and arguments[-1] is not ...:
        return tuple(_record(one, entry) for one, entry in zip(arguments, value, strict=True))
    if origin in {tuple, Sequence}:
        return tuple(_record(arguments[0], entry) for entry in value)
    if kind is Rung:
        return Rung(*value)
    return kind(value) if kind is int or issubclass(kind, Enum) else value


@functools.cache
def _hints(kind: Any) -> dict[str, Any]:
    return typing.get_type_hints(kind)


def _line(record: object) -> bytes:
    text = json.dumps(record, default=_as_object, ensure_ascii=False, separators=(",", ":"))
    return text.encode("utf-8", "surrogatepass") + b"\n"


def _as_object(value: object) -> dict[str, Any]:
    if isinstance(value, Mapping):
        return dict(value)
    if dataclasses.is_dataclass(value):
        return vars(value)
    raise TypeError(f"{type(value).__name__} in a message of an agent's process")


def _object(line: bytes) -> dict[str, Any]:
    facts: dict[str, Any] = json.loads(line.decode("utf-8", "surrogatepass"))
    return facts
