"""The chart's numbers, in columns: a run of ten thousand experiments is a few short lists. Pure."""

import math
from collections.abc import Collection, Iterable, Mapping, Sequence
from datetime import datetime
from typing import Any

from orchestrator.reporting.course import Step
from orchestrator.reporting.run_view import RunView
from orchestrator.web.table import Entry

_LARGEST = 1e150
"""Magnitude up to which scores are drawn."""


def chart_document(view: RunView, found: Iterable[Entry]) -> dict[str, Any]:
    """Return what the chart draws: columns in the order of endings, and steps of what leads."""
    rows = sorted((entry.row for entry in found), key=lambda row: row["ended"])
    began = _seconds(view.run.created_at)
    dollars, evaluator_s = 0.0, 0.0
    columns: dict[str, list[Any]] = {
        name: []
        for name in (
            "n", "score", "partial", "status", "role", "rung", "flagged", "accepted", "baseline",
            "new_task", "hours", "dollars", "evaluator_s", "what",
        )
    }  # fmt: skip
    rungs = list(dict.fromkeys(row["rung"] for row in rows))
    measured = {}
    for row in rows:
        dollars += row["cost"] or 0.0
        evaluator_s += row["evaluator_s"]
        ended = _seconds(row["finished_at"])
        values = (
            row["n"], _drawn(row["score"]), row["partial"] is not None, row["status"], row["role"],
            rungs.index(row["rung"]), bool(row["flags"]), row["accepted"], row["baseline"],
            row["new_task"], None if began is None or ended is None else (ended - began) / 3600,
            dollars, evaluator_s, row["description"][:120],
        )  # fmt: skip
        for name, value in zip(columns, values, strict=True):
            columns[name].append(value)
        if row["validated"]:
            measured[row["n"]] = row["validated"]
    return {
        "tag": view.run.tag,
        "columns": columns,
        "rungs": rungs,
        "validated": measured,
        "published": _steps(view.course.published),
        "leads": _steps(view.course.leads),
    }


def chart_part(chart: Mapping[str, Any], numbers: Collection[int]) -> dict[str, Any]:
    """Return a chart with some experiments alone: what a viewer that has the others needs."""
    columns = chart["columns"]
    kept = [index for index, n in enumerate(columns["n"]) if n in numbers]
    return {
        **chart,
        "columns": {name: [column[i] for i in kept] for name, column in columns.items()},
        "validated": {n: mean for n, mean in chart["validated"].items() if n in numbers},
    }


def _steps(steps: Sequence[Step]) -> list[dict[str, Any]]:
    return [
        {
            "n": step.n,
            "score": _drawn(step.score),
            "rung": str(step.rung),
            "at": step.at,
            "epoch": step.epoch,
            "move": step.move.value if step.move else "accept" if step.is_accept else None,
        }
        for step in steps
    ]


def _drawn(score: float | None) -> float | None:
    """Return a score that can be drawn, None for any other."""
    return score if score is not None and math.isfinite(score) and abs(score) < _LARGEST else None


def _seconds(when: str) -> float | None:
    try:
        return datetime.fromisoformat(when).timestamp()
    except (ValueError, OverflowError):
        return None
