"""How much of a run's limits is used. Pure."""

from dataclasses import dataclass

from orchestrator.config.schema import LimitsConfig
from orchestrator.planning.state import RunState


@dataclass(frozen=True)
class LimitShare:
    """A limit of the configuration, and how much of it is used."""

    name: str
    used: float
    limit: float

    @property
    def share(self) -> float:
        """From 0 to 1, and beyond where it was passed."""
        return self.used / self.limit


def nearest_limit(state: RunState, limits: LimitsConfig, hours: float) -> LimitShare | None:
    """Return the limit of which most is used; None where none is set."""
    used = (
        ("experiments", state.counted, limits.experiments),
        ("hours", hours, limits.hours),
        ("tokens", state.tokens, limits.tokens),
        ("cost_usd", state.cost_usd, limits.cost_usd),
    )
    shares = [LimitShare(name, count, limit) for name, count, limit in used if limit is not None]
    return max(shares, key=lambda each: each.share, default=None)
