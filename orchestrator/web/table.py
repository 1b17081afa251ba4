"""The table of experiments: rows, and which of them a viewer has asked for. Pure."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from orchestrator.core.experiments import Experiment
from orchestrator.core.flags import name_of
from orchestrator.core.scores import how_far, stopped_score
from orchestrator.core.text import clean
from orchestrator.reporting.course import LeadOutcome, begins_task
from orchestrator.reporting.run_view import RunView, review_text

MAX_ROWS = 500
"""Most rows of a page."""
_TEXT_CHARS = 400

Row = Mapping[str, Any]
"""One experiment as the page has it."""


@dataclass(frozen=True)
class Query:
    """Which rows are wanted, and in which order."""

    words: str = ""
    """All of these must be there: in the description, rationale, reason, agent, flags or number."""
    statuses: frozenset[str] = frozenset()
    """Any of these; none for all."""
    rung: str = ""
    """Only of this budget; empty for all."""
    is_flagged: bool = False
    """Only those with a flag."""
    sort: str = "n"
    """A key of `SORT_KEYS`."""
    is_descending: bool = True
    offset: int = 0
    limit: int = 100


@dataclass(frozen=True)
class Entry:
    """A row, and what it is found by."""

    row: Row
    text: str
    key: object
    """Equal for the same row, so that it is made once."""


def _number(name: str) -> Callable[[Row], float | None]:
    return lambda row: row[name]


SORT_KEYS: Mapping[str, Callable[[Row], Any]] = {
    **{
        name: _number(name)
        for name in ("n", "ended", "score", "gain", "solved", "seconds", "cost", "tokens")
    },
    "validated": lambda row: row["validated"] and row["validated"][0],
    "status": lambda row: row["status"],
    "what": lambda row: row["description"].lower(),
    "flags": lambda row: len(row["flags"]),
}


def entries(view: RunView, known: Mapping[int, Entry]) -> dict[int, Entry]:
    """Return the rows of a run by number; those that stayed the same are the known ones."""
    accepted, measured = view.accepted_at, view.references
    began = _seconds(view.run.created_at)
    leads = {step.n for step in view.state.leads}
    published = view.state.incumbent.n if view.state.incumbent else None
    made = {}
    for experiment in view.experiments:
        n = experiment.n
        became, mean = view.became(n), view.validated(n) if n in measured else None
        role = "published" if n == published else "lead" if n in leads else ""
        key = (experiment, became, mean, n in accepted, role)
        entry = known.get(n)
        if entry is None or entry.key != key:
            ended = _seconds(experiment.finished_at)
            hours = None if began is None or ended is None else (ended - began) / 3600
            row = _row(view, experiment, became) | {"role": role, "hours": hours}
            entry = Entry(row, _haystack(experiment), key)
        made[n] = entry
    return made


def _seconds(when: str) -> float | None:
    try:
        return datetime.fromisoformat(when).timestamp()
    except (ValueError, OverflowError):
        return None


def _row(view: RunView, experiment: Experiment, became: LeadOutcome | None) -> dict[str, Any]:
    stopped, seconds = stopped_score(experiment), experiment.seconds
    mean, verdict = view.validated(experiment.n), experiment.verdict
    return {
        "n": experiment.n,
        "ended": experiment.ended,
        "status": experiment.status.value,
        "baseline": experiment.is_baseline,
        "rung": str(experiment.rung),
        "agent": experiment.agent,
        "description": clean(experiment.description, _TEXT_CHARS),
        "reason": clean(experiment.reason, _TEXT_CHARS),
        "score": experiment.score if stopped is None else stopped,
        "partial": None if stopped is None else how_far(experiment, view.seed_count),
        "validated": [mean.score, mean.low, mean.high, mean.seeds] if mean else None,
        "gain": verdict.get("estimate"),
        "se": verdict.get("estimate_se"),
        "against": verdict.get("against", verdict.get("incumbent")),
        "solved": experiment.report.solve_rate,
        "flags": list(dict.fromkeys(map(name_of, experiment.flags))),
        "changed": list(experiment.changed),
        "review": (review_text(experiment) or "").partition(":")[0] or None,
        "accepted": experiment.n in view.accepted_at,
        "became": became and ("proven" if became.is_proven else "left"),
        "new_task": begins_task(experiment),
        "seconds": seconds.agent + seconds.evaluator + seconds.overhead,
        "agent_s": seconds.agent,
        "evaluator_s": seconds.evaluator,
        "cost": experiment.cost_usd,
        "tokens": experiment.tokens.total,
        "finished_at": experiment.finished_at,
        "parent": experiment.parent,
        "commit": experiment.commit,
    }


def _haystack(experiment: Experiment) -> str:
    parts = (
        f"#{experiment.n}", experiment.description, experiment.rationale, experiment.reason,
        experiment.agent, experiment.status.value, *experiment.flags, *experiment.changed,
        review_text(experiment) or "", experiment.commit or "",
    )  # fmt: skip
    return "\n".join(parts).lower()


@dataclass(frozen=True)
class Family:
    """Which experiment started from which."""

    numbers: Sequence[int]
    """All there are, in order."""
    by_commit: Mapping[str, Sequence[Row]]
    by_parent: Mapping[str, Sequence[Row]]


def family(found: Iterable[Entry]) -> Family:
    """Return which experiment started from which."""
    rows = sorted((entry.row for entry in found), key=lambda row: row["n"])
    by_commit: dict[str, list[Row]] = {}
    by_parent: dict[str, list[Row]] = {}
    for row in rows:
        by_commit.setdefault(row["commit"] or "none", []).append(row)
        by_parent.setdefault(row["parent"] or "none", []).append(row)
    return Family([row["n"] for row in rows], by_commit, by_parent)


def page(found: Iterable[Entry], query: Query) -> dict[str, Any]:
    """Return the rows that a query asks for, and how many there are by status without its own."""
    words = query.words.lower().split()
    matching = [
        entry.row
        for entry in found
        if all(word in entry.text for word in words)
        and (not query.rung or entry.row["rung"] == query.rung)
        and (not query.is_flagged or entry.row["flags"])
    ]
    counts: dict[str, int] = {}
    for row in matching:
        counts[row["status"]] = counts.get(row["status"], 0) + 1
    if query.statuses:
        matching = [row for row in matching if row["status"] in query.statuses]
    ordered = _sorted(matching, query)
    return {
        "matching": len(ordered),
        "by_status": counts,
        "offset": query.offset,
        "rows": ordered[query.offset : query.offset + query.limit],
    }


def _sorted(rows: Sequence[Row], query: Query) -> list[Row]:
    """Return the rows in order; those without a value come last, whichever way."""
    value = SORT_KEYS[query.sort]
    with_value = [row for row in rows if value(row) is not None]
    without = [row for row in rows if value(row) is None]
    with_value.sort(key=lambda row: (value(row), row["n"]), reverse=query.is_descending)
    return with_value + without
