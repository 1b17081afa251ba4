"""The agents of a run, compared: table and JSON document of `results --by agent`."""

import math
from collections.abc import Collection, Iterable, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from orchestrator.core.experiments import Experiment
from orchestrator.core.records import Status, Tokens
from orchestrator.core.text import one_line
from orchestrator.planning.agent_choice import gain_of

_COLUMNS = (
    "agent", "proposals", "valid", "leads", "keeps", "gain", "gain/h", "cost", "gain/$", "tokens",
)  # fmt: skip
_UNKNOWN = "unknown"
_NONE = "–"


@dataclass(frozen=True)
class AgentResults:
    """One agent's experiments of a run, baselines left out."""

    agent: str
    experiments: Sequence[Experiment]
    """The aborted ones too: they count as no proposals, but have cost something."""
    is_free: bool = False
    """It calls no model: where no cost is recorded there was none."""

    @property
    def counted(self) -> list[Experiment]:
        """Its proposals."""
        return [e for e in self.experiments if e.status is not Status.ABORTED]

    @property
    def gain(self) -> float:
        """By how much its experiments moved the lead, as estimated, where that still stands."""
        return math.fsum(map(gain_of, self.counted))

    @property
    def evaluator_s(self) -> float:
        """Seconds of the evaluator's."""
        return math.fsum(e.seconds.evaluator for e in self.experiments)

    @property
    def gain_per_hour(self) -> float | None:
        """Gain in an hour of the evaluator's; None without any."""
        return self.gain / (self.evaluator_s / 3600) if self.evaluator_s else None

    @property
    def cost_usd(self) -> float | None:
        """What is known of its cost, that of reviews included; None if nothing is."""
        known = [e.cost_usd for e in self.experiments if e.cost_usd is not None]
        return math.fsum(known) if known or self.is_free else None

    @property
    def cost_unknown(self) -> int:
        """How many of its experiments have an unknown cost."""
        return 0 if self.is_free else sum(e.cost_usd is None for e in self.experiments)

    @property
    def gain_per_usd(self) -> float | None:
        """Gain for a dollar; None where the cost is not known in full, or is nothing."""
        return None if self.cost_unknown or not self.cost_usd else self.gain / self.cost_usd

    @property
    def tokens(self) -> Tokens:
        """What is known of its tokens."""
        tokens = Tokens()
        for experiment in self.experiments:
            tokens = tokens.plus(experiment.tokens)
        return tokens

    @property
    def tokens_unknown(self) -> int:
        """How many of its experiments have an unknown number of tokens."""
        if self.is_free:
            return 0
        return sum(e.tokens.input is None or e.tokens.output is None for e in self.experiments)

    def counts(self) -> dict[str, int]:
        """Return how many proposals there were, and what became of them."""
        return {
            "proposals": len(self.counted),
            "valid": sum(e.status is not Status.INVALID for e in self.counted),
            "leads": sum(e.took_lead for e in self.counted),
            "keeps": sum(e.status is Status.KEEP for e in self.counted),
        }


def by_agent(experiments: Iterable[Experiment], free: Collection[str] = ()) -> list[AgentResults]:
    """Return each agent's results, the largest gain in an hour first.

    Args:
        experiments: a run's.
        free: the agents that call no model.
    """
    own: dict[str, list[Experiment]] = {}
    for experiment in experiments:
        if not experiment.is_baseline:
            own.setdefault(experiment.agent, []).append(experiment)
    rows = [AgentResults(agent, each, agent in free) for agent, each in own.items()]
    return sorted(rows, key=lambda row: -(row.gain_per_hour or 0.0))


def agents_document(
    experiments: Iterable[Experiment], free: Collection[str] = ()
) -> list[dict[str, Any]]:
    """Return what `results --by agent --json` prints."""
    return [
        {
            "agent": row.agent,
            **row.counts(),
            "gain": row.gain,
            "evaluator_seconds": row.evaluator_s,
            "agent_seconds": math.fsum(e.seconds.agent for e in row.experiments),
            "gain_per_evaluator_hour": row.gain_per_hour,
            "cost_usd": row.cost_usd,
            "cost_unknown": row.cost_unknown,
            "gain_per_usd": row.gain_per_usd,
            "tokens": asdict(row.tokens),
            "tokens_unknown": row.tokens_unknown,
        }
        for row in by_agent(experiments, free)
    ]


def agents_lines(
    tag: str, experiments: Iterable[Experiment], free: Collection[str] = ()
) -> list[str]:
    """Return the lines of `results --by agent`."""
    rows = by_agent(experiments, free)
    cells = [_COLUMNS, *map(_cells, rows)]
    widths = [max(len(row[i]) for row in cells) for i in range(len(_COLUMNS))]
    table = [
        "  ".join([row[0].ljust(widths[0]), *map(str.rjust, row[1:], widths[1:])]) for row in cells
    ]
    legend = [
        "gain: the estimated gains of what took the lead, as far as these stand or were proven",
        "gain/h: for each hour of the evaluator's time; gain/$: for each dollar of the cost",
    ]
    if any("+" in row[7] or "+" in row[9] for row in cells):
        legend.append("+ ?: and what is unknown of some of its experiments")
    return [f"autorl/{one_line(tag)}, by agent", *table, *legend]


def _cells(row: AgentResults) -> tuple[str, ...]:
    return (
        one_line(row.agent, 60),
        *map(str, row.counts().values()),
        f"{row.gain:+.4f}",
        _NONE if row.gain_per_hour is None else f"{row.gain_per_hour:+.4f}",
        _UNKNOWN if row.cost_usd is None else _partly(f"${row.cost_usd:.2f}", row.cost_unknown),
        _per_usd(row),
        _tokens(row),
    )


def _per_usd(row: AgentResults) -> str:
    if row.gain_per_usd is not None:
        return f"{row.gain_per_usd:+.4f}"
    return _NONE if row.cost_usd == 0 and not row.cost_unknown else _UNKNOWN


def _tokens(row: AgentResults) -> str:
    tokens = row.tokens
    if tokens.input is None and tokens.output is None:
        return _NONE if row.is_free else _UNKNOWN
    said = f"{tokens.input or 0:,} in, {tokens.output or 0:,} out"
    return _partly(said, row.tokens_unknown)


def _partly(text: str, unknown: int) -> str:
    return f"{text} + ?" if unknown else text
