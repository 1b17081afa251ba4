"""Why a SEARCH text is not in the file: where the two part, for the agent to repair. Pure."""

import difflib
from collections import Counter, defaultdict
from collections.abc import Sequence

_SHOWN_CHARS = 160
_MAX_SAME = 50
"""Places of one line that are looked at."""
_MAX_LINES = 3000
_MAX_COMPARED = 100
"""Lines that are compared letter by letter, which takes quadratic time."""
_MIN_LIKENESS = 0.6
_ALIKE = str.maketrans("‘’‚‛“”„‟–—−`\u00a0", "''''''''---' ")


def why_missing(text: str, search: str) -> str:
    """Return a sentence on the place in `text` nearest to `search`; both end in newlines."""
    lines = text.removesuffix("\n").split("\n")
    wanted = search.removesuffix("\n").split("\n")
    first = next(line for line in wanted if line.strip())
    start = _nearest(lines, wanted)
    if start is None:
        return f"the SEARCH text is not there, nor a line like its first: {_shown(first)}"
    parts = [k for k, line in enumerate(wanted) if _at(lines, start + k) != line]
    at = start + parts[0]
    more = f"; {len(parts) - 1} more of its {len(wanted)} lines differ" if len(parts) > 1 else ""
    found = _at(lines, at)
    has = "ends before it" if found is None else f"has {_shown(found)}"
    why = f" ({_difference(found, wanted[parts[0]])})" if found is not None else ""
    return (
        f"the SEARCH text is not there; it comes nearest at line {max(1, start + 1)}, but at line "
        f"{at + 1} the file {has} and the SEARCH text {_shown(wanted[parts[0]])}{why}{more}"
    )


def _at(lines: Sequence[str], index: int) -> str | None:
    return lines[index] if 0 <= index < len(lines) else None


def _nearest(lines: Sequence[str], wanted: Sequence[str]) -> int | None:
    """Return the index of the line where most lines of `wanted` stand as they do in `lines`."""
    places: dict[str, list[int]] = defaultdict(list)
    for index, line in enumerate(lines):
        if len(same := places[_plain(line)]) < _MAX_SAME:
            same.append(index)
    starts = Counter(
        index - k
        for k, line in enumerate(wanted[:_MAX_LINES])
        if line.strip()
        for index in places.get(_plain(line), ())
    )
    if starts:
        most = max(starts.values())
        best = [start for start, count in starts.items() if count == most][:_MAX_SAME]
        return max(best, key=lambda start: (_agreeing(lines, wanted, start), -start))
    return _most_alike(lines, wanted)


def _agreeing(lines: Sequence[str], wanted: Sequence[str], start: int) -> int:
    """Return how many lines of `wanted` stand there before the two part."""
    pairs = enumerate(wanted[:_MAX_LINES])
    return next((k for k, line in pairs if _at(lines, start + k) != line), len(wanted))


def _most_alike(lines: Sequence[str], wanted: Sequence[str]) -> int | None:
    k, first = next((k, line) for k, line in enumerate(wanted) if line.strip())
    if len(first) > _SHOWN_CHARS:
        return None
    matcher = difflib.SequenceMatcher(b=_plain(first), autojunk=False)
    best, place, compared = _MIN_LIKENESS, None, 0
    for index, line in enumerate(lines[:_MAX_LINES]):
        if len(line) > _SHOWN_CHARS or compared == _MAX_COMPARED:
            continue
        matcher.set_seq1(_plain(line))
        if matcher.real_quick_ratio() > best and matcher.quick_ratio() > best:
            compared += 1
            if (ratio := matcher.ratio()) > best:
                best, place = ratio, index - k
    return place


def _plain(line: str) -> str:
    return " ".join(line.translate(_ALIKE).split())


def _difference(found: str, wanted: str) -> str:
    if found.rstrip() == wanted.rstrip():
        return "only blanks at the line's end differ"
    if found.strip() == wanted.strip():
        return f"only the indentation differs: {_indent(found)}, not {_indent(wanted)}"
    if found.split() == wanted.split():
        return "only the blanks within the line differ"
    if found.casefold().strip() == wanted.casefold().strip():
        return "only capitals differ"
    if _plain(found).replace('"', "'") == _plain(wanted).replace('"', "'"):
        return "only quotes, dashes or blanks differ"
    if not wanted.strip():
        return "an empty line too many"
    if not found.strip():
        return "an empty line is missing"
    if found.strip().startswith(wanted.strip()):
        return "give the whole line"
    return "it must be the same to the letter"


def _indent(line: str) -> str:
    blanks = line[: len(line) - len(line.lstrip())]
    names = Counter("tab" if c == "\t" else "space" if c == " " else "other blank" for c in blanks)
    told = [f"{count} {name}{'s' if count > 1 else ''}" for name, count in names.items()]
    return " and ".join(told) or "none"


def _shown(line: str) -> str:
    if not line.strip():
        return "an empty line" if not line else f"a line of {len(line)} blanks"
    visible = "".join(c if c.isprintable() or c == "\t" else f"\\u{ord(c):04x}" for c in line[:500])
    more = "…" if len(line) > _SHOWN_CHARS else ""
    return f"`{visible[:_SHOWN_CHARS]}{more}`"
