"""Limits on tokens and dollars, before a call is made. Pure.

What is spent, what is reserved for calls in flight, and the most that the next call may cost must
together stay within the limit. So it holds at any number of calls in flight, whatever each costs.
"""

from orchestrator.config.schema import LimitsConfig
from orchestrator.core.spending import Spend

_ROUNDING = 1e-9
"""Relative: sums of dollars in another order are the same sum."""


def is_limited(limits: LimitsConfig) -> bool:
    """Is there a limit on tokens or dollars?"""
    return limits.tokens is not None or limits.cost_usd is not None


def lacks_room(limits: LimitsConfig, used: Spend, next_call: Spend) -> str | None:
    """Return which limit a call might pass, with the figures; None if it may be made.

    Args:
        limits: those of the configuration.
        used: spent so far, and reserved for calls in flight.
        next_call: the most that the call may cost. One that costs nothing may be made until the
            limit is reached.
    """
    figures: list[tuple[str, float, float, float | None]] = [
        ("tokens", used.tokens, next_call.tokens, limits.tokens),
        ("cost_usd", used.cost_usd, next_call.cost_usd, limits.cost_usd),
    ]
    for name, value, most, limit in figures:
        if limit is None:
            continue
        if value >= limit:
            return f"limits.{name} reached ({plain(value)} of {plain(limit)})"
        if value + most > limit * (1 + _ROUNDING):
            return (
                f"limits.{name} reached ({plain(value)} of {plain(limit)}, and the next call "
                f"may cost {plain(most)})"
            )
    return None


def plain(value: float) -> str:
    """Return a number as the reason of a stop has it."""
    return str(value) if isinstance(value, int) else f"{value:.4g}"
