"""From an agent's reply to the two files it means. Pure; nothing is guessed and nothing is partial.

A reply is prose with, for each file it changes, a line that holds the path alone and then a fenced
block: the whole new file, or SEARCH/REPLACE blocks. A search text must occur exactly once; a reply
that names any other file is refused whole; what fails, fails with a name (`EditError.code`).
"""

import ast
import re
from collections.abc import Iterable
from dataclasses import dataclass

from orchestrator.errors import EditError
from orchestrator.records import CANDIDATE_PATHS, ENV_PATH, TRAIN_PATH, Files, Proposal, Reply

MAX_FILE_BYTES = 256 * 1024
MAX_REPLY_CHARS = 2 * 1024 * 1024
MAX_DESCRIPTION_CHARS = 200
MAX_RATIONALE_CHARS = 4000

REQUIRED = {ENV_PATH: ("create_env",), TRAIN_PATH: ("build_policy", "training_overrides")}

_FENCE = re.compile(r"^ {0,3}(`{3,}|~{3,})(.*)$")
_SEARCH, _DIVIDE, _REPLACE = "<<<<<<< SEARCH", "=======", ">>>>>>> REPLACE"
_FIELD = re.compile(r"^[\s*_#>-]*(description|rationale)[*_]*\s*:[*_]*\s*(.*)$", re.IGNORECASE)
_PLACEHOLDER = re.compile(
    r"^\s*#\s*(?:\.{3}|…).*\b(?:rest|remain\w*|unchanged|same|existing|omitted|previous)\b"
    r"|^\s*#.*\b(?:rest of (?:the )?(?:code|file)|unchanged)\b.*(?:\.{3}|…)",
    re.IGNORECASE,
)
_REFUSAL = re.compile(r"\bI(?:['’]m| am)? (?:sorry|can(?:no|['’])t|unable)\b", re.IGNORECASE)


def read_reply(reply: Reply, current: Files) -> Proposal:
    """Return what the reply proposes, applied to the current files.

    Raises:
        EditError: the reply holds no legal edit; nothing of it is used.
    """
    _check_ending(reply)
    blocks = _fenced_blocks(reply.text)
    edits = [block for block in blocks if block.path is not None]
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
    description, rationale = _fields(reply.text)
    return Proposal(description, rationale, files)


def check_file(path: str, text: str) -> None:
    """Check one file by itself: size, encoding, syntax, required functions.

    Raises:
        EditError: naming what is wrong, with a line number where there is one.
    """
    try:
        size = len(text.encode())
    except UnicodeEncodeError:
        raise EditError("encoding", f"{path} is not valid text (UTF-8)") from None
    if size > MAX_FILE_BYTES:
        raise EditError("too_large", f"{path} has {size} bytes; at most {MAX_FILE_BYTES}")
    if "\0" in text:
        raise EditError("encoding", f"{path} holds a null character")
    tree = _parse(path, text)
    bound = _module_names(tree)
    missing = [name for name in REQUIRED[path] if name not in bound]
    if missing:
        raise EditError("missing_function", f"{path} lacks {', '.join(missing)}()")


def fingerprint(files: Files) -> str:
    """Return the syntax trees of both files: equal for edits of comments and layout alone.

    Raises:
        EditError: a file does not parse.
    """
    return "\n".join(ast.dump(_parse(path, text)) for path, text in files.by_path().items())


def _parse(path: str, text: str) -> ast.Module:
    try:
        return ast.parse(text)
    except (SyntaxError, ValueError, RecursionError, MemoryError) as error:
        line = getattr(error, "lineno", None)
        at = f" line {line}" if line else ""
        source = getattr(error, "text", None)
        quoted = f": {source.strip()[:200]}" if source else ""
        message = getattr(error, "msg", None) or type(error).__name__
        raise EditError("syntax_error", f"{path}{at}: {message}{quoted}") from None


def _module_names(tree: ast.Module) -> set[str]:
    names: set[str] = set()
    for node in tree.body:
        if isinstance(node, ast.FunctionDef | ast.ClassDef):
            names.add(node.name)
        elif isinstance(node, ast.Import | ast.ImportFrom):
            names.update(alias.asname or alias.name for alias in node.names)
        elif isinstance(node, ast.Assign):
            names.update(t.id for t in node.targets if isinstance(t, ast.Name))
    return names


# -- the reply -------------------------------------------------------------------------------------


@dataclass(frozen=True)
class _Block:
    path: str | None
    """The candidate file it edits; None for a block that only illustrates."""
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


