"""Read an agent's reply into the two candidate files. Pure: no guesses, no partial edits.

A reply is prose with, for each file it changes, a line that holds the path alone and then a fenced
block: the whole new file, or SEARCH/REPLACE blocks. A search text must occur exactly once; a reply
that names any other file is refused whole; every failure has a code (`EditError.code`).
"""

import itertools
import re
import unicodedata
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from orchestrator.core.errors import EditError
from orchestrator.core.records import CANDIDATE_PATHS, ENV_PATH, TRAIN_PATH, Files, Proposal, Reply
from orchestrator.proposals.candidate_code import REQUIRED, check_file, fingerprint

MAX_REPLY_CHARS = 2 * 1024 * 1024
MAX_DESCRIPTION_CHARS = 200
MAX_RATIONALE_CHARS = 4000


_FENCE = re.compile(r"^ {0,3}(`{3,}|~{3,})(.*)$")
_SEARCH, _DIVIDE, _REPLACE = "<<<<<<< SEARCH", "=======", ">>>>>>> REPLACE"
_DEFINES_REQUIRED = re.compile(
    rf"^def (?:{'|'.join(itertools.chain(*REQUIRED.values()))})\b", re.MULTILINE
)
_WEB = re.compile(r"https?://", re.IGNORECASE)
_PATH = re.compile(
    r"^(?:~?/|\.{1,2}[/\\]|[a-z]:[/\\])|candidate[/\\]|[/\\]\.|\.git\b"
    r"|\.(?:py\w?|md|ya?ml|jsonl?|toml|txt|[ct]sv|cfg|ini|sh|lock|db|bak)$",
    re.IGNORECASE,
)
_BARE_FILES = frozenset("makefile dockerfile license readme changelog".split())
_SLASHES = str.maketrans("∕⁄⧸╱⟋⧵∖", "/////\\\\")
_FIELD = re.compile(r"^[\s*_#>-]*(description|rationale)[*_]*\s*:[*_]*\s*(.*)$", re.IGNORECASE)
_DOTS = ("...", "…")
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
_REFUSAL = re.compile(r"\bI(?:['’]m| am)? (?:sorry|can(?:no|['’])t|unable)\b", re.IGNORECASE)


def read_reply(reply: Reply, current: Files) -> Proposal:
    """Return the proposal: the reply's edits, applied to the current files.

    Raises:
        EditError: the reply holds no legal edit; nothing of it is used.
    """
    _check_ending(reply)
    edits, prose = _fenced_blocks(reply.text)
    if not edits:
        raise _no_edit(reply.text)
    texts = current.by_path()
    for path in CANDIDATE_PATHS:
        bodies = [block.body for block in edits if block.path == path]
        if bodies:
            texts[path] = _apply(path, texts[path], bodies)
            check_file(path, texts[path])
    files = Files(env=texts[ENV_PATH], train=texts[TRAIN_PATH])
    if fingerprint(files) == fingerprint(current):
        raise EditError("unchanged", "the edit changes nothing: the code is the same as before")
    description, rationale = _fields(prose)
    return Proposal(description, rationale, files)


# -- the reply -------------------------------------------------------------------------------------


@dataclass(frozen=True)
class _Block:
    path: str
    """The candidate file it edits."""
    body: str


def _check_ending(reply: Reply) -> None:
    if reply.finish_reason == "length":
        raise EditError("truncated", "the reply was cut off at the output limit; answer shorter")
    if reply.finish_reason == "refusal":
        raise EditError("refusal", f"the model refused: {reply.text[:200]}")
    if reply.finish_reason == "content_filter":
        raise EditError("content_filter", "the model's content filter stopped the reply")
    if not reply.text.strip():
        raise EditError("empty", "the reply is empty")
    if len(reply.text) > MAX_REPLY_CHARS:
        raise EditError("too_large", f"the reply has more than {MAX_REPLY_CHARS} characters")


def _no_edit(text: str) -> EditError:
    if _REFUSAL.search(text[:500]):
        return EditError("refusal", "the model refused")
    return EditError(
        "no_edit",
        "the reply holds no edit: put candidate/env.py or candidate/train.py alone on a line, "
        "then a fenced block with the file",
    )


def _fenced_blocks(text: str) -> tuple[list[_Block], list[str]]:
    """Return the blocks that edit a file, and the lines outside of all blocks.

    A block without a path is an illustration.
    """
    blocks: list[_Block] = []
    prose: list[str] = []
    lines = _lines(text)
    index = 0
    before = ""  # the last line that was not blank
    while index < len(lines):
        line = lines[index]
        prose.append(line)
        index += 1
        fence = _FENCE.match(line)
        if not fence or (fence[1][0] == "`" and "`" in fence[2]):
            if line.strip():
                _check_followed(before)
                before = line
            continue
        end = _closing(lines, index, fence[1])
        if end is None:
            raise EditError("truncated", "a fenced block is not closed: the reply seems cut off")
        path = _path_of(before, fence[2])
        body = _joined(lines[index:end])
        if path is not None:
            blocks.append(_Block(path, body))
        elif _has_markers(body) or _DEFINES_REQUIRED.search(body):
            raise EditError(
                "path_missing",
                "a fenced block looks like an edit, but no path stands alone on the line before it",
            )
        before = ""
        index = end + 1
    _check_followed(before)
    return blocks, prose


