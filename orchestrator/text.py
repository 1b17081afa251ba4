"""Text that came out of a run (class names, tracebacks, replies) is bounded and made harmless."""

import re

_CONTROL = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f\u200b-\u200f\u2028-\u202e\u2060-\u2069\ufeff]")


def clean(text: str, limit: int = 8000) -> str:
    """Strip control and direction characters and bound the length; the middle is left out."""
    text = _CONTROL.sub("", text.replace("\r\n", "\n"))
    if len(text) <= limit:
        return text
    head = limit // 3
    left_out = len(text) - limit
    return f"{text[:head]}\n[… {left_out} characters left out …]\n{text[-(limit - head) :]}"


def one_line(text: str, limit: int = 200) -> str:
    """Return the text as one clean line of at most `limit` characters."""
    line = " ".join(_CONTROL.sub("", text).split())
    return line if len(line) <= limit else line[: limit - 1] + "…"


def fenced(text: str, info: str = "") -> str:
    """Put text into a Markdown fence that the text itself can't close."""
    longest = max((len(run) for run in re.findall(r"`+", text)), default=0)
    fence = "`" * max(3, longest + 1)
    return f"{fence}{info}\n{text.rstrip()}\n{fence}"
