"""Values out of a program's output, whatever they are: nothing here raises."""

import json
import math
import re
from collections.abc import Mapping

from orchestrator.agents.programs.program import Said
from orchestrator.core.records import Tokens

TEXT_CHARS = 100_000
"""Of a message its end is kept."""
_MOST = 10**12
"""No count of tokens, and no cost, is higher: what is would be nonsense."""
_ERROR_LINES = 5
_STATUS = re.compile(r'\b(?:status|code|error|http)"?[\s:(]*([45]\d\d)\b', re.IGNORECASE)
_VERSION = re.compile(r"\b\d+\.\d+(?:\.\d+)*(?:[-+.][0-9A-Za-z.]+)?")


def object_in(line: bytes) -> Mapping[str, object] | None:
    """Return the JSON object in a line; None if it holds anything else."""
    try:
        value = json.loads(line)
    except (ValueError, RecursionError):
        return None
    return value if isinstance(value, dict) else None


def at(value: object, *keys: str) -> object:
    """Return what stands below the keys; None if there is nothing."""
    for key in keys:
        value = value.get(key) if isinstance(value, dict) else None
    return value


def text(value: object) -> str:
    """Return a text that can be written anywhere; an empty one for anything else."""
    if not isinstance(value, str):
        return ""
    return value[-TEXT_CHARS:].encode(errors="replace").decode()


def count(value: object) -> int | None:
    """Return a count of tokens, None if this is none."""
    is_count = isinstance(value, int) and not isinstance(value, bool) and 0 <= value <= _MOST
    return int(value) if is_count else None  # type: ignore[call-overload]


def dollars(value: object) -> float | None:
    """Return a cost, None if this is none."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None
    return float(value) if 0 <= value <= _MOST and math.isfinite(value) else None


def added(*counts: int | None) -> int | None:
    """Return the sum of the known counts, None if none is known."""
    known = [number for number in counts if number is not None]
    return sum(known) if known else None


def without_cache(usage: object, names: tuple[str, str, str, str, tuple[str, ...]]) -> Tokens:
    """Return the tokens of a usage whose input leaves out what was cached.

    Args:
        usage: the record.
        names: those of its input, of what was read from the cache and written into it, of the
            output, and the path of the reasoning tokens in it.
    """
    uncached, read, written, output, reasoning = names
    cached = count(at(usage, read))
    return Tokens(
        added(count(at(usage, uncached)), cached, count(at(usage, written))),
        cached,
        count(at(usage, output)),
        count(at(usage, *reasoning)),
    )


def status_in(error: str) -> int | None:
    """Return the HTTP status that an error's text names."""
    found = _STATUS.search(error)
    return int(found[1]) if found else None


def version_in(printed: str) -> str | None:
    """Return the first version in a text."""
    found = _VERSION.search(printed)
    return found[0] if found else None


def failed(said: Said, exit_code: int | None, stderr: str) -> Said:
    """Complete what a program said, where it ended by an error that only its exit code tells."""
    if said.error or exit_code in {0, None}:
        return said
    lines = stderr.strip().splitlines()[-_ERROR_LINES:]
    error = text("\n".join([f"exit code {exit_code}", *lines]))
    return Said(
        said.text, said.tokens, said.cost_usd, error, said.status or status_in(error), said.is_known
    )
