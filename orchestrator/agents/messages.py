r"""The messages between the daemon and an agent's process, both ends: a line of JSON each.

UTF-8 that keeps halves of surrogate pairs: a reply may hold any, and `\ud83d\ude00`
escapes would come back as one character where two were sent.
"""

import dataclasses
import json
from collections.abc import Mapping
from typing import Any

from orchestrator.core.evaluations import Report
from orchestrator.core.experiments import Experiment, Seconds
from orchestrator.core.records import Attempt, Files, Reply, Rung, Status, Tokens
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


def brief_line(brief: Brief) -> bytes:
    """Return a brief as one line of JSON."""
    return _line(brief)


def read_brief(line: bytes) -> Brief:
    """Return the brief that `brief_line` wrote."""
    facts = _object(line)
    return Brief(
        **facts
        | {
            "files": Files(**facts["files"]),
            "rung": Rung(*facts["rung"]),
            "history": tuple(_experiment(row) for row in facts["history"]),
            "attempts": tuple(Attempt(**attempt) for attempt in facts["attempts"]),
        }
        | {name: tuple(facts[name]) for name in ("foreign", "notes", "incumbent_flags", "veto")}
    )


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
    )


def _experiment(row: dict[str, Any]) -> Experiment:
    return Experiment(
        **row
        | {
            "status": Status(row["status"]),
            "rung": Rung(*row["rung"]),
            "scores_by_seed": {int(seed): x for seed, x in row["scores_by_seed"].items()},
            "report": Report(**row["report"]),
            "flags": tuple(row["flags"]),
            "seconds": Seconds(**row["seconds"]),
            "tokens": Tokens(**row["tokens"]),
        }
    )


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
