"""Untrusted text of a run (tracebacks, replies, names): bounded, control characters removed."""

import re

_BREAK = re.compile("\r\n|[\r\x0b\x0c\x85\u2028\u2029]")
_ESCAPE = re.compile("\x1b\\[[0-?]*[ -/]*[@-~]")
# Control and direction characters, characters without width, halves of surrogate pairs, and the
# "tag" characters that only a model can see.
_CONTROL = re.compile(
    "[\x00-\x08\x0b-\x1f\x7f-\x9f\xad\u061c\u180e\u200b-\u200f\u2028-\u202e\u2060-\u206f\ufeff"
    "\ufff9-\ufffb\ud800-\udfff\U000e0000-\U000e007f]"
)
_MARK_CHARS = 48


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


def counted(count: int, noun: str) -> str:
    """Return a count with its noun, such as `1 seed` or `2 seeds`."""
    return f"{count} {noun}" if count == 1 else f"{count} {noun}s"


def fenced(text: str, info: str = "") -> str:
    """Put text into a Markdown fence that the text itself can't close."""
    longest = max((len(run) for run in re.findall(r"`+", text)), default=0)
    fence = "`" * max(3, longest + 1)
    end = "" if text.endswith("\n") else "\n"
    return f"{fence}{info}\n{text}{end}{fence}"


def _plain(text: str) -> str:
    return _CONTROL.sub("", _ESCAPE.sub("", _BREAK.sub("\n", text)))
