"""Chart of a run: each experiment a dot at its score, the published candidate a thick line.

The lead is a thin line where it is another candidate. What proved it, and where it went back, is
marked on the lines. What the user accepted is a star. Flagged experiments have an orange ring; the
number of one that took the lead has its flags beside it. A seam marks where a new task begins,
before which nothing is comparable.
"""

import io
import statistics
import warnings
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from orchestrator.core.experiments import Experiment, MoveKind
from orchestrator.core.records import ADOPTED, Status
from orchestrator.core.text import one_line
from orchestrator.reporting.course import Step, begins_task
from orchestrator.reporting.run_view import RunView, flag_names
from orchestrator.store.user_files import write_whole

_GREEN, _GREY, _RED, _INK, _ORANGE = "#1a9850", "#b8b8b8", "#d73027", "#333333", "#ff7f00"
_BLUE, _PURPLE, _AMBER = "#2166ac", "#762a83", "#d9a400"
_MOVED = 0.5
"""Offset of a move of the lead after the ending before it, in experiments."""
_ASIDE = 0.18
"""Offset of a validated score to the right of its dot, in experiments."""
_FLOOR = 0.02
"""Height at which experiments without a score are marked, as a share of the panel's."""
_DPI = 150
_LARGEST = 1e150
"""Magnitude up to which scores are drawn: the squares of larger ones are no numbers."""


def draw(view: RunView, path: Path) -> None:
    """Write the chart as PNG, SVG or PDF, by the file's ending, whole or not at all.

    Raises:
        NotRegularError: a link, a pipe or the like stands there.
        OSError: it can't be written.
    """
    write_whole(path, image_of(view, path.suffix[1:].lower()))


def image_of(view: RunView, form: str) -> bytes:
    """Return the chart as an image of the form `png`, `svg` or `pdf`."""
    import matplotlib as mpl

    image = io.BytesIO()
    # A dollar in a name is a dollar, whatever the user's matplotlibrc says.
    plain = mpl.rc_context({"text.parse_math": False, "text.usetex": False})
    with plain, warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)  # a character that no font here has
        _figure(view).savefig(image, dpi=_DPI, format=form)
    return image.getvalue()


def _figure(view: RunView) -> Any:
    from matplotlib.figure import Figure

    foreign = [_score(row) for row in view.foreign]
    has_foreign = any(score is not None for score in foreign)
    rows = 2 if has_foreign else 1
    figure = Figure(figsize=(11, 5.5 + 2.5 * (rows - 1)), constrained_layout=True)
    panels = figure.subplots(rows, 1, squeeze=False, height_ratios=[5, 2][:rows])
    _draw_run(panels[0][0], view)
    if has_foreign:
        _draw_foreign(panels[1][0], view.foreign, foreign)
    return figure


