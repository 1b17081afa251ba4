"""The picture of the error rates."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from benchmarks.judge.returns import KINDS
from benchmarks.judge.simulate import Comparison, Simulator, Trial
from benchmarks.judge.tables import Table

GAINS_SD = tuple(step / 4 for step in range(13))
_LEAST = 0.001
"""False keeps in 100 below which the axis ends."""
_STYLES = {
    "sound": ("sound", "#0b6e4f", "o"),
    "Welch 16": ("t test, 16 seeds a side", "#7a6fb0", "s"),
    "naive": ("naive", "#c8553d", "^"),
}
_SCORES = {
    "normal": "normally distributed",
    "t(3)": "heavy tails (Student's t, 3 d.f.)",
    "skewed right": "skewed, few high",
    "skewed left": "skewed, few low",
    "lognormal": "lognormal",
    "bimodal 50/50": "half of the seeds learn",
    "bimodal 20/80": "20 % of the seeds learn",
    "bimodal 80/20": "80 % of the seeds learn",
    "heteroscedastic": "spread differs by change, ×0.5–2",
    "shared luck": "seeds lucky for all alike",
    "half share luck": "seeds lucky for every second change",
}


def draw(simulator: Simulator, no_ops: Table, path: Path) -> None:
    """Draw false keeps by distribution, and the chance of a keep by the true gain."""
    import matplotlib as mpl

    mpl.use("Agg")
    import matplotlib.pyplot as plt

    found = simulator.play(Trial(gain, rule) for rule in _STYLES for gain in GAINS_SD)
    figure, (left, right) = plt.subplots(1, 2, figsize=(12, 5.4), layout="constrained")
    _draw_false_keeps(left, no_ops)
    _title(left, "Changes that do nothing, and are kept", "100 in a row, from one incumbent on")
    for index, rule in enumerate(_STYLES):
        _draw_power(right, rule, found[index * len(GAINS_SD) : (index + 1) * len(GAINS_SD)])
    _title(
        right,
        "Changes that are better, and are kept",
        "normally distributed scores, incumbent just measured",
    )
    seeds = [no_ops.find(rule=rule, returns="normal")["evaluations each"].value for rule in _STYLES]
    labels = [
        f"{label} ({cost:.0f} seeds)"
        for (label, *_), cost in zip(_STYLES.values(), seeds, strict=True)
    ]
    figure.legend(
        right.lines, labels, loc="outside lower center", ncols=3, frameon=False,
        title="rule (and what it spends on a change that does nothing, on average)",
    )  # fmt: skip
    for axes in (left, right):
        axes.spines[["top", "right"]].set_visible(False)
    figure.savefig(path, dpi=120, metadata={"Software": None})
    plt.close(figure)


def _title(axes: Any, text: str, condition: str) -> None:
    axes.set_title(text, loc="left", weight="bold", pad=22)
    axes.text(0, 1.02, condition, transform=axes.transAxes, color="0.35", va="bottom")


def _draw_false_keeps(axes: Any, no_ops: Table) -> None:
    kinds = list(KINDS)
    for rule, (_, color, marker) in _STYLES.items():
        for place, kind in enumerate(kinds):
            rate = no_ops.find(rule=rule, returns=kind)["false keeps in 100"]
            low, value, high = (
                max(100 * each, _LEAST) for each in (rate.low, rate.value, rate.high)
            )
            axes.plot([low, high], [place, place], color=color, lw=1.5, alpha=0.6)
            axes.plot(value, place, marker, color=color, ms=7)
    axes.axvline(0.2, color="0.4", ls="--", lw=1)
    axes.annotate(
        "limit: 0.2", (0.2, -0.75), xytext=(-4, 0), textcoords="offset points",
        ha="right", va="center", color="0.35",
    )  # fmt: skip
    axes.set_xscale("log")
    axes.set_xlim(_LEAST, 20)
    axes.set_xticks([0.001, 0.01, 0.1, 1, 10], ["≤ 0.001", "0.01", "0.1", "1", "10"])
    axes.set_yticks(range(len(kinds)), [_SCORES[kind] for kind in kinds])
    axes.set_ylim(len(kinds) - 0.4, -1.1)
    axes.set_xlabel("false keeps in 100 such changes (bars: 95 % interval)")
    axes.set_ylabel("how scores vary from seed to seed")
    axes.grid(axis="x", alpha=0.25)


def _draw_power(axes: Any, rule: str, curve: Sequence[Sequence[Comparison]]) -> None:
    _, color, marker = _STYLES[rule]
    shares = [
        100 * sum(each.kept for each in point) / sum(each.challengers for each in point)
        for point in curve
    ]
    axes.plot(GAINS_SD, shares, marker + "-", color=color, ms=5)
    axes.set_xlabel("true gain, in standard deviations of one seed's score")
    axes.set_ylabel("kept, %")
    axes.set_xlim(-0.05, GAINS_SD[-1] + 0.05)
    axes.set_ylim(-2, 102)
    axes.grid(alpha=0.25)
