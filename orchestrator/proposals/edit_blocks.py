"""Edits of one file: the whole new text, or SEARCH/REPLACE blocks applied to the old one. Pure."""

import itertools
import re
from collections.abc import Iterable, Sequence

from orchestrator.core.errors import EditError
from orchestrator.core.python_source import BOM
from orchestrator.proposals.candidate_code import parse
from orchestrator.proposals.missed_search import why_missing

MAX_PAIRS = 1000
MAX_PLACES = 10
_LINE_END = re.compile(r"\r\n|\r|\n")
_DOTS = ("...", "…")
_SEARCH, _DIVIDE, _REPLACE = "<<<<<<< SEARCH", "=======", ">>>>>>> REPLACE"
FORM = (
    "the whole new file, or blocks of three marker lines to the letter, from the line's start: "
    f"`{_SEARCH}`, then lines as they are, `{_DIVIDE}`, then lines as they should be, `{_REPLACE}`"
)
"""What a fenced block under a path may hold."""
# Diffs, patches, markers of another length, case or word, and indented ones.
_OTHER_FORM = re.compile(
    r"^(?:[ \t]*[<>]{5,}|@@(?: |$)|(?:---|\*\*\*) (?:[ab]/|\S{0,200}\.py\b)"
    r"|\*\*\* (?:Begin|Update|Add|Delete|End)\b)",
    re.MULTILINE,
)
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
    """Return the file after these blocks, with its former line ends and byte order mark."""
    ends = set(_LINE_END.findall(text))
    old = one_newline(text.removeprefix(BOM))
    whole = [body for body in bodies if not has_markers(body)]
    for body in whole:
        _refuse_other_form(path, body)
    if whole and len(bodies) > 1:
        raise EditError("ambiguous", f"{path} is given more than once")
    mark = BOM if any(part.startswith(BOM) for part in (text, *whole)) else ""
    if whole:
        new = whole[0].removeprefix(BOM)
        _refuse_placeholders(path, old, [new])
    else:
        pairs = [pair for body in bodies for pair in search_replace_pairs(path, body)]
        new = _replaced(path, old, pairs)
    return mark + (new.replace("\n", ends.pop()) if len(ends) == 1 else new)


def has_markers(body: str) -> bool:
    """Does a fenced block hold SEARCH/REPLACE markers?"""
    return any(line.rstrip() in {_SEARCH, _REPLACE} for line in split_lines(body))


def has_other_form(text: str) -> bool:
    """Does a text hold a line of a diff, a patch or markers that are not read?"""
    return bool(_OTHER_FORM.search(text))


def _refuse_other_form(path: str, body: str) -> None:
    """Refuse an edit that is no whole file, in words that name what is wrong with it.

    A file may hold such a line, in a text: what parses is a file.
    """
    if not has_other_form(body):
        return
    try:
        parse(path, body)
    except EditError as error:
        raise EditError(
            "malformed_block",
            f"{path}: neither a whole file nor SEARCH/REPLACE blocks (diffs, patches and other "
            f"markers are not read); the fence holds {FORM}. As a whole file: {error}",
        ) from None


def search_replace_pairs(path: str, body: str) -> Iterable[tuple[str, str]]:
    """Yield (search, replacement) for every block. Raises `EditError` for a malformed one."""
    body = body.removesuffix("\n")
    if sum(line.rstrip() == _SEARCH for line in split_lines(body)) > MAX_PAIRS:
        raise EditError("too_large", f"{path}: more than {MAX_PAIRS} SEARCH/REPLACE blocks")
    state = "outside"
    parts: dict[str, list[str]] = {}
    for line in split_lines(body):
        marker = line.rstrip()
        if state == "outside" and marker == _SEARCH:
            state, parts = "search", {"search": [], "replace": []}
        elif state == "search" and marker == _DIVIDE:
            state = "replace"
        elif state == "replace" and marker == _REPLACE:
            state = "outside"
            yield joined(parts["search"]), joined(parts["replace"])
        elif marker in {_SEARCH, _DIVIDE, _REPLACE} or (state == "outside" and marker):
            raise EditError(
                "malformed_block",
                f"{path}: unexpected line in a block: {line[:200]}; the fence holds {FORM}",
            )
        elif state != "outside":
            parts[state].append(line)
    if state != "outside":
        raise EditError(
            "malformed_block",
            f"{path}: a SEARCH/REPLACE block is not closed; the fence holds {FORM}",
        )


def joined(lines: list[str]) -> str:
    """Return lines as a text whose last line ends too."""
    return "".join(f"{line}\n" for line in lines)


def _replaced(path: str, text: str, pairs: Sequence[tuple[str, str]]) -> str:
    """Replace whole lines; every search text must stand in `text` exactly once."""
    text += "" if text.endswith("\n") else "\n"
    _refuse_placeholders(path, text, [replacement for _, replacement in pairs])
    places = sorted(
        (start := _place(path, text, search), start + len(search), replacement)
        for search, replacement in pairs
    )
    for (_, end, _), (start, _, _) in itertools.pairwise(places):
        if start < end:
            raise EditError("search_ambiguous", f"{path}: two SEARCH texts overlap")
    parts, at = [], 0
    for start, end, replacement in places:
        parts += [text[at:start], replacement]
        at = end
    return "".join([*parts, text[at:]])


def _place(path: str, text: str, search: str) -> int:
    """Return the position of the search text."""
    if not search.strip():
        raise EditError("search_not_found", f"{path}: an empty SEARCH text names no place")
    padded, wanted = "\n" + text, "\n" + search
    places: list[int] = []
    at = padded.find(wanted)
    while at >= 0 and len(places) < MAX_PLACES:  # overlapping ones too: repeated lines do
        places.append(at)
        at = padded.find(wanted, at + 1)
    if not places:
        raise EditError("search_not_found", f"{path}: {why_missing(text, search)}")
    if len(places) > 1:
        numbers = ", ".join(str(padded.count("\n", 0, place) + 1) for place in places)
        more = " and more" if at >= 0 else ""
        raise EditError(
            "search_ambiguous",
            f"{path}: the SEARCH text stands {len(places)} times{' or more' if more else ''}, from "
            f"lines {numbers}{more}: add lines around it until it stands once: "
            f"{split_lines(search.strip())[0][:200]}",
        )
    return places[0]


def one_newline(text: str) -> str:
    """Return the text with a newline for each line end that Python knows: CRLF, and CR alone."""
    return text.replace("\r\n", "\n").replace("\r", "\n")


def split_lines(text: str) -> list[str]:
    """Split where Python ends lines; `splitlines` would also cut strings at form feeds."""
    return one_newline(text).split("\n")


def _refuse_placeholders(path: str, old: str, new: Iterable[str]) -> None:
    """Refuse comments in place of omitted code, unless the file had them before."""
    old_lines = {line.strip() for line in split_lines(old)}
    for line in itertools.chain.from_iterable(map(split_lines, new)):
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
