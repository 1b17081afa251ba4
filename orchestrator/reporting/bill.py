"""The bill of a run and its forecast, as a document and as lines of `status`."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import Any

from orchestrator.config.schema import LimitsConfig
from orchestrator.core.clock import now, seconds_between
from orchestrator.core.records import Tokens
from orchestrator.core.spending import Spend
from orchestrator.core.text import counted, one_line
from orchestrator.reporting.forecast import LEAST_EXPERIMENTS, Used, forecast
from orchestrator.reporting.run_view import RunView
from orchestrator.store.ledger import Ledger

NO_BILL: Mapping[str, Any] = {"bill": [], "unbilled": None, "forecast": None}
"""The document where nothing has run."""


def bill_document(
    ledger: Ledger, view: RunView, limits: LimitsConfig, started_at: str | None
) -> dict[str, Any]:
    """Return what the run's calls have cost and will cost.

    Args:
        ledger: the workspace's.
        view: the run.
        limits: those it goes by.
        started_at: when the daemon that runs was started; without one there is no forecast.
    """
    tag, state = view.run.tag, view.state
    tries, most = ledger.unbilled(tag)
    document: dict[str, Any] = {
        "bill": [asdict(row) for row in ledger.bill(tag)],
        "unbilled": {"calls": tries, **asdict(most)} if tries else None,
        "forecast": None,
    }
    if started_at is not None:
        open_spend = ledger.spent_by_open(tag).plus(ledger.reserved(tag))
        used = Used(
            state.counted,
            _hours(view, started_at),
            Spend(state.tokens, state.cost_usd).plus(open_spend),
        )
        told = forecast(view.experiments, limits, used, since=started_at, now=now())
        document["forecast"] = told.as_document()
    return document


def _hours(view: RunView, started_at: str) -> float:
    """Return how long the run has been running: counted at each ending, and since then."""
    ended = max((e.finished_at for e in view.experiments), default="")
    since_s = seconds_between(max(ended, started_at), now()) or 0.0
    return (view.run.seconds + max(0.0, since_s)) / 3600


def bill_lines(document: Mapping[str, Any]) -> list[str]:
    """Return the lines of `status` on tokens and dollars; none where no model was called."""
    lines, rows = [], document["bill"]
    tokens = Tokens(**document["tokens"])
    if tokens.input is not None:
        unknown = any(row["cost_usd"] is None and row["tokens"]["input"] for row in rows)
        lines.append(f"tokens    {amounts(tokens, document['cost_usd'], is_all=not unknown)}")
    if len(rows) > 1:
        lines += [
            f"bill      {_who(row)}: {counted(row['calls'], 'call')}, "
            f"{amounts(Tokens(**row['tokens']), row['cost_usd'])}"
            for row in rows
        ]
    if lost := document["unbilled"]:
        most = [f"{lost['tokens']:,} tokens"] if lost["tokens"] else []
        most += [f"${lost['cost_usd']:.2f}"] if lost["cost_usd"] or not most else []
        lines.append(
            f"unbilled  {counted(lost['calls'], 'call')} broken off, or answered without a count "
            f"or a price: at most {', '.join(most)}; limits count that"
        )
    if (told := document["forecast"]) is not None:
        lines.append(f"forecast  {'; '.join(_forecast(told))}")
    return lines


def _who(row: Mapping[str, Any]) -> str:
    who = one_line(row["agent"], 100)
    return f"reviews by {who or 'nobody named'}" if row["role"] == "reviews" else who


def amounts(tokens: Tokens, cost_usd: float | None, *, is_all: bool = True) -> str:
    """Return tokens and dollars in words; unknown dollars are left out."""
    if tokens.input is None and tokens.output is None:
        said = "tokens unknown"
    else:
        cached = f" ({tokens.cached:,} cached)" if tokens.cached else ""
        reasoning = f" ({tokens.reasoning:,} reasoning)" if tokens.reasoning else ""
        said = f"{tokens.input or 0:,} in{cached}, {tokens.output or 0:,} out{reasoning}"
    return said if cost_usd is None else f"{said}, {'' if is_all else 'at least '}${cost_usd:.2f}"


def _forecast(told: Mapping[str, Any]) -> Sequence[str]:
    parts = []
    if told["experiments_per_hour"] is None:
        parts.append(f"too few experiments in this session ({told['experiments']}, and no rate is "
                     f"told of fewer than {LEAST_EXPERIMENTS})")  # fmt: skip
    else:
        rates = [f"{told['experiments_per_hour']:.1f} experiments"]
        if told["tokens_per_hour"]:
            rates.append(f"{told['tokens_per_hour']:,.0f} tokens")
        if told["cost_usd_per_hour"] is not None:
            rates.append(f"${told['cost_usd_per_hour']:.2f}")
        parts.append(
            f"{', '.join(rates)} an hour (by {counted(told['experiments'], 'experiment')} in "
            f"{_duration(told['hours'])})"
        )
    if first := told["first_limit"]:
        parts.append(f"{first['limit']} in about {_duration(first['hours'])}")
    return parts


def _duration(hours: float) -> str:
    if hours < 2:
        return f"{max(1, round(hours * 60))} min"
    return f"{hours:.0f} h" if hours < 72 else f"{hours / 24:.0f} days"
