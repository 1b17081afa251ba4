"""Averages with their intervals, tables and targets."""

import math
import textwrap
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from orchestrator.judging.student_t import t_quantile

_Z = 1.96


@dataclass(frozen=True)
class Rate:
    """An average over runs, with its 95 % interval."""

    value: float
    low: float
    high: float
    freedom: float = math.inf
    """Degrees of freedom of the interval (Student's t)."""

    def widened(self, among: int) -> tuple[float, float]:
        """Return the interval that holds all of so many figures in 95 % of cases (Bonferroni)."""
        wider = t_quantile(1 - 0.025 / among, self.freedom) / t_quantile(0.975, self.freedom)
        below, above = self.value - self.low, self.high - self.value
        return self.value - wider * below, self.value + wider * above


def mean(values: Sequence[float]) -> Rate:
    """Return the mean of one value a run."""
    array = np.array(values)
    middle, freedom = float(array.mean()), len(array) - 1
    if not freedom:
        return Rate(middle, -math.inf, math.inf)
    half = t_quantile(0.975, freedom) * float(array.std(ddof=1)) / math.sqrt(len(array))
    return Rate(middle, middle - half, middle + half, freedom)


def rare(counts: Sequence[int]) -> Rate:
    """Return the mean of a rare count, by Poisson's limits (Byar's approximation)."""
    total, runs = sum(counts), len(counts)
    low = total * (1 - 1 / (9 * total) - _Z / (3 * math.sqrt(total))) ** 3 if total else 0.0
    more = total + 1
    high = more * (1 - 1 / (9 * more) + _Z / (3 * math.sqrt(more))) ** 3
    return Rate(total / runs, low / runs, high / runs)


def share(counts: Sequence[int], sizes: Sequence[int]) -> Rate:
    """Return a share of all that was counted in several runs, by Wilson's score (1927).

    What is counted in one run depends on each other, so it counts for less than as many independent
    ones: by how much the runs differ more than chance would have it (Kish's design effect, 1965).
    """
    total = sum(sizes)
    if not total:
        return Rate(0.0, 0.0, 1.0)
    value = sum(counts) / total
    chance = sum(size * value * (1 - value) for size in sizes)
    seen = sum((count - size * value) ** 2 for count, size in zip(counts, sizes, strict=True))
    effective = total / max(1.0, seen / chance) if chance else total
    middle = (value + _Z**2 / (2 * effective)) / (1 + _Z**2 / effective)
    half = _Z * math.sqrt(value * (1 - value) / effective + _Z**2 / (4 * effective**2))
    half /= 1 + _Z**2 / effective
    return Rate(value, max(0.0, middle - half), min(1.0, middle + half))


# -- tables ----------------------------------------------------------------------------------------

Row = Mapping[str, Any]
Format = Callable[[Any], str]


@dataclass(frozen=True)
class Table:
    """Figures under a title."""

    title: str
    note: str
    columns: Mapping[str, Format]
    rows: Sequence[Row]

    def find(self, **values: object) -> Row:
        """Return the one row with these values."""
        (row,) = (row for row in self.rows if all(row[key] == values[key] for key in values))
        return row

    def markdown(self) -> str:
        """Return it as aligned Markdown."""
        cells = [list(self.columns)]
        cells += [[show(row[name]) for name, show in self.columns.items()] for row in self.rows]
        is_text = [show is str for show in self.columns.values()]
        widths = [max(len(line[i]) for line in cells) for i in range(len(self.columns))]
        lines = [_line(line, widths, is_text) for line in cells]
        rules = ["-" * (w - (not t)) + ":" * (not t) for w, t in zip(widths, is_text, strict=True)]
        lines.insert(1, _line(rules, widths, is_text))
        note = "\n\n".join(textwrap.fill(text, 100) for text in self.note.split("\n\n"))
        return "\n".join([f"## {self.title}", "", note, "", *lines, ""])


def _line(cells: Sequence[str], widths: Sequence[int], is_text: Sequence[bool]) -> str:
    padded = (
        cell.ljust(width) if left else cell.rjust(width)
        for cell, width, left in zip(cells, widths, is_text, strict=True)
    )
    return "| " + " | ".join(padded) + " |"


def interval(rate: Rate) -> str:
    """Show a number with its interval."""
    return f"{rate.value:.3f} ({rate.low:.3f}–{rate.high:.3f})"


def signed(rate: Rate) -> str:
    """Show a share with its sign and its interval."""
    low, value, high = (each * 100 for each in (rate.low, rate.value, rate.high))
    return f"{value:+.1f} % ({low:+.1f} to {high:+.1f})"


def percent(rate: Rate) -> str:
    """Show a share without its interval."""
    return f"{100 * rate.value:.1f} %"


def average(rate: Rate) -> str:
    """Show a number without its interval."""
    return f"{rate.value:.2f}"


# -- targets ---------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Target:
    """A figure and its limits."""

    what: str
    rate: Rate
    low: float = -math.inf
    high: float = math.inf

    def missed(self, *, surely: bool, among: int = 1) -> bool:
        """Return whether the figure lies beyond its limits.

        Args:
            surely: whether its whole interval must.
            among: how many are checked at once, for which the interval is widened: of 60 that are
                as they should be, three lie outside their 95 % intervals by chance.
        """
        if surely:
            low, high = self.rate.widened(among)
            return low > self.high or high < self.low
        return not self.low <= self.rate.value <= self.high


def report(checked: Sequence[Target], *, surely: bool) -> int:
    """Print each target, and return how many are missed."""
    print("## Targets\n")
    missed = [target.missed(surely=surely, among=len(checked)) for target in checked]
    for target, miss in zip(checked, missed, strict=True):
        limits = [
            f"at {word} {limit:g}"
            for word, limit in (("least", target.low), ("most", target.high))
            if math.isfinite(limit)
        ]
        rate = target.rate
        found = f"{rate.value:.4f} ({rate.low:.4f} to {rate.high:.4f})"
        print(f"{'MISSED' if miss else 'met':6} {target.what}: {found}, wanted {', '.join(limits)}")
    if surely:
        print(
            "\nWith so few runs a target is missed if the whole interval that holds all of them in"
            " 95 % of cases lies beyond it. The 95 % intervals above are of each alone."
        )
    return sum(missed)
