"""Read an agent's reply into the two candidate files. Pure: no guesses, no partial edits.

A reply is prose with, for each file it changes, a line that holds the path alone and then a fenced
block: the whole new file, or SEARCH/REPLACE blocks. A search text must occur exactly once; a reply
that names any other file, or makes two proposals, is refused whole; every failure has a code
(`EditError.code`). What the model thought before it answered is no part of the reply.
"""

import re
from collections.abc import Iterable, Sequence

from orchestrator.core.errors import EditError
from orchestrator.core.records import CANDIDATE_PATHS, ENV_PATH, TRAIN_PATH, Files, Proposal, Reply
from orchestrator.core.text import clean
from orchestrator.proposals.candidate_code import check_file, fingerprint
from orchestrator.proposals.edit_blocks import FORM, apply_edits, has_other_form, split_lines
from orchestrator.proposals.endings import check_ending
from orchestrator.proposals.fences import Block, fenced_blocks, opened_fence, undecorated
from orchestrator.proposals.reasoning import answer_of
from orchestrator.proposals.refusals import is_refusal

MAX_REPLY_CHARS = 2 * 1024 * 1024
MAX_DESCRIPTION_CHARS = 200
MAX_RATIONALE_CHARS = 4000
MAX_LESSONS_CHARS = 4000
NO_EDIT = "no edit: "
"""Begins a reply that says why it holds none: a coding agent's that changed no file."""

_FIELD = re.compile(
    r"^[\s*_#>-]*(description|rationale|lessons)[*_]*\s*:[*_]*\s*(.*)$", re.IGNORECASE
)
# A description anywhere in a line, but for a mention of the field in quotes.
_DESCRIPTION = re.compile(r"(?<!\w)description[*_]*\s*:(?![`'\"])", re.IGNORECASE)


def read_reply(reply: Reply, current: Files, *, has_world: bool = False) -> Proposal:
    """Return the proposal: the reply's edits, applied to the current files.

    `has_world` says that the task is a world of the user's own.

    Raises:
        EditError: the reply holds no legal edit; nothing of it is used.
    """
    _check_ending(reply)
    answer = answer_of(reply.text)
    edits, prose = fenced_blocks(answer)
    if not edits:
        raise _no_edit(answer)
    _check_one_proposal(edits, prose)
    texts = current.by_path()
    for path in CANDIDATE_PATHS:
        bodies = [block.body for block in edits if block.path == path]
        if bodies:
            texts[path] = apply_edits(path, texts[path], bodies)
            check_file(path, texts[path], has_world=has_world)
    files = Files(env=texts[ENV_PATH], train=texts[TRAIN_PATH])
    if fingerprint(files) == fingerprint(current):
        raise EditError("unchanged", "the edit changes nothing: the code is the same as before")
    description, rationale = _fields(prose)
    return Proposal(description, rationale, files)


def _check_ending(reply: Reply) -> None:
    check_ending(reply.finish_reason)
    if not reply.text.strip():
        raise EditError("empty", "the reply is empty")
    if len(reply.text) > MAX_REPLY_CHARS:
        raise EditError("too_large", f"the reply has more than {MAX_REPLY_CHARS} characters")


def _check_one_proposal(edits: Sequence[Block], prose: Sequence[str]) -> None:
    """Refuse a description amid the edits: what stands before it is another proposal.

    It may be a draft in marks that nobody knows, or in none: it must not be applied unseen. Such a
    mark may stand before the description in its line.
    """
    amid = prose[edits[0].prose_before : edits[-1].prose_before]
    if any(map(_DESCRIPTION.search, amid)):
        raise EditError(
            "ambiguous",
            "two proposals in one reply: after a first edit stands another `description:` with "
            "another edit, and nothing says which of them counts; answer with one `description:` "
            "before all edits and with the edits of that one experiment, without drafts or "
            "alternatives",
        )


def _no_edit(text: str) -> EditError:
    if text.startswith(NO_EDIT):
        why = split_lines(text)[0].removeprefix(NO_EDIT)
        return EditError("refusal" if is_refusal(why) else "no_edit", why)
    if is_refusal(text):
        return EditError("refusal", "the model refused")
    if has_other_form(text):
        return EditError(
            "malformed_block",
            "the reply holds no edit that is read (diffs, patches and other markers are not): put "
            "candidate/env.py or candidate/train.py alone on a line, then a fenced block with "
            f"{FORM}",
        )
    return EditError(
        "no_edit",
        "the reply holds no edit: put candidate/env.py or candidate/train.py alone on a line, "
        "then a fenced block with the file; to see the code of an experiment first, answer with "
        "the one line `show: #N`",
    )


# -- applying --------------------------------------------------------------------------------------


def describe(text: str) -> str:
    """Return the description of a reply, even of one that can't be used; empty without one."""
    try:
        answer = answer_of(text[:MAX_REPLY_CHARS])
    except EditError:
        return ""
    for line in split_lines(answer):
        if (field := _FIELD.match(line)) and field[1].lower() == "description":
            return field[2].strip()[:MAX_DESCRIPTION_CHARS]
    return ""


def lessons_in(reply: Reply) -> str:
    """Return the lessons that a reply writes down, bounded; empty if there are none."""
    try:
        check_ending(reply.finish_reason)
        _, prose = fenced_blocks(answer_of(reply.text[:MAX_REPLY_CHARS]))
    except EditError:
        return ""
    return clean(sections(prose).get("lessons", ""), MAX_LESSONS_CHARS).strip()


def _fields(prose: Iterable[str]) -> tuple[str, str]:
    """Return the description and the rationale, both bounded."""
    found = sections(prose)
    description = found.get("description", "").partition("\n")[0].strip()
    return (
        description[:MAX_DESCRIPTION_CHARS] or "(no description)",
        found.get("rationale", "").strip()[:MAX_RATIONALE_CHARS],
    )


def sections(prose: Iterable[str]) -> dict[str, str]:
    """Return the texts of the fields by name, the first of each: up to a path, fence or field."""
    found: dict[str, list[str]] = {}
    reading: list[str] | None = None
    for line in prose:
        field = _FIELD.match(line)
        if opened_fence(line) or undecorated(line) in CANDIDATE_PATHS:
            reading = None
        elif field and field[1].lower() not in found:
            reading = found[field[1].lower()] = [field[2]]
        elif reading is not None:
            reading.append(line)
    return {name: "\n".join(lines) for name, lines in found.items()}
