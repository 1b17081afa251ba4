"""Chart of a run: each experiment a dot at its score, kept ones green, the incumbent a line.

Flagged experiments have an orange ring; `show N` names the flags.
"""

import itertools
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from orchestrator.core.experiments import Experiment
from orchestrator.core.records import Rung, Status
from orchestrator.reporting.run_view import RunView, running_best

_GREEN, _GREY, _RED, _INK, _ORANGE = "#1a9850", "#b8b8b8", "#d73027", "#333333", "#ff7f00"
_BLUE = "#2166ac"
_ASIDE = 0.18
"""Offset of a validated score to the right of its dot, in experiments."""
_FLOOR = 0.02
"""Height at which experiments without a score are marked, as a share of the panel's."""
_DPI = 150


def draw(view: RunView, path: Path) -> None:
    """Write the chart as PNG, SVG or PDF, by the file's ending."""
    import matplotlib as mpl

    mpl.use("Agg")
    import matplotlib.pyplot as plt

    foreign = [_score(row) for row in view.foreign]
    has_foreign = any(score is not None for score in foreign)
    rows = 2 if has_foreign else 1
    figure, panels = plt.subplots(
        rows, 1, figsize=(11, 5.5 + 2.5 * (rows - 1)), squeeze=False,
        height_ratios=[5, 2][:rows], constrained_layout=True,
    )  # fmt: skip
    _draw_run(panels[0][0], view)
    if has_foreign:
        _draw_foreign(panels[1][0], view.foreign, foreign)
    figure.savefig(path, dpi=_DPI)
    plt.close(figure)


def _draw_run(axes: Any, view: RunView) -> None:
    experiments = [e for e in view.experiments if e.status is not Status.ABORTED]
    scored = [e for e in experiments if e.score is not None]
    _dots(axes, [e for e in scored if e.status is Status.DISCARD], _GREY, "discarded")
    _dots(axes, [e for e in scored if e.status is Status.KEEP], _GREEN, "kept", size=60)
    _dots(axes, [e for e in scored if e.is_baseline], _INK, "baseline", marker="D")
    steps = [
        (n, mean.score if (mean := view.validated(n)) else score, rung)
        for n, score, rung in running_best(experiments)
    ]
    last = max((e.n for e in experiments), default=1)
    _best_line(axes, steps, last)
    _validated(axes, view, [n for n, _, _ in steps])
    stopped = [e for e in experiments if e.score is None and e.status is Status.DISCARD]
    _without_score(axes, stopped, _GREY, "discarded early, no score")
    failed = [e for e in experiments if e.score is None and e.status is not Status.DISCARD]
    _without_score(axes, failed, _RED, "failed, no score")
    _flagged(axes, [e for e in experiments if e.flags])
    _rungs(axes, experiments)
    _labels(axes, [e for e in scored if e.status is Status.KEEP])
    kept = sum(e.status is Status.KEEP for e in experiments)
    challenges = sum(not e.is_baseline for e in experiments)
    axes.set_title(
        f"autorl/{view.run.tag}: {challenges} experiments, {kept} kept", loc="left", weight="bold"
    )
    axes.set_title(
        "budget = training / evaluation episodes a seed; compare within one",
        loc="right",
        fontsize=8,
    )
    axes.set_xlabel("experiment")
    axes.set_ylabel("score (mean greedy evaluation return)")
    axes.xaxis.get_major_locator().set_params(integer=True)
    axes.grid(visible=True, axis="y", alpha=0.25)
    axes.spines[["top", "right"]].set_visible(False)
    axes.margins(x=0.03, y=0.18)
    if experiments:
        axes.legend(loc="best", frameon=True, framealpha=0.9, fontsize=9)


def _dots(
    axes: Any,
    experiments: Sequence[Experiment],
    colour: str,
    label: str,
    *,
    marker: str = "o",
    size: int = 36,
) -> None:
    if experiments:
        axes.scatter(
            [e.n for e in experiments], [e.score for e in experiments], s=size, c=colour,
            marker=marker, label=label, zorder=3, edgecolors="white", linewidths=0.6,
        )  # fmt: skip