def _fenced_blocks(text: str) -> list[_Block]:
    blocks: list[_Block] = []
    lines = _lines(text)
    index = 0
    before = ""  # the last line that was not blank
    while index < len(lines):
        fence = _FENCE.match(lines[index])
        if not fence or (fence[1][0] == "`" and "`" in fence[2]):
            before = lines[index] if lines[index].strip() else before
            index += 1
            continue
        end = _closing(lines, index + 1, fence[1])
        if end is None:
            raise EditError("truncated", "a fenced block is not closed: the reply seems cut off")
        path = _path_of(before, fence[2])
        body = "".join(f"{line}\n" for line in lines[index + 1 : end])
        blocks.append(_Block(path, body))
        before = ""
        index = end + 1
    return blocks


def _closing(lines: list[str], start: int, fence: str) -> int | None:
    for index in range(start, len(lines)):
        match = _FENCE.match(lines[index])
        if match and match[1].startswith(fence) and not match[2].strip():
            return index
    return None


def _path_of(before: str, info: str) -> str | None:
    """Return the file that a fence edits, going by the line before it.

    Raises:
        EditError: the line names another file, or a file among other words.
    """
    line = before.strip().strip("*_`#: \t")
    if line in CANDIDATE_PATHS:
        return line
    words = line.split()
    if len(words) == 1 and _is_pathlike(words[0]):
        raise EditError(
            "path_not_allowed",
            f"{words[0][:200]!r} may not be edited: only {' and '.join(CANDIDATE_PATHS)}",
        )
    for word in (*words, *info.split()):
        if _is_pathlike(word.strip("*_`#:()[],")):
            raise EditError(
                "path_not_allowed",
                f"{word[:200]!r} stands among other words before a fenced block; a file to edit "
                f"stands alone on its line, and only {' and '.join(CANDIDATE_PATHS)} may be edited",
            )
    return None


def _is_pathlike(word: str) -> bool:
    if "://" in word:
        return False
    return bool("/" in word or "\\" in word or re.search(r"\w\.\w{1,5}$", word))


# -- applying --------------------------------------------------------------------------------------


def _apply(path: str, text: str, bodies: list[str]) -> str:
    whole = [body for body in bodies if not _has_markers(body)]
    if whole and len(bodies) > 1:
        raise EditError("ambiguous", f"{path} is given more than once")
    if whole:
        _refuse_placeholders(path, whole[0])
        return whole[0]
    for body in bodies:
        for search, replacement in _search_blocks(path, body):
            text = _replace(path, text, search, replacement)
    return text


def _has_markers(body: str) -> bool:
    return any(line.rstrip() in {_SEARCH, _REPLACE} for line in _lines(body))


def _search_blocks(path: str, body: str) -> Iterable[tuple[str, str]]:
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
        elif marker in {_SEARCH, _REPLACE} or (state == "outside" and marker):
            raise EditError("malformed_block", f"{path}: unexpected line in a block: {line[:200]}")
        elif state != "outside":
            parts[state].append(line)
    if state != "outside":
        raise EditError("malformed_block", f"{path}: a SEARCH/REPLACE block is not closed")


def _joined(lines: list[str]) -> str:
    return "".join(f"{line}\n" for line in lines)


def _replace(path: str, text: str, search: str, replacement: str) -> str:
    """Replace whole lines; `search` must stand in `text` exactly once."""
    if not search.strip():
        raise EditError("search_not_found", f"{path}: an empty SEARCH text names no place")
    padded = "\n" + text + ("" if text.endswith("\n") else "\n")
    count = _occurrences(padded, "\n" + search)
    shown = _lines(search.strip())[0][:200]
    if count == 0:
        raise EditError("search_not_found", f"{path}: the SEARCH text is not there: {shown}")
    if count > 1:
        raise EditError(
            "search_ambiguous", f"{path}: the SEARCH text stands {count} times: {shown}"
        )
    return padded.replace("\n" + search, "\n" + replacement)[1:]


def _occurrences(text: str, part: str) -> int:
    """Count the places where `part` starts, overlapping ones too (repeated lines do)."""
    count, at = 0, text.find(part)
    while at >= 0:
        count, at = count + 1, text.find(part, at + 1)
    return count


def _lines(text: str) -> list[str]:
    """Split at newlines alone: `splitlines` would also cut strings at form feeds and the like."""
    return text.replace("\r\n", "\n").split("\n")


def _refuse_placeholders(path: str, text: str) -> None:
    for number, line in enumerate(_lines(text), 1):
        if _PLACEHOLDER.search(line):
            raise EditError(
                "placeholder",
                f"{path} line {number} stands for code left out ({line.strip()[:100]}); "
                "give the whole file or SEARCH/REPLACE blocks",
            )


def _fields(text: str) -> tuple[str, str]:
    """Return the description and the rationale, both bounded."""
    description, reading = "", False
    rationale: list[str] = []
    for line in _lines(text):
        field = _FIELD.match(line)
        if _FENCE.match(line) or line.strip().strip("*_`#: ") in CANDIDATE_PATHS:
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
