"""Find what an error body says, wherever it stands: `error`, arrays, JSON in a string. Pure.

Only fields that hold a server's own words are followed, never those that echo the request.
"""

import json
from collections.abc import Iterator
from dataclasses import dataclass

_TEXTS = frozenset(
    "message msg error errors detail details raw title description reason cause error_message "
    "error_msg error_description status_msg".split()
)
_CODES = frozenset(
    "code type status reason name error_type error_code errorcode errortype __type "
    "status_code".split()
)
_NUMBERS = frozenset("code status status_code statuscode http_status_code httpstatus".split())
_PARAMS = frozenset({"param", "loc"})
_INNER = _TEXTS | frozenset("metadata innererror inner_error response body data base_resp".split())
_MOST_NODES = 200
_MOST_CHARS = 4000


@dataclass(frozen=True)
class ErrorFacts:
    """What an error body says."""

    status: int | None
    """The HTTP status that the body names, None if it names none."""
    text: str
    """Every wording, then every code as a line `code=…`; at most some thousand characters."""
    message: str
    """The wordings alone, for people."""
    params: tuple[str, ...]
    """Parameters that the server names as the cause."""


def read_error(body: object) -> ErrorFacts:
    """Read an error body: JSON of any shape, or text (of a page in HTML no word counts)."""
    texts: list[str] = []
    codes: list[str] = []
    numbers: list[int] = []
    params: list[str] = []
    for name, value in _fields(body):
        if isinstance(value, str):
            if name in _CODES:
                codes.append(value.strip()[:100])
            if name in _TEXTS and not _is_page(value):
                texts.append(value)
            if name in _PARAMS:
                params.append(value[:100])
        number = _number(value)
        if number is not None and name in _CODES | _NUMBERS:
            codes.append(str(number))
            if name in _NUMBERS and 400 <= number <= 599:
                numbers.append(number)
    message = "\n".join(dict.fromkeys(texts))[:_MOST_CHARS]
    coded = [f"code={' '.join(code.split())}" for code in dict.fromkeys(codes[:20])]
    return ErrorFacts(
        numbers[0] if numbers else None,
        "\n".join([message, *coded]),
        message,
        tuple(params),
    )


def _fields(body: object) -> Iterator[tuple[str, object]]:
    """Yield names and values of an error body, the outer ones first."""
    queue: list[tuple[str, object]] = [("message", body)]
    for place in range(_MOST_NODES):
        if place >= len(queue):
            return
        name, value = queue[place]
        if isinstance(value, dict):
            known = [(str(key).lower(), inner) for key, inner in list(value.items())[:50]]
            queue += [pair for pair in known if pair[0] in _INNER | _CODES | _NUMBERS | _PARAMS]
        elif isinstance(value, list):
            queue += [(name, inner) for inner in value[:20]]
        else:
            if isinstance(value, str):
                value, inner = _split(value)
                queue.append((name, inner))
            yield name, value


def _split(text: str) -> tuple[str, object]:
    """Return the words before the JSON that a string holds, and that JSON, None without one."""
    start = min((at for at in (text.find("{"), text.find("[{")) if at >= 0), default=-1)
    if start < 0 or len(text) > 100_000:
        return text, None
    try:
        found, _ = json.JSONDecoder().raw_decode(text[start:])
    except (ValueError, RecursionError):
        return text, None
    return text[:start], found


def _number(value: object) -> int | None:
    if isinstance(value, str) and value.isascii() and value.isdigit() and len(value) <= 9:
        return int(value)
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None
    return int(value) if 0 <= value < 1e9 and value == int(value) else None


def _is_page(text: str) -> bool:
    return text.lstrip("\ufeff \t\r\n")[:1] == "<"
