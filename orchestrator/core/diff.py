"""The change between two candidates, as `git diff` shows it. Pure."""

import difflib
import itertools
import re
from collections import Counter
from collections.abc import Iterator, Sequence

from orchestrator.core.records import Files

MAX_PAIRS = 200_000
"""Pairs of equal lines up to which the smallest change is looked for: that takes their square."""
_CONTEXT = 3


def unified_diff(before: Files, after: Files, *, context: int = _CONTEXT) -> Iterator[str]:
    """Yield the lines of the change in both files, as `git diff` shows it.

    Where many lines are equal to many others, all from the first to the last difference is given
    as changed.

    Args:
        before: the files before the change.
        after: the files after it.
        context: equal lines around each place.
    """
    new = after.by_path()
    for path, text in before.by_path().items():
        if text == new[path]:
            continue
        old_lines, new_lines = _lines(text), _lines(new[path])
        names = (f"a/{path}", f"b/{path}")
        if _pairs(old_lines, new_lines) <= MAX_PAIRS:
            change = difflib.unified_diff(old_lines, new_lines, *names, n=context)
        else:
            change = _one_hunk(old_lines, new_lines, *names)
        for line in change:
            yield line if line.endswith("\n") else f"{line}\n\\ No newline at end of file\n"


def _pairs(old: Sequence[str], new: Sequence[str]) -> int:
    """Return how many pairs of equal lines `difflib` looks at: it leaves popular lines out."""
    counts, others = Counter(new), Counter(old)
    most = len(new) // 100 + 1 if len(new) >= 200 else len(new)
    return sum(count * others[line] for line, count in counts.items() if count <= most)


def _one_hunk(old: Sequence[str], new: Sequence[str], before: str, after: str) -> Iterator[str]:
    head = _same(old, new)
    tail = _same(old[head:][::-1], new[head:][::-1])
    if head == len(old) == len(new):
        return
    first, last = max(0, head - _CONTEXT), min(tail, _CONTEXT)
    sizes = [len(lines) - tail + last - first for lines in (old, new)]
    ranges = [f"{first + 1 if size else first},{size}" for size in sizes]
    yield from (f"--- {before}\n", f"+++ {after}\n", f"@@ -{ranges[0]} +{ranges[1]} @@\n")
    yield from (f" {line}" for line in old[first:head])
    yield from (f"-{line}" for line in old[head : len(old) - tail])
    yield from (f"+{line}" for line in new[head : len(new) - tail])
    yield from (f" {line}" for line in old[len(old) - tail :][:last])


def _same(old: Sequence[str], new: Sequence[str]) -> int:
    """Return with how many equal lines both begin."""
    pairs = zip(old, new, strict=False)
    return sum(1 for _ in itertools.takewhile(lambda pair: pair[0] == pair[1], pairs))


def _lines(text: str) -> list[str]:
    """Split at newlines alone, as git does; `splitlines` would also cut at form feeds."""
    return [line for line in re.split(r"(?<=\n)", text) if line]