def _draw_run(axes: Any, view: RunView) -> None:
    experiments = [e for e in view.experiments if e.status is not Status.ABORTED]
    scored = [e for e in experiments if e.score is not None and abs(e.score) <= _LARGEST]
    leading = [e for e in scored if e.status is Status.LEAD]
    left = [e for e in scored if e.status is Status.DISCARD and e.took_lead]
    _dots(axes, [e for e in scored if e.status is Status.DISCARD and e not in left], _GREY,
          "discarded")  # fmt: skip
    _dots(axes, left, _GREY, "led, and disappointed", size=60, edge=_AMBER)
    _dots(axes, leading, _AMBER, "leads, not proven", size=60)
    _dots(axes, [e for e in scored if e.status is Status.KEEP], _GREEN, "kept", size=60)
    _dots(axes, [e for e in scored if e.is_baseline], _INK, "baseline", marker="D")
    course = view.course
    published, leads = ([_at_level(view, s) for s in steps if abs(s.score) <= _LARGEST]
                        for steps in (course.published, course.leads))  # fmt: skip
    last = max((e.n for e in experiments), default=1)
    if len(leads) > len(published):
        _line(axes, leads, last, "lead (not proven)", color=_AMBER, linewidth=1.1)
    _line(axes, published, last, "published", color=_GREEN, linewidth=2.8)
    _moves(axes, published, leads)
    _validated(axes, view, list(dict.fromkeys(step.n for step in published)))
    accepted = [
        e for e in experiments if e.n in view.accepted_at and (e.score is None or e in scored)
    ]
    _accepted(axes, accepted)
    stopped = [e for e in experiments if e.score is None and e.status is Status.DISCARD]
    _without_score(axes, stopped, _GREY, "discarded early, no score")
    failed = [e for e in experiments if e.score is None and e.status is not Status.DISCARD]
    _without_score(axes, failed, _RED, "failed, no score")
    _flagged(axes, [e for e in experiments if e.flags])
    _rungs(axes, experiments)
    _seams(axes, [e for e in experiments if begins_task(e)])
    _labels(axes, [e for e in scored if e.status in ADOPTED or e.took_lead or e in accepted])
    kept = sum(e.status is Status.KEEP for e in experiments)
    challenges = sum(not e.is_baseline for e in experiments)
    name = one_line(view.run.tag, 60)
    axes.set_title(
        f"autorl/{name}: {challenges} experiments, {kept} kept", loc="left", weight="bold"
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
        axes.legend(
            loc="upper center", bbox_to_anchor=(0.5, -0.1), ncols=4, frameon=False, fontsize=8
        )


def _dots(
    axes: Any,
    experiments: Sequence[Experiment],
    colour: str,
    label: str,
    *,
    marker: str = "o",
    size: int = 36,
    edge: str = "white",
) -> None:
    if experiments:
        axes.scatter(
            [e.n for e in experiments], [e.score for e in experiments], s=size, c=colour,
            marker=marker, label=label, zorder=3, edgecolors=edge,
            linewidths=0.6 if edge == "white" else 1.4,
        )  # fmt: skip


def _at_level(view: RunView, step: Step) -> Step:
    """Return a step at the mean over fresh seeds, which did not choose it, if there are some."""
    if mean := view.validated(step.n):
        return replace(step, score=mean.score)
    fresh = [s.value for s in view.references.get(step.n, []) if s.value is not None]
    return replace(step, score=statistics.fmean(fresh)) if fresh else step


def _line(axes: Any, steps: Sequence[Step], last: int, label: str, **style: Any) -> None:
    """Draw a line of steps, interrupted where the rung or the task changes."""
    for ruler in dict.fromkeys((step.rung, step.epoch) for step in steps):
        part = [step for step in steps if (step.rung, step.epoch) == ruler]
        others = [step for step in steps if (step.rung, step.epoch) != ruler]
        later = [step.at for step in others if step.at > part[-1].at]
        end = min(later) - 0.5 if later else last
        xs = [_place(step) for step in part] + [max(end, _place(part[-1]))]
        ys = [step.score for step in part] + [part[-1].score]
        axes.step(xs, ys, where="post", zorder=2, label=label, **style)
        label = "_"


def _moves(axes: Any, published: Sequence[Step], leads: Sequence[Step]) -> None:
    """Mark where a trial has proven the lead, and where the lead went back."""
    proven = [step for step in published if step.move is MoveKind.PROMOTION]
    back = [step for step in leads if step.move is MoveKind.ROLLBACK]
    for steps, marker, colour, label in (
        (proven, "^", _GREEN, "trial passed: the lead is proven and published"),
        (back, "v", _AMBER, "the lead went back"),
    ):
        if steps:
            axes.scatter(
                [step.at + _MOVED for step in steps], [step.score for step in steps], s=90,
                c=colour, marker=marker, label=label, zorder=5, edgecolors=_INK, linewidths=0.8,
            )  # fmt: skip


def _place(step: Step) -> float:
    """Return where a step is drawn: a move follows the ending before it."""
    return step.at if step.move is None else step.at + _MOVED


def _accepted(axes: Any, experiments: Sequence[Experiment]) -> None:
    """Mark what the user accepted, at its score or along the lower edge."""
    label = "accepted by you, whatever the test said"
    for has_score in (True, False):
        some = [e for e in experiments if (e.score is not None) == has_score]
        if some:
            axes.scatter(
                [e.n for e in some], [e.score if has_score else _FLOOR for e in some], s=170,
                c=_PURPLE, marker="*", label=label, zorder=5, edgecolors="white", linewidths=0.6,
                transform=axes.transData if has_score else axes.get_xaxis_transform(),
            )  # fmt: skip
            label = "_"


def _validated(axes: Any, view: RunView, published: Sequence[int]) -> None:
    """Draw the validated scores of published candidates, with their confidence intervals."""
    means = [(n, v) for n in published if (v := view.validated(n)) is not None]
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


def _seams(axes: Any, firsts: Sequence[Experiment]) -> None:
    """Mark where a new task begins, left of its first experiment."""
    label = "a new task: compare after it alone"
    for experiment in firsts:
        axes.axvline(
            experiment.n - 0.5, color=_PURPLE, linestyle="--", linewidth=1.6, alpha=0.8, label=label
        )
        label = "_"


def _labels(axes: Any, kept: Sequence[Experiment]) -> None:
    """Number what took the lead or was kept; `results` and `show N` have their descriptions."""
    for experiment in kept:
        flags = f" ({flag_names(experiment)})" if experiment.flags else ""
        colour = _GREEN if experiment.status is Status.KEEP else _INK
        axes.annotate(
            f"#{experiment.n}{flags}", (experiment.n, experiment.score), xytext=(-5, 4),
            textcoords="offset points", fontsize=7.5, color=colour, ha="right", va="bottom",
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
    """Return a row's score, None if it has none that can be drawn."""
    try:
        score = float(row["score"])
    except ValueError:
        return None
    return score if abs(score) <= _LARGEST else None  # false for nan too
