"""What a viewer asks for, read from the address of a request."""

from collections.abc import Mapping

from orchestrator.core.errors import UserError
from orchestrator.web.table import MAX_ROWS, SORT_KEYS, Query

_MOST_NUMBERS = 500
_LARGEST = 2**53


def query_of(given: Mapping[str, str]) -> Query:
    """Return what the page asks of the table.

    Raises:
        UserError: it is no such question.
    """
    sort = given.get("sort") or "n"
    if sort not in SORT_KEYS:
        raise UserError(f"there is no column {sort[:40]!r}: {', '.join(SORT_KEYS)}")
    statuses = frozenset(filter(None, given.get("status", "").split(",")))
    return Query(
        words=given.get("q", "")[:200],
        statuses=statuses,
        rung=given.get("rung", ""),
        is_flagged=given.get("flagged") == "1",
        sort=sort,
        is_descending=given.get("desc", "1") == "1",
        offset=_whole(given.get("offset", "0"), 10**9),
        limit=_whole(given.get("limit", "100"), MAX_ROWS),
    )


def _whole(text: str, most: int) -> int:
    if not (text.isascii() and text.isdigit()) or len(text) > 12:
        raise UserError(f"{text[:40]!r} is no number")
    return min(int(text), most)


def number_in_path(n: int) -> int:
    """Return the number of an experiment. Raises `UserError` where none has such a number."""
    if not 0 < n < _LARGEST:
        raise UserError("there is no experiment of that number")
    return n


def numbers_of(text: str) -> set[int]:
    """Return the experiments that are asked for, as in `12,13`.

    Raises:
        UserError: these are no numbers, or too many.
    """
    words = list(filter(None, text[:10_000].split(",")))
    if len(words) > _MOST_NUMBERS:
        raise UserError(f"more than {_MOST_NUMBERS} experiments at a time are not answered")
    return {_whole(word, 10**12) for word in words}
