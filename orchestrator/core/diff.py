"""The change between two candidates, as `git diff` shows it. Pure."""

import difflib
import re
from collections.abc import Iterator

from orchestrator.core.records import Files


def unified_diff(before: Files, after: Files) -> Iterator[str]:
    """Yield the lines of the change in both files, as `git diff` shows it."""
    new = after.by_path()
    for path, old in before.by_path().items():
        for line in difflib.unified_diff(_lines(old), _lines(new[path]), f"a/{path}", f"b/{path}"):
            yield line if line.endswith("\n") else f"{line}\n\\ No newline at end of file\n"


def _lines(text: str) -> list[str]:
    """Split at newlines alone, as git does; `splitlines` would also cut at form feeds."""
    return [line for line in re.split(r"(?<=\n)", text) if line]
