"""The table of the learning curves."""

import statistics
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

Runs = list[dict[str, Any]]
"""Trainings as they are saved: task, contender, seed, steps, curve, final, cpu_s, wall_s."""

TITLES = {"ours": "simverse", "sb3": "Stable-Baselines3", "cleanrl": "CleanRL style"}


@dataclass(frozen=True)
class Summary:
    """One contender's trainings on one task."""

    finals: tuple[float, ...]
    """The final return of each seed."""
    cpu_s: tuple[float, ...]

    @classmethod
    def of(cls, runs: Sequence[dict[str, Any]], task: str, contender: str) -> "Summary | None":
        """Return the summary of a contender's on a task, None without any."""
        chosen = [run for run in runs if (run["task"], run["contender"]) == (task, contender)]
        finals, seconds = (tuple(float(run[key]) for run in chosen) for key in ("final", "cpu_s"))
        return cls(finals, seconds) if chosen else None

    @property
    def mean(self) -> float:
        """Return the mean final return."""
        return statistics.fmean(self.finals)

    @property
    def spread(self) -> float:
        """Return the standard deviation of the seeds' final returns, 0 of one."""
        return statistics.stdev(self.finals) if len(self.finals) > 1 else 0.0

    def __str__(self) -> str:
        return f"{self.mean:.4g} ± {self.spread:.2g}"


def is_worse(ours: Summary, theirs: Summary) -> bool:
    """Return whether ours is below theirs by more than their spread."""
    return ours.mean < theirs.mean - theirs.spread


def table(runs: Sequence[dict[str, Any]]) -> str:
    """Return the table in Markdown: final greedy returns over the seeds, and seconds."""
    tasks = list(dict.fromkeys(run["task"] for run in runs))
    names = [name for name in TITLES if any(run["contender"] == name for run in runs)]
    seconds = " / ".join(TITLES[name] for name in names)
    head = ["task", "steps", "seeds", *(TITLES[name] for name in names), f"seconds: {seconds}", ""]
    lines = [f"| {' | '.join(head)} |", f"|{'---|' * len(head)}"]
    for task in tasks:
        found = {name: Summary.of(runs, task, name) for name in names}
        steps = " to ".join(
            f"{count:,}" for count in sorted({run["steps"] for run in runs if run["task"] == task})
        )
        present = [each for each in found.values() if each is not None]
        seeds = "/".join(str(count) for count in sorted({len(each.finals) for each in present}))
        finals = ["" if each is None else str(each) for each in found.values()]
        took = ["" if e is None else f"{statistics.median(e.cpu_s):.0f}" for e in found.values()]
        row = [task, steps, seeds, *finals, " / ".join(took), _verdict(found)]
        lines.append(f"| {' | '.join(row)} |")
    return "\n".join(lines)


def _verdict(found: dict[str, Summary | None]) -> str:
    ours, theirs = found.get("ours"), found.get("sb3")
    if ours is None or theirs is None:
        return ""
    return "WORSE than SB3 by more than its spread" if is_worse(ours, theirs) else "not worse"