def _best_line(axes: Any, steps: Sequence[tuple[int, float, Rung]], last: int) -> None:
    """Draw the incumbent's score as steps, interrupted where the rung changes.

    It is the validated score where there is one.
    """
    label = "incumbent"
    # A keep that ended after one with a higher number took effect beside that one.
    placed = zip(itertools.accumulate((n for n, _, _ in steps), max), steps, strict=True)
    steps = [(n, score, rung) for n, (_, score, rung) in placed]
    for rung in dict.fromkeys(rung for _, _, rung in steps):
        part = [(n, score) for n, score, r in steps if r == rung]
        later = [n for n, _, r in steps if r != rung and n > part[-1][0]]
        end = min(later) - 0.5 if later else last
        xs = [n for n, _ in part] + [max(end, part[-1][0])]
        ys = [score for _, score in part] + [part[-1][1]]
        axes.step(xs, ys, where="post", color=_GREEN, linewidth=1.8, zorder=2, label=label)
        label = "_"


def _validated(axes: Any, view: RunView, accepted: Sequence[int]) -> None:
    """Draw the validated scores of accepted candidates, with their confidence intervals."""
    means = [(n, v) for n in accepted if (v := view.validated(n)) is not None]
    if means:
        axes.errorbar(
            [n + _ASIDE for n, _ in means], [v.score for _, v in means],
            yerr=[[v.score - v.low for _, v in means], [v.high - v.score for _, v in means]],
            fmt="s", markersize=5, color=_BLUE, capsize=3, linewidth=1.4, zorder=4,
            label="validated: held-out seeds, 95 % CI",
        )  # fmt: skip


def _without_score(axes: Any, experiments: Sequence[Experiment], colour: str, label: str) -> None:
    """Mark experiments without a score along the lower edge."""
    if experiments:
        axes.scatter(
            [e.n for e in experiments], [_FLOOR] * len(experiments), marker="x", c=colour, s=42,
            label=label, transform=axes.get_xaxis_transform(), zorder=3,
        )  # fmt: skip


def _flagged(axes: Any, experiments: Sequence[Experiment]) -> None:
    """Ring flagged experiments, at their score or along the lower edge."""
    label = "flagged"
    for has_score in (True, False):
        some = [e for e in experiments if (e.score is not None) == has_score]
        if some:
            axes.scatter(
                [e.n for e in some], [e.score if has_score else _FLOOR for e in some], s=150,
                facecolors="none", edgecolors=_ORANGE, linewidths=1.8, label=label, zorder=4,
                transform=axes.transData if has_score else axes.get_xaxis_transform(),
            )  # fmt: skip
            label = "_"


def _rungs(axes: Any, experiments: Sequence[Experiment]) -> None:
    current = None
    for experiment in experiments:
        if experiment.rung != current and (experiment.is_baseline or current is None):
            current = experiment.rung
            axes.axvline(experiment.n - 0.5, color=_INK, linestyle=":", linewidth=1, alpha=0.6)
            axes.text(
                experiment.n - 0.35, 0.985, f"budget {current}", fontsize=8, color=_INK, va="top",
                transform=axes.get_xaxis_transform(),
            )  # fmt: skip


def _labels(axes: Any, kept: Sequence[Experiment]) -> None:
    """Number the kept experiments; `results` and `show N` have their descriptions."""
    for experiment in kept:
        axes.annotate(
            f"#{experiment.n}", (experiment.n, experiment.score), xytext=(-5, 4),
            textcoords="offset points", fontsize=7.5, color=_GREEN, ha="right", va="bottom",
        )  # fmt: skip


def _draw_foreign(
    axes: Any, rows: Sequence[dict[str, str]], scores: Sequence[float | None]
) -> None:
    points = [
        (x, score, row["status"])
        for x, (row, score) in enumerate(zip(rows, scores, strict=True), 1)
        if score is not None
    ]
    for status, colour in (
        ("discard", _GREY),
        ("keep", _GREEN),
        ("crash", _RED),
        ("pending", _INK),
    ):
        some = [(x, y) for x, y, s in points if s == status]
        if some:
            axes.scatter(*zip(*some, strict=True), s=26, c=colour, label=status)
    axes.set_title(
        "Earlier results.tsv, another evaluator: not comparable", loc="left", fontsize=10
    )
    axes.set_xlabel("row")
    axes.set_ylabel("score")
    axes.spines[["top", "right"]].set_visible(False)
    axes.grid(visible=True, axis="y", alpha=0.25)
    axes.legend(loc="lower right", fontsize=8)


def _score(row: dict[str, str]) -> float | None:
    try:
        return float(row["score"])
    except ValueError:
        return None