def _check_followed(before: str) -> None:
    """Refuse a path alone on its line that no block follows: no partial edits."""
    is_listed = before.lstrip().startswith("* ")
    if _undecorated(before) in CANDIDATE_PATHS and not is_listed:
        raise EditError(
            "block_missing",
            f"{_undecorated(before)} stands alone on a line, but no fenced block follows it",
        )


def _closing(lines: list[str], start: int, fence: str) -> int | None:
    for index in range(start, len(lines)):
        match = _FENCE.match(lines[index])
        if match and match[1].startswith(fence) and not match[2].strip():
            return index
    return None


def _path_of(before: str, info: str) -> str | None:
    """Return the file that a fenced block edits, by the line before it.

    Raises:
        EditError: the line or the info string names another file, or a file among other words.
    """
    line = _undecorated(before)
    words = line.split()
    named = [word for word in info.split() if _is_pathlike(word)]
    if line in CANDIDATE_PATHS:
        other = [word for word in named if not _undecorated(word).endswith(line.split("/")[-1])]
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


def _undecorated(line: str) -> str:
    return line.strip().strip("*_`#: \t")


def _may_be_file(word: str) -> bool:
    """May this word, alone on its line, name a file? When in doubt, yes."""
    core = word.rstrip(".,;!?…")
    odd = [c for c in core if not c.isascii() and unicodedata.category(c)[0] in "SPC"]
    return bool(set(core) & set("/\\.~:")) or core.lower() in _BARE_FILES or bool(odd)


def _is_pathlike(word: str) -> bool:
    """Is this word in a sentence a path? `12/8`, `and/or` and web addresses are not."""
    plain = unicodedata.normalize("NFKC", word.strip("*_`#:;()[]{}<>,.!?\"'")).translate(_SLASHES)
    return not _WEB.match(plain) and bool(_PATH.search(plain))


# -- applying --------------------------------------------------------------------------------------


def _apply(path: str, text: str, bodies: Sequence[str]) -> str:
    """Return the file after these blocks, with its former line ends."""
    has_crlf = "\r\n" in text and "\n" not in text.replace("\r\n", "")
    old = text.replace("\r\n", "\n")
    whole = [body for body in bodies if not _has_markers(body)]
    if whole and len(bodies) > 1:
        raise EditError("ambiguous", f"{path} is given more than once")
    if whole:
        _refuse_placeholders(path, old, whole[0])
        new = whole[0]
    else:
        new = _replaced(path, old, [pair for body in bodies for pair in _pairs(path, body)])
    return new.replace("\n", "\r\n") if has_crlf else new


def _has_markers(body: str) -> bool:
    return any(line.rstrip() in {_SEARCH, _REPLACE} for line in _lines(body))


def _pairs(path: str, body: str) -> Iterable[tuple[str, str]]:
    """Yield (search, replacement) for every block. Raises `EditError` for a malformed one."""
    state = "outside"
    parts: dict[str, list[str]] = {}
    for line in _lines(body.removesuffix("\n")):
        marker = line.rstrip()
        if state == "outside" and marker == _SEARCH:
            state, parts = "search", {"search": [], "replace": []}
        elif state == "search" and marker == _DIVIDE:
            state = "replace"
        elif state == "replace" and marker == _REPLACE:
            state = "outside"
            yield _joined(parts["search"]), _joined(parts["replace"])
        elif marker in {_SEARCH, _DIVIDE, _REPLACE} or (state == "outside" and marker):
            raise EditError("malformed_block", f"{path}: unexpected line in a block: {line[:200]}")
        elif state != "outside":
            parts[state].append(line)
    if state != "outside":
        raise EditError("malformed_block", f"{path}: a SEARCH/REPLACE block is not closed")


def _joined(lines: list[str]) -> str:
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
    shown = _lines(search.strip())[0][:200]
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


def _lines(text: str) -> list[str]:
    """Split at newlines alone: `splitlines` would also cut strings at form feeds and the like."""
    return text.replace("\r\n", "\n").split("\n")


def _refuse_placeholders(path: str, old: str, new: str) -> None:
    """Refuse comments in place of omitted code, unless the file had them before."""
    old_lines = {line.strip() for line in _lines(old)}
    for line in _lines(new):
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


def describe(text: str) -> str:
    """Return the description of a reply, even of one that can't be used; empty without one."""
    for line in text.split("\n"):
        field = _FIELD.match(line)
        if field and field[1].lower() == "description":
            return field[2].strip()[:MAX_DESCRIPTION_CHARS]
    return ""


def _fields(prose: Iterable[str]) -> tuple[str, str]:
    """Return the description and the rationale, both bounded."""
    description, reading = "", False
    rationale: list[str] = []
    for line in prose:
        field = _FIELD.match(line)
        if _FENCE.match(line) or _undecorated(line) in CANDIDATE_PATHS:
            reading = False
        elif field and field[1].lower() == "description" and not description:
            description, reading = field[2].strip(), False
        elif field and field[1].lower() == "rationale" and not rationale:
            rationale, reading = [field[2]], True
        elif reading:
            rationale.append(line)
    return (
        description[:MAX_DESCRIPTION_CHARS] or "(no description)",
        "\n".join(rationale).strip()[:MAX_RATIONALE_CHARS],
    )
