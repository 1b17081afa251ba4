"""A coding agent's turn as a reply in the format of all agents: its last message, its files. Pure.

So it is recorded, shown and read back like any other reply.
"""

import re
from collections.abc import Sequence

from orchestrator.core.errors import EditError
from orchestrator.core.records import CANDIDATE_PATHS, ENV_PATH, TRAIN_PATH, Files, Reply
from orchestrator.core.text import clean, fenced, one_line
from orchestrator.proposals.edit_blocks import apply_edits, one_newline, split_lines
from orchestrator.proposals.fences import closes_fence, fenced_blocks, opened_fence, undecorated
from orchestrator.proposals.reply import (
    MAX_DESCRIPTION_CHARS,
    MAX_LESSONS_CHARS,
    MAX_RATIONALE_CHARS,
    NO_EDIT,
    read_reply,
    sections,
)

_MESSAGE_CHARS = 100_000
_REASON_CHARS = 1000
_DROPPED = 10
# What could be taken for a mark of reasoning or of a channel.
_TAG = re.compile(r"<(?=[/|a-zA-Z｜])|\[(?=/?[A-Z]{4})")


def changed_reply(
    message: str,
    before: Files,
    after: Files,
    *,
    has_world: bool,
    dropped: Sequence[str] = (),
    ended: str = "",
) -> str:
    """Return the reply that changes `before` into `after`.

    Args:
        message: the agent's last message, which may say anything.
        before: the files that it was given.
        after: the files that it left.
        has_world: whether the task is a world of the user's own.
        dropped: what else it changed.
        ended: why its turn was ended before it was over; empty if it was not.
    """
    edits = [
        f"{path}\n{fenced(after.by_path()[path], 'python')}"
        for path in CANDIDATE_PATHS
        if after.by_path()[path] != before.by_path()[path]
    ]
    fields = _fields(message)
    if ended:
        cut = f"(the turn was ended before it was over: {one_line(_plain(ended), _REASON_CHARS)})"
        fields["rationale"] = f"{fields['rationale']}\n{cut}".strip()
    description = f"description: {fields['description'] or '(no description)'}"
    also = [_plain(f"dropped: {_named(dropped)}")] if dropped else []
    more = [f"{name}: {text}" for name, text in fields.items() if text and name != "description"]
    prose = [[*also, "\n".join([description, *more])], [description], ["description: (none)"]]
    text, error = "", EditError("no_edit", "")
    for lines in prose:  # shorter ones, should a word of the agent's be read as something else
        text = "\n\n".join([*lines, *edits]) + "\n"
        try:
            read = read_reply(Reply(text), before, has_world=has_world).files
        except EditError as fault:
            error = fault
            continue
        if _normal(read) == _normal(after):
            return text
        error = EditError("no_edit", "the change can't be recorded: mark it up less")
    if error.code == "no_edit":
        return no_edit_reply(str(error))
    return text.replace(prose[-1][0], description, 1)


def no_edit_reply(reason: str, message: str = "") -> str:
    """Return the reply of a turn that leaves nothing to evaluate, and says why."""
    said = _fields(message)["description"]
    return (
        NO_EDIT
        + one_line(_plain(reason), _REASON_CHARS)
        + (f"\n\ndescription: {said}\n" if said else "\n")
    )


def files_left_by(text: str, current: Files) -> Files:
    """Return the files as a reply of a coding agent left them, whether or not they can be used."""
    texts = current.by_path()
    try:
        blocks, _ = fenced_blocks(text)
        for block in blocks:
            texts[block.path] = apply_edits(block.path, texts[block.path], [block.body])
    except EditError:
        return current
    return Files(env=texts[ENV_PATH], train=texts[TRAIN_PATH])


def _normal(files: Files) -> tuple[str, ...]:
    """Return files as far as a reply tells them: one kind of line ends, and a last one."""
    return tuple(one_newline(text).rstrip("\n") for text in files.by_path().values())


def _fields(message: str) -> dict[str, str]:
    """Return description, rationale and lessons of a last message, harmless in a reply.

    A message without a description is itself the description, as far as it goes.
    """
    lines = _prose(message[-_MESSAGE_CHARS:])
    found = sections(lines)
    first = next((line for line in lines if line.strip()), "") if not found else ""
    description = found.get("description", first).partition("\n")[0]
    return {
        "description": one_line(_plain(description), MAX_DESCRIPTION_CHARS),
        "rationale": clean(_plain(found.get("rationale", "")), MAX_RATIONALE_CHARS).strip(),
        "lessons": clean(_plain(found.get("lessons", "")), MAX_LESSONS_CHARS).strip(),
    }


def _prose(message: str) -> list[str]:
    """Return the lines outside of fences, but for those that name a file to edit."""
    prose, fence = [], ""
    for line in split_lines(message):
        if fence:
            fence = "" if closes_fence(line, fence) else fence
        elif opened := opened_fence(line):
            fence = opened[0]
        elif undecorated(line) not in CANDIDATE_PATHS:
            prose.append(line)
    return prose


def _plain(text: str) -> str:
    return _TAG.sub("‹", text)


def _named(names: Sequence[str]) -> str:
    shown = ", ".join(one_line(name, 80) for name in names[:_DROPPED])
    return f"{shown} and {len(names) - _DROPPED} more" if len(names) > _DROPPED else shown
