"""Replies that ask to see the code of earlier experiments: `show: #3, #7`. Pure."""

import re
from collections.abc import Sequence

from orchestrator.core.errors import EditError
from orchestrator.core.records import Attempt, Reply
from orchestrator.proposals.edit_blocks import split_lines
from orchestrator.proposals.endings import check_ending
from orchestrator.proposals.fences import fenced_blocks
from orchestrator.proposals.reasoning import answer_of

MAX_SHOWN = 3
"""Experiments that one reply may ask to see."""
MAX_SHOWS = 3
"""Replies of one experiment that may ask."""
_SHOW = re.compile(r"^[\s*_#>`-]{0,20}show[*_`]{0,4}\s{0,9}:(.{0,400})$", re.IGNORECASE)
_SHOW_NUMBERS = re.compile(  # without a colon, only numbers may follow
    r"^[\s*_#>`-]{0,20}show[*_`]{0,4}\s{1,9}((?:#\s?\d{1,9}(?:[\s,;&*_`.]|and){0,20}){1,50})$",
    re.IGNORECASE,
)
_NUMBER = re.compile(r"#\s?(\d{1,9})\b")
_BARE = re.compile(r"[\s*_`]*\d{1,9}(?:[\s,;&]|and)*(?:\d{1,9}(?:[\s,;&*_`.]|and)*)*$")
_MOST_CHARS = 100_000
"""Length from which on a reply is no such request."""


def asked_to_show(reply: Reply) -> tuple[int, ...]:
    """Return the experiments that a reply asks to see instead of an edit; empty if it does not.

    A reply that holds an edit asks for nothing. The line may stand in a fenced block.
    """
    if len(reply.text) > _MOST_CHARS:
        return ()
    try:
        check_ending(reply.finish_reason)
        answer = answer_of(reply.text)
        edits, _ = fenced_blocks(answer)
    except EditError:
        return ()
    if edits:
        return ()
    for line in split_lines(answer):
        if match := _SHOW.match(line) or _SHOW_NUMBERS.match(line):
            return _numbers(match[1])
    return ()


def _numbers(text: str) -> tuple[int, ...]:
    found = _NUMBER.findall(text)
    if not found and _BARE.match(text):
        found = re.findall(r"\d{1,9}", text)
    return tuple(dict.fromkeys(map(int, found)))[:MAX_SHOWN]


def may_show(attempts: Sequence[Attempt]) -> bool:
    """May one more reply of this experiment ask to see code?"""
    return sum(bool(attempt.shows) for attempt in attempts) < MAX_SHOWS


def failures(attempts: Sequence[Attempt]) -> int:
    """Return how many replies of this experiment failed."""
    return sum(not attempt.shows for attempt in attempts)


def turn_name(attempts: Sequence[Attempt]) -> str:
    """Name the next reply of an experiment: empty for the first, `repair-1`, `show-2` and so on.

    It is numbered by what the last reply led to: the so-many-th failure, or request to see code.
    """
    if not attempts:
        return ""
    kind = bool(attempts[-1].shows)
    count = sum(bool(attempt.shows) is kind for attempt in attempts)
    return f"{'show' if kind else 'repair'}-{count}"
