"""Untrusted text of a run (tracebacks, replies, names): bounded, control characters removed."""

import difflib
import re
from collections.abc import Iterable, Mapping

_BREAK = re.compile("\r\n|[\r\x0b\x0c\x85\u2028\u2029]")
_ESCAPE = re.compile("\x1b\\[[0-?]*[ -/]*[@-~]")
# Control and direction characters, characters without width, halves of surrogate pairs, and those
# that only a model can see: "tags" and variation selectors.
_CONTROL = re.compile(
    "[\x00-\x08\x0b-\x1f\x7f-\x9f\xad\u034f\u061c\u115f\u1160\u17b4\u17b5\u180b-\u180f\u200b-\u200f"
    "\u2028-\u202e\u2060-\u206f\u3164\ufe00-\ufe0f\ufeff\uffa0\ufff9-\ufffb\ud800-\udfff"
    "\U000e0000-\U000e0fff]"
)
# More than three marks on one character cover the lines above and below it.
_MARKS = "[\u0300-\u036f\u0483-\u0489\u1ab0-\u1aff\u1dc0-\u1dff\u20d0-\u20ff\ufe20-\ufe2f]"
_FLOOD = re.compile(f"({_MARKS}{{3}}){_MARKS}+")
_MARK_CHARS = 48
_USERINFO = re.compile(r"(?<=://)[^\s/?#]*@")
_SECRET_QUERY = re.compile(
    r"([?&][\w.-]*(?:key|token|secret|password|passwd|signature|sig)[\w.-]*=)[^&\s#\"']+",
    re.IGNORECASE,
)


def clean(text: str, limit: int = 8000) -> str:
    """Remove invisible characters and bound the length: a line stands for the middle left out."""
    text = _plain(text)
    if len(text) <= limit:
        return text
    kept = max(0, limit - _MARK_CHARS)
    head = kept // 3
    mark = f"\n[… {len(text) - kept} characters left out …]\n"
    return text[:head] + mark + text[len(text) - (kept - head) :]


def one_line(text: str, limit: int = 200) -> str:
    """Return the text as one clean line of at most `limit` characters."""
    line = " ".join(_plain(text).split())
    return line if len(line) <= limit else line[: limit - 1] + "…"


def harmless(lines: Iterable[str]) -> list[str]:
    """Return lines as a terminal may get them, whole and with their blanks."""
    return [_plain(line) for line in lines]


def without_passwords(text: str) -> str:
    """Return a text whose addresses show neither user nor password, nor keys in their queries."""
    return _SECRET_QUERY.sub(r"\1…", _USERINFO.sub("…@", text))


def counted(count: int, noun: str) -> str:
    """Return a count with its noun, such as `1 seed` or `2 seeds`."""
    return f"{count} {noun}" if count == 1 else f"{count} {noun}s"


def percent(probability: float) -> str:
    """Return a probability that was estimated: in whole per cent, and never as sure."""
    if probability > 0.99:
        return "over 99%"
    return "under 1%" if probability < 0.01 else f"{probability:.0%}"


def did_you_mean(word: str, known: Iterable[str]) -> str:
    """Return `did you mean X?` with the closest of the known words, empty where none is close."""
    close = difflib.get_close_matches(word, list(known), n=1)
    return f"did you mean {close[0]}?" if close else ""


def is_plain_terminal(environment: Mapping[str, str]) -> bool:
    """Is a terminal to get text alone, without colours, bars or any other code?

    So say $NO_COLOR (https://no-color.org) and a $TERM that knows no codes.
    """
    return bool(environment.get("NO_COLOR")) or environment.get("TERM") in {"dumb", "unknown"}


def fenced(text: str, info: str = "") -> str:
    """Put text into a Markdown fence that the text itself can't close."""
    longest = max((len(run) for run in re.findall(r"`+", text)), default=0)
    fence = "`" * max(3, longest + 1)
    end = "" if text.endswith("\n") else "\n"
    return f"{fence}{info}\n{text}{end}{fence}"


def _plain(text: str) -> str:
    return _FLOOD.sub(r"\1", _CONTROL.sub("", _ESCAPE.sub("", _BREAK.sub("\n", text))))
