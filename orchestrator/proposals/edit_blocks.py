"""Edits of one file: the whole new text, or SEARCH/REPLACE blocks applied to the old one. Pure."""

import itertools
import re
from collections.abc import Iterable, Sequence

from orchestrator.core.errors import EditError

_DOTS = ("...", "…")
_SEARCH, _DIVIDE, _REPLACE = "<<<<<<< SEARCH", "=======", ">>>>>>> REPLACE"
_LEFT_OUT = re.compile(
    r"\b(?:rest|remain\w*|unchanged|unmodified|same|existing|omitted|previous)\b", re.IGNORECASE
)
_PLACEHOLDER = re.compile(
    r"(?:the )?(?:rest|remainder) of (?:the |this |your )?(?:original )?"
    r"(?:code|file|class|function|method|module|script|implementation)"
    r"(?: (?:is|are|remains?|stays?|unchanged|as|the same|goes|here|continues|omitted)\b.*)?"
    r"|(?:the )?(?:rest|everything(?: else)?|(?:remaining|existing|original|previous) code)"
    r"(?: (?:is|are|remains?|stays?|continues|goes|here|the same|unchanged|as before|as is))+"
    r"|(?:code |section )?(?:unchanged|unmodified|omitted)(?: (?:code|for brevity|from .*))?"
    r"|(?:the )?same as (?:before|above|in the current file)",
    re.IGNORECASE,
)


def apply_edits(path: str, text: str, bodies: Sequence[str]) -> str:
    """Return the file after these blocks, with its former line ends."""
    has_crlf = "\r\n" in text and "\n" not in text.replace("\r\n", "")
    old = text.replace("\r\n", "\n")
    whole = [body for body in bodies if not has_markers(body)]
    if whole and len(bodies) > 1:
        raise EditError("ambiguous", f"{path} is given more than once")
    if whole:
        _refuse_placeholders(path, old, whole[0])
        new = whole[0]
    else:
        new = _replaced(path, old, [pair for body in bodies for pair in _pairs(path, body)])
    return new.replace("\n", "\r\n") if has_crlf else new


def has_markers(body: str) -> bool:
    """Does a fenced block hold SEARCH/REPLACE markers?"""
    return any(line.rstrip() in {_SEARCH, _REPLACE} for line in split_lines(body))


def _pairs(path: str, body: str) -> Iterable[tuple[str, str]]:
    """Yield (search, replacement) for every block. Raises `EditError` for a malformed one."""
    state = "outside"
    parts: dict[str, list[str]] = {}
    for line in split_lines(body.removesuffix("\n")):
        marker = line.rstrip()
        if state == "outside" and marker == _SEARCH:
            state, parts = "search", {"search": [], "replace": []}
        elif state == "search" and marker == _DIVIDE:
            state = "replace"
        elif state == "replace" and marker == _REPLACE:
            state = "outside"
            yield joined(parts["search"]), joined(parts["replace"])
        elif marker in {_SEARCH, _DIVIDE, _REPLACE} or (state == "outside" and marker):
            raise EditError("malformed_block", f"{path}: unexpected line in a block: {line[:200]}")
        elif state != "outside":
            parts[state].append(line)
    if state != "outside":
        raise EditError("malformed_block", f"{path}: a SEARCH/REPLACE block is not closed")


def joined(lines: list[str]) -> str:
    """Return lines as a text whose last line ends too."""
    return "".join(f"{line}\n" for line in lines)


def _replaced(path: str, text: str, pairs: Sequence[tuple[str, str]]) -> str:
    """Replace whole lines; every search text must stand in `text` exactly once."""
    text += "" if text.endswith("\n") else "\n"
    places = sorted(
        (start := _place(path, text, search), start + len(search), replacement)
        for search, replacement in pairs
    )
    for (_, end, _), (start, _, _) in itertools.pairwise(places):
        if start < end:
            raise EditError("search_ambiguous", f"{path}: two SEARCH texts overlap")
    parts, at = [], 0
    for start, end, replacement in places:
        _refuse_placeholders(path, text, replacement)
        parts += [text[at:start], replacement]
        at = end
    return "".join([*parts, text[at:]])


def _place(path: str, text: str, search: str) -> int:
    """Return the position of the search text."""
    if not search.strip():
        raise EditError("search_not_found", f"{path}: an empty SEARCH text names no place")
    padded = "\n" + text
    count = _occurrences(padded, "\n" + search)
    shown = split_lines(search.strip())[0][:200]
    if count == 0:
        raise EditError("search_not_found", f"{path}: the SEARCH text is not there: {shown}")
    if count > 1:
        raise EditError(
            "search_ambiguous", f"{path}: the SEARCH text stands {count} times: {shown}"
        )
    return padded.index("\n" + search)


def _occurrences(text: str, part: str) -> int:
    """Count the places where `part` starts, overlapping ones too (repeated lines do)."""
    count, at = 0, text.find(part)
    while at >= 0:
        count, at = count + 1, text.find(part, at + 1)
    return count


def split_lines(text: str) -> list[str]:
    """Split at newlines alone: `splitlines` would also cut strings at form feeds and the like."""
    return text.replace("\r\n", "\n").split("\n")


def _refuse_placeholders(path: str, old: str, new: str) -> None:
    """Refuse comments in place of omitted code, unless the file had them before."""
    old_lines = {line.strip() for line in split_lines(old)}
    for line in split_lines(new):
        if line.strip() not in old_lines and _is_placeholder(line):
            raise EditError(
                "placeholder",
                f"{path}: a line stands for code left out ({line.strip()[:100]}); "
                "give the whole file or SEARCH/REPLACE blocks",
            )


def _is_placeholder(line: str) -> bool:
    code, _, comment = line.partition("#")
    if not comment or code.strip() not in {"", *_DOTS}:
        return False
    inner = comment.strip("# \t-=()[]<>*")
    words = inner.strip(" .…")
    if not words:
        return inner in _DOTS
    if (code.strip() or inner.startswith(_DOTS)) and _LEFT_OUT.search(words):
        return True
    if inner.endswith(_DOTS) and _LEFT_OUT.match(words):
        return True
    return bool(_PLACEHOLDER.fullmatch(words))
