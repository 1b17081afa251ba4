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


def seconds_between(earlier: str, later: str) -> float | None:
    """Return the seconds from one recorded time to another; None if one is no such time."""
    try:
        span = dt.datetime.fromisoformat(later) - dt.datetime.fromisoformat(earlier)
    except (ValueError, TypeError):
        return None
    return span.total_seconds()


def local(when: str, form: str = "%Y-%m-%d %H:%M:%S") -> str:
    """Return a recorded time on the user's clock; a text that is no time as it is."""
    try:
        return dt.datetime.fromisoformat(when).astimezone().strftime(form)
    except (ValueError, OverflowError):
        return when


def local_with_zone(when: str) -> str:
    """Return a recorded time on the user's clock, and the name of its zone."""
    return local(when, "%Y-%m-%d %H:%M:%S %Z")


def zone() -> str:
    """Return the user's time zone, as in `CET (UTC+01:00)`."""
    here = dt.datetime.now().astimezone()
    name, offset = here.strftime("%Z"), here.strftime("%z")
    return name if name == "UTC" else f"{name} (UTC{offset[:3]}:{offset[3:5]})"


def default_tag() -> str:
    """Return today as a tag, as in `nov22`."""
    today = dt.datetime.now().astimezone()
    return f"{MONTHS[today.month - 1]}{today.day}"
