"""The picture of the learning curves: a panel for each task."""

import math
import statistics
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from benchmarks.curves.tables import TITLES

_COLOURS = {"ours": "#1a9850", "sb3": "#2166ac", "cleanrl": "#d9a400"}
_COLUMNS, _WIDTH, _HEIGHT, _DPI = 4, 3.6, 2.9, 130


def draw(runs: Sequence[dict[str, Any]], path: Path) -> None:
    """Write the picture; its form follows from the file's ending (PNG, SVG, PDF)."""
    figure(runs).savefig(path, dpi=_DPI)


def figure(runs: Sequence[dict[str, Any]]) -> Any:
    """Return the figure: means over the seeds, in a band from the least to the greatest."""
    from matplotlib.figure import Figure

    tasks = list(dict.fromkeys(run["task"] for run in runs))
    columns = min(_COLUMNS, max(1, len(tasks)))
    rows = max(1, math.ceil(len(tasks) / columns))
    found = Figure(figsize=(_WIDTH * columns, _HEIGHT * rows + 0.5), constrained_layout=True)
    panels = found.subplots(rows, columns, squeeze=False).flatten()
    handles: dict[str, Any] = {}
    for axes, task in zip(panels, tasks, strict=False):
        for contender, title in TITLES.items():
            chosen = [r for r in runs if (r["task"], r["contender"]) == (task, contender)]
            if chosen:
                handles[title] = _curve(axes, chosen, _COLOURS[contender])
        axes.set_title(task, fontsize=10)
        axes.set_xlabel("environment steps", fontsize=8)
        axes.set_ylabel("greedy return", fontsize=8)
        axes.tick_params(labelsize=7)
        axes.xaxis.set_major_formatter(_thousands)
        axes.grid(alpha=0.25)
    for axes in panels[len(tasks) :]:
        axes.axis("off")
    seeds = max((len({r["seed"] for r in runs if r["task"] == task}) for task in tasks), default=0)
    found.suptitle(
        f"Mean greedy return of {seeds} seeds, and their least and greatest", fontsize=11
    )
    found.legend(handles.values(), handles.keys(), loc="outside lower center", ncols=len(TITLES))
    return found


def _curve(axes: Any, runs: Sequence[dict[str, Any]], colour: str) -> Any:
    """Draw one contender's curve; return its line."""
    steps = [point[0] for point in runs[0]["curve"]]
    returns = list(zip(*([point[1] for point in run["curve"]] for run in runs), strict=True))
    axes.fill_between(steps, list(map(min, returns)), list(map(max, returns)), color=colour,
                      alpha=0.15, linewidth=0)  # fmt: skip
    return axes.plot(steps, list(map(statistics.fmean, returns)), color=colour, linewidth=1.6)[0]


def _thousands(steps: float, _position: int) -> str:
    return f"{steps / 1000:g}k" if steps < 1e6 else f"{steps / 1e6:g}M"
