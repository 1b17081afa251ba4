"""How fast a run goes and spends, by its last hours, and which limit ends it, when."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field

from orchestrator.config.schema import LimitsConfig
from orchestrator.core.clock import seconds_between
from orchestrator.core.experiments import Experiment
from orchestrator.core.records import HUMAN, Status
from orchestrator.core.spending import Spend

LEAST_EXPERIMENTS = 3
"""Of fewer no rate is told."""
MOST_EXPERIMENTS = 30
MOST_HOURS = 6.0


@dataclass(frozen=True)
class Forecast:
    """Rates of the last hours, and how long each limit lasts at these. None: unknown."""

    experiments: int = 0
    """Experiments that it rests on."""
    hours: float = 0.0
    """The time in which they ended."""
    experiments_per_hour: float | None = None
    tokens_per_hour: float | None = None
    cost_usd_per_hour: float | None = None
    hours_left: dict[str, float | None] = field(default_factory=dict)
    """By limit that is set; limits on failures in a row can't be foretold."""

    @property
    def first(self) -> tuple[str, float] | None:
        """The limit that is reached first, of those that can be foretold, and in how many hours."""
        known = [(name, left) for name, left in self.hours_left.items() if left is not None]
        return min(known, key=lambda one: one[1], default=None)

    def as_document(self) -> dict[str, object]:
        """Return it as `status --json` has it."""
        name, left = self.first or (None, None)
        first = None if name is None else {"limit": f"limits.{name}", "hours": left}
        return asdict(self) | {"first_limit": first}


@dataclass(frozen=True)
class Used:
    """What limits count, by now."""

    experiments: int
    hours: float
    spend: Spend
    """What is spent, and what calls without a bill may have cost."""


def forecast(
    experiments: Sequence[Experiment],
    limits: LimitsConfig,
    used: Used,
    *,
    since: str,
    now: str,
) -> Forecast:
    """Return how fast the run goes, and how long its limits last.

    Args:
        experiments: of the run, in any order.
        limits: those it goes by.
        used: what they count.
        since: when the daemon that runs was started: before it time passed without experiments.
        now: the time.
    """
    recent, hours = _recent(experiments, since, now)
    counted = sum(_counts(each) for each in recent)
    if counted < LEAST_EXPERIMENTS or hours <= 0:
        only_hours = {} if limits.hours is None else {"hours": limits.hours - used.hours}
        return Forecast(counted, hours, hours_left=_from_now(only_hours))
    usd = _usd(recent)
    tokens = [each.tokens.total for each in recent if each.tokens.input is not None]
    rates: dict[str, float | None] = {
        "experiments": counted / hours,
        "tokens": sum(tokens) / hours if tokens else None,
        "cost_usd": None if usd is None else usd / hours,
        "hours": 1.0,
    }
    values = {
        "experiments": used.experiments, "tokens": used.spend.tokens,
        "cost_usd": used.spend.cost_usd, "hours": used.hours,
    }  # fmt: skip
    left: dict[str, float | None] = {}
    for name, rate in rates.items():
        limit = getattr(limits, name)
        if limit is not None:
            left[name] = (limit - values[name]) / rate if rate else None
    return Forecast(
        counted, hours, rates["experiments"], rates["tokens"], rates["cost_usd"], _from_now(left)
    )


def _from_now(left: Mapping[str, float | None]) -> dict[str, float | None]:
    return {name: None if hours is None else max(0.0, hours) for name, hours in left.items()}


def _recent(
    experiments: Sequence[Experiment], since: str, now: str
) -> tuple[list[Experiment], float]:
    """Return the last endings of this session, and the hours in which they came about."""
    ages = [(seconds_between(each.finished_at, now), each) for each in experiments]
    session_s = seconds_between(since, now) or 0.0
    ended = sorted(
        ((age, each) for age, each in ages if age is not None and 0 <= age <= session_s),
        key=lambda one: one[0],
    )
    kept = [(age, each) for age, each in ended if age <= MOST_HOURS * 3600][:MOST_EXPERIMENTS]
    # The time that the oldest of them took began with the ending before it.
    before_s = ended[len(kept)][0] if len(kept) < len(ended) else session_s
    return [each for _, each in kept], min(before_s, MOST_HOURS * 3600) / 3600


def _counts(experiment: Experiment) -> bool:
    return not experiment.is_baseline and experiment.status is not Status.ABORTED


def _usd(recent: Sequence[Experiment]) -> float | None:
    """Return what experiments have cost; None where that of one is not known, or of none is."""
    if any(each.tokens.input is not None and each.cost_usd is None for each in recent):
        return None
    costs = [each.cost_usd for each in recent if each.cost_usd is not None]
    asked = [each for each in recent if each.agent != HUMAN and not each.is_baseline]
    return sum(costs) if costs and asked else None
