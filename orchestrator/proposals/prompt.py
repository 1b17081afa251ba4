"""Build the prompt, a laboratory notebook. Pure, with a stable beginning for a provider's cache.

Order, by how seldom a part changes: the protocol, program.md, the user's world if there is one, the
trainer's defaults, the current files, code of promising experiments, the history (which only
grows); then what changes each time: lessons, what is known of the lead, how the last experiment
learnt, notes, the failure, the flags, how the run goes, what other lanes do, and the ask.
`shares.py` says how long each may be.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from orchestrator.core.records import Attempt
from orchestrator.core.text import clean, fenced
from orchestrator.proposals import code_shown, notebook, turn
from orchestrator.proposals.brief import Brief
from orchestrator.proposals.protocol import SYSTEM_PROMPT, WORLD_SYSTEM_PROMPT
from orchestrator.proposals.reasoning import without_reasoning
from orchestrator.proposals.record_lines import history
from orchestrator.proposals.shares import Shares
from orchestrator.proposals.show_requests import may_show
from orchestrator.proposals.stalls import warnings

_SMALL_CONTEXT = 28_000
"""Characters below which the trainer's defaults are left out."""
_ERROR_CHARS = 6000
_LEAST_REPLY = 100
_GAP = 2
_WORLD_SHARE = 3
"""The world's source takes at most a third of the prompt."""


@dataclass(frozen=True)
class Message:
    """One message of a chat."""

    role: str
    content: str


def build_messages(brief: Brief, *, context_tokens: int) -> list[Message]:
    """Return the chat to send: system prompt, notebook, and the turns of this experiment so far.

    It is at most `context_tokens` long (estimated), unless the parts that are never shortened are
    longer: the system prompt, program.md, the files, the notes and the last failure.
    """
    shares = Shares.of(context_tokens)
    parts = prompt_parts(brief, shares)
    system = parts.pop("protocol")
    notebook_text = "\n\n".join(part for part in parts.values() if part)
    messages = [Message("system", system), Message("user", notebook_text)]
    for index, attempt in enumerate(brief.attempts):
        room = shares.show if attempt.shows else shares.repair
        answer = _answer(brief, index, attempt, room)
        # Without its reasoning, which templates of chat drop too, and which may be most of it.
        said = clean(without_reasoning(attempt.reply), max(_LEAST_REPLY, room - len(answer)))
        messages.append(Message("assistant", said.strip() or "(an empty reply)"))
        messages.append(Message("user", answer))
    return messages


def _answer(brief: Brief, index: int, attempt: Attempt, room: int) -> str:
    if not attempt.shows:
        return turn.repair(attempt, min(_ERROR_CHARS, room // 3))
    is_last = not may_show(brief.attempts[: index + 1])
    return code_shown.answer_to_show(brief, attempt.shows, room - _LEAST_REPLY, is_last=is_last)


def prompt_parts(brief: Brief, shares: Shares) -> dict[str, str]:
    """Return the parts of the first two messages by name, in their order; empty ones are left out.

    `protocol` is the system prompt.
    """
    opening = _opening(brief, shares)
    closing = _closing(brief)
    optional = _optional(brief, shares)
    fixed = "\n\n".join(filter(None, [*closing.values(), *optional.values()]))
    shows = sum(bool(attempt.shows) for attempt in brief.attempts)
    left = shares.limit - shares.turns(shows) - shares.rounded(len(fixed)) - 3 * _GAP
    left -= sum(len(part) + _GAP for part in opening.values())
    code = code_shown.exhibits(brief, shares.code(left))
    past = history(brief, left - min(shares.code(left), shares.rounded(len(code) + _GAP)))
    return {**opening, "code": code, "history": past, **optional, **closing}


def _opening(brief: Brief, shares: Shares) -> dict[str, str]:
    """Return what stands before the history: it changes when the lead moves."""
    is_small = shares.limit < _SMALL_CONTEXT
    return {
        "protocol": SYSTEM_PROMPT if brief.world is None else WORLD_SYSTEM_PROMPT,
        "program": _program(brief.program.strip()),
        "world": _world(brief.world or {}, shares),
        "defaults": "" if is_small else notebook.ppo_defaults(brief),
        **{
            path: f"# Current {path}\n\n" + fenced(text, "python")
            for path, text in brief.files.by_path().items()
        },
    }


def _world(files: Mapping[str, str], shares: Shares) -> str:
    """Return the source of the user's world: `world.py` first, whole where there is room."""
    if not files:
        return ""
    room = shares.limit // _WORLD_SHARE
    parts = []
    for name in sorted(files, key=lambda name: (name != "world.py", name)):
        text = clean(files[name], max(_LEAST_REPLY, room))
        room -= len(text)
        parts.append(f"task/{name} (fixed)\n{fenced(text, 'python')}")
    return "\n\n".join(["# The world", *parts])


def _program(text: str) -> str:
    """Return program.md under a title, which it mostly has."""
    return text if text.startswith("# Program") else f"# Program\n\n{text}"


def _optional(brief: Brief, shares: Shares) -> dict[str, str]:
    """Return what stands after the history and is left out where there is no room."""
    return {
        "lessons": turn.lessons(brief, shares.lessons),
        "lead": notebook.lead(brief, shares.numbers // 2),
        "learning": notebook.last_learning(brief, shares.numbers // 2),
    }


def _closing(brief: Brief) -> dict[str, str]:
    """Return what is never left out."""
    return {
        "notes": turn.notes(brief),
        "failure": turn.failure(brief),
        "flags": turn.flagged(brief),
        "warnings": warnings(brief),
        "lanes": turn.in_flight(brief),
        "ask": turn.ask(brief),
    }


def as_markdown(messages: Sequence[Message]) -> str:
    """Return the chat as one Markdown document, for the experiment's folder."""
    return "\n\n".join(f"<!-- {message.role} -->\n\n{message.content}" for message in messages)
