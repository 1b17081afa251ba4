"""The chart's numbers, in columns: a run of ten thousand experiments is a few short lists. Pure."""

import math
from collections.abc import Collection, Iterable, Sequence
from typing import Any

from orchestrator.reporting.course import Step
from orchestrator.reporting.run_view import RunView
from orchestrator.web.table import Entry, Row

_LARGEST = 1e150
"""Magnitude up to which scores are drawn."""
_WHAT_CHARS = 120
_COLUMNS = (
    "n", "score", "partial", "status", "role", "rung", "flagged", "accepted", "baseline",
    "new_task", "hours", "dollars", "evaluator_s", "what",
)  # fmt: skip


def chart_document(
    view: RunView, found: Iterable[Entry], only: Collection[int] | None = None
) -> dict[str, Any]:
    """Return what the chart draws: columns in the order of endings, and steps of what leads.

    Args:
        view: the run.
        found: its rows.
        only: the experiments that a viewer does not have yet; None for all.
    """
    rows = sorted((entry.row for entry in found), key=lambda row: row["ended"])
    rungs = {name: index for index, name in enumerate(dict.fromkeys(row["rung"] for row in rows))}
    points, measured = [], {}
    dollars, evaluator_s = 0.0, 0.0
    for row in rows:
        dollars += row["cost"] or 0.0
        evaluator_s += row["evaluator_s"]
        if only is None or row["n"] in only:
            points.append(_point(row, rungs, dollars, evaluator_s))
            if row["validated"]:
                measured[row["n"]] = row["validated"]
    columns = zip(*points, strict=True) if points else [()] * len(_COLUMNS)
    return {
        "tag": view.run.tag,
        "columns": dict(zip(_COLUMNS, map(list, columns), strict=True)),
        "rungs": list(rungs),
        "validated": measured,
        "published": _steps(view.course.published),
        "leads": _steps(view.course.leads),
    }


def _point(
    row: Row, rungs: dict[str, int], dollars: float, evaluator_s: float
) -> tuple[object, ...]:
    return (
        row["n"], _drawn(row["score"]), row["partial"] is not None, row["status"], row["role"],
        rungs[row["rung"]], bool(row["flags"]), row["accepted"], row["baseline"], row["new_task"],
        row["hours"], round(dollars, 6), round(evaluator_s, 3), row["description"][:_WHAT_CHARS],
    )  # fmt: skip


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
