"""The time, as it is recorded."""

import datetime as dt

MONTHS = "jan feb mar apr may jun jul aug sep oct nov dec".split()


def now() -> str:
    """Return the time as ISO 8601 in UTC, to the millisecond."""
    return dt.datetime.now(dt.UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def later(when: str, seconds: float) -> str:
    """Return a time of `now` so many seconds later."""
    moved = dt.datetime.fromisoformat(when) + dt.timedelta(seconds=seconds)
    return moved.isoformat(timespec="milliseconds").replace("+00:00", "Z")


def default_tag() -> str:
    """Return today as a tag, as in `nov22`."""
    today = dt.datetime.now().astimezone()
    return f"{MONTHS[today.month - 1]}{today.day}"
