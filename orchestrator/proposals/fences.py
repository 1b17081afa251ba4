"""The fenced blocks of a reply, and the file that each one edits. Pure."""

import itertools
import re
import unicodedata
from dataclasses import dataclass

from orchestrator.core.errors import EditError
from orchestrator.core.records import CANDIDATE_PATHS
from orchestrator.proposals.candidate_code import OBSERVERS, REQUIRED, REQUIRED_WITH_WORLD
from orchestrator.proposals.edit_blocks import has_markers, joined, split_lines

_FENCE = re.compile(r"^ {0,3}(`{3,}|~{3,})(.*)$")
_REQUIRED = {*itertools.chain(*REQUIRED.values(), *REQUIRED_WITH_WORLD.values()), *OBSERVERS}
_DEFINES_REQUIRED = re.compile(rf"^(?:def|class) (?:{'|'.join(sorted(_REQUIRED))})\b", re.MULTILINE)
_WEB = re.compile(r"https?://", re.IGNORECASE)
_PATH = re.compile(
    r"^(?:~?/|\.{1,2}[/\\]|[a-z]:[/\\])|candidate[/\\]|[/\\]\.|\.git\b"
    r"|\.(?:py\w?|md|ya?ml|jsonl?|toml|txt|[ct]sv|cfg|ini|sh|lock|db|bak)$",
    re.IGNORECASE,
)
_BARE_FILES = frozenset("makefile dockerfile license readme changelog".split())
_SLASHES = str.maketrans("∕⁄⧸╱⟋⧵∖", "/////\\\\")
_WORD_CHARS = 2000
_WRAPPERS = frozenset({"", "markdown", "md", "text", "txt"})


@dataclass(frozen=True)
class Block:
    """A fenced block that edits a file."""

    path: str
    """The candidate file it edits."""
    body: str
    prose_before: int
    """How many lines of prose stand before it in the reply."""


def fenced_blocks(text: str) -> tuple[list[Block], list[str]]:
    """Return the blocks that edit a file, and the lines outside of all blocks.

    A block without a path is an illustration, unless it is the only one and the reply stands in it.

    Raises:
        EditError: a block is not closed, names no or another file, or a path has no block.
    """
    blocks: list[Block] = []
    prose: list[str] = []
    lines = _unwrapped(split_lines(text))
    index = 0
    before = ""  # the last line that was not blank
    while index < len(lines):
        line = lines[index]
        prose.append(line)
        index += 1
        fence = opened_fence(line)
        if fence is None:
            if line.strip():
                _check_followed(before)
                before = line
            continue
        end = _closing(lines, index, fence[0])
        if end is None:
            raise EditError("truncated", "a fenced block is not closed: the reply seems cut off")
        path = path_of(before, fence[1])
        body = joined(lines[index:end])
        if path is not None:
            blocks.append(Block(path, body, len(prose)))
        elif has_markers(body) or _DEFINES_REQUIRED.search(body):
            raise EditError(
                "path_missing",
                "a fenced block looks like an edit, but no path stands alone on the line before it",
            )
        before = ""
        index = end + 1
    _check_followed(before)
    return blocks, prose


def _unwrapped(lines: list[str]) -> list[str]:
    """Return a reply without the fence of Markdown that some models put around the whole of it.

    That is the only fence, names no file before it, and holds a path and a fence of its own.
    """
    first = next((i for i, line in enumerate(lines) if opened_fence(line)), None)
    fence = opened_fence(lines[first]) if first is not None else None
    if first is None or fence is None or fence[1].strip().lower() not in _WRAPPERS:
        return lines
    end = _closing(lines, first + 1, fence[0])
    if end is None or any(opened_fence(line) for line in lines[end + 1 :]):
        return lines
    before = next((line for line in reversed(lines[:first]) if line.strip()), "")
    inner = lines[first + 1 : end]
    holds_path = any(undecorated(line) in CANDIDATE_PATHS for line in inner)
    holds_fence = any(opened_fence(line) for line in inner)
    if undecorated(before) in CANDIDATE_PATHS or not (holds_path and holds_fence):
        return lines
    return [*lines[:first], *inner, *lines[end + 1 :]]


def _check_followed(before: str) -> None:
    """Refuse a path alone on its line that no block follows: no partial edits."""
    is_listed = before.lstrip().startswith("* ")
    if undecorated(before) in CANDIDATE_PATHS and not is_listed:
        raise EditError(
            "block_missing",
            f"{undecorated(before)} stands alone on a line, but no fenced block follows it",
        )


def opened_fence(line: str) -> tuple[str, str] | None:
    """Return the fence that a line opens, as in CommonMark, and its info string; else None."""
    match = _FENCE.match(line)
    if not match or (match[1][0] == "`" and "`" in match[2]):
        return None
    return match[1], match[2]


def closes_fence(line: str, fence: str) -> bool:
    """Does a line close a fenced block that `fence` opened?"""
    match = _FENCE.match(line)
    return bool(match and match[1].startswith(fence) and not match[2].strip())


def _closing(lines: list[str], start: int, fence: str) -> int | None:
    return next((i for i in range(start, len(lines)) if closes_fence(lines[i], fence)), None)


def path_of(before: str, info: str) -> str | None:
    """Return the file that a fenced block edits, by the line before it.

    Raises:
        EditError: the line or the info string names another file, or a file among other words.
    """
    line = undecorated(before)
    words = line.split()
    named = [word for word in info.split() if _is_pathlike(word)]
    if line in CANDIDATE_PATHS:
        other = [word for word in named if not undecorated(word).endswith(line.split("/")[-1])]
        if other:
            raise EditError("path_not_allowed", f"{other[0][:200]!r} contradicts the path {line}")
        return line
    if len(words) == 1 and _may_be_file(words[0]):
        raise EditError(
            "path_not_allowed",
            f"{words[0][:200]!r} may not be edited: only {' and '.join(CANDIDATE_PATHS)}",
        )
    named += [word for word in words if _is_pathlike(word)]
    if named:
        raise EditError(
            "path_not_allowed",
            f"{named[0][:200]!r} stands among other words before a fenced block; a file to edit "
            f"stands alone on its line, and only {' and '.join(CANDIDATE_PATHS)} may be edited",
        )
    return None


def undecorated(line: str) -> str:
    """Return a line without the marks of Markdown around it."""
    return line.strip().strip("*_`#: \t")


def _may_be_file(word: str) -> bool:
    """May this word, alone on its line, name a file? When in doubt, yes."""
    core = word.rstrip(".,;!?…")
    odd = [c for c in core if not c.isascii() and unicodedata.category(c)[0] in "SPC"]
    return bool(set(core) & set("/\\.~:")) or core.lower() in _BARE_FILES or bool(odd)


def _is_pathlike(word: str) -> bool:
    """Is this word in a sentence a path? `12/8`, `and/or` and web addresses are not."""
    if len(word) > _WORD_CHARS:  # normalising takes quadratic time
        word = word[: _WORD_CHARS // 2] + word[-_WORD_CHARS // 2 :]
    plain = unicodedata.normalize("NFKC", word.strip("*_`#:;()[]{}<>,.!?\"'")).translate(_SLASHES)
    return not _WEB.match(plain) and bool(_PATH.search(plain))
