"""What is simulated for which table, and what the figures have to be."""

import textwrap
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from benchmarks.judge.returns import KINDS
from benchmarks.judge.simulate import (
    NOISE,
    PLANTED_SD,
    RULES,
    Comparison,
    Night,
    Outcome,
    Rate,
    Simulator,
    Trial,
    mean,
    share,
)
from orchestrator.config.schema import JudgeConfig

GAINS_SD = (0.0, 0.5, 1.0, 2.0)
NOISES = (0.0, 0.05, 0.2, 0.5)
KEEPS = (1, 5, 10, 20)
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


def per(count: int) -> Format:
    """Show a share as a number in so many, with its interval."""

    def show(rate: Rate) -> str:
        low, value, high = (each * count for each in (rate.low, rate.value, rate.high))
        return f"{value:.2f} ({low:.2f}–{high:.2f})"

    return show


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


def _with_effort(power: Mapping[str, Rate]) -> str:
    return f"{percent(power['kept'])} ({power['evaluations'].value:.1f})"


# -- error rates -----------------------------------------------------------------------------------

_NO_OPS = """\
{runs:,} runs of 100 challengers that are no better than the incumbent. An evaluation is one seed;
the incumbent's are shared out among the challengers. The phantom gain is the score shown for the
incumbent at the end of a run, less its true mean, as a share of that; one seed's standard
deviation (sd) is {noise:.0f} % of the score. Kept at +1 sd: of challengers that are better by one
sd, put in anywhere in the run. 95 % intervals in brackets.

`sound` and `naive` are the values of `judge.rule`. *Welch 16* is Welch's t test, one-sided at p <
0.01, with 16 fresh seeds of both sides for each challenger; *reused* measures the incumbent no
more after the 16 seeds that got it kept. *Heteroscedastic*: a challenger's sd is 0.5 to 2 times
its incumbent's, so a rule that keeps what is lucky drifts to what varies most.
"""


def no_ops(simulator: Simulator) -> Table:
    """Compare the rules on challengers that change nothing."""
    settings = [Night(rule, kind, probe_sd=1.0) for rule in RULES for kind in KINDS]
    rows = [
        {"rule": setting.rule, "returns": setting.kind, **error_rates(outcomes), **probed(outcomes)}
        for setting, outcomes in zip(settings, simulator.play(settings), strict=True)
    ]
    return Table(
        "Changes that do nothing",
        _NO_OPS.format(runs=simulator.runs, noise=100 * NOISE),
        {
            "rule": str, "returns": str, "false keeps in 20": per(20),
            "false keeps in 100": per(100), "evaluations each": average, "phantom gain": signed,
            "kept at +1 sd": percent,
        },
        rows,
    )  # fmt: skip


def error_rates(outcomes: Sequence[Outcome]) -> dict[str, Rate]:
    """Return what runs of challengers that do nothing come to."""
    early = [20 for _ in outcomes]
    false_keeps = [outcome.false_keeps for outcome in outcomes]
    return {
        "false keeps in 20": share([outcome.early_false_keeps for outcome in outcomes], early),
        "false keeps in 100": share(false_keeps, [outcome.no_ops for outcome in outcomes]),
        "evaluations each": mean(
            [outcome.evaluations / outcome.challengers for outcome in outcomes]
        ),
        "phantom gain": mean([outcome.phantom_gain for outcome in outcomes]),
    }


def probed(outcomes: Sequence[Outcome], gain_sd: float = 1.0) -> dict[str, Rate]:
    """Return the power anywhere in the runs, for probes with this gain."""
    kept = [outcome.probes_kept for outcome in outcomes]
    return {f"kept at +{gain_sd:g} sd": share(kept, [outcome.probes for outcome in outcomes])}


_GAINS = """\
{runs:,} incumbents, ten challengers each, that are better by so many sd of one seed: how many are
kept, and in brackets the evaluations of one comparison. The incumbent's full reference has {full}
seeds; the first, which only the first challenger meets, has {first}. The other rules compare with
an incumbent just measured.
"""


def gains(simulator: Simulator) -> Table:
    """Compare the rules on challengers that are better."""
    against = {"sound, full reference": ("sound", False), "sound, first reference": ("sound", True)}
    against |= {rule: (rule, False) for rule in RULES[1:]}
    keys = [(label, kind) for label in against for kind in KINDS]
    settings = [
        Trial(gain, against[label][0], kind, young=against[label][1])
        for label, kind in keys
        for gain in GAINS_SD
    ]
    found = iter(simulator.play(settings))
    rows = []
    for label, kind in keys:
        row: dict[str, Any] = {"rule": label, "returns": kind}
        rows.append(row | {_gained(gain): _power(next(found)) for gain in GAINS_SD})
    numbers = JudgeConfig()
    return Table(
        "Changes that are better",
        _GAINS.format(runs=simulator.runs, full=numbers.reference, first=numbers.reference_first),
        {"rule": str, "returns": str} | {_gained(gain): _with_effort for gain in GAINS_SD},
        rows,
    )


def _gained(gain_sd: float) -> str:
    return f"+{gain_sd:g} sd" if gain_sd else "no gain"


def _power(comparisons: Sequence[Comparison]) -> dict[str, Rate]:
    sizes = [each.challengers for each in comparisons]
    return {
        "kept": share([each.kept for each in comparisons], sizes),
        "evaluations": mean([each.evaluations / each.challengers for each in comparisons]),
    }


_NOISES = """\
The sound rule, normal returns, {runs:,} runs, with the same random numbers in each row: the
verdict does not depend on the scale of the noise, nor on that of the score. Where there is none
at all, every no-op is equal to the incumbent to the last bit, and the gain is 0.1 % of the score.
"""


def noise(simulator: Simulator) -> Table:
    """Show that the verdict does not depend on the scale of the noise."""
    nights = simulator.play([Night(noise=level) for level in NOISES])
    trials = simulator.play([Trial(1.0, noise=level) for level in NOISES])
    rows = [
        {"sd of a seed": level, **error_rates(outcomes), "+1 sd": _power(comparisons)}
        for level, outcomes, comparisons in zip(NOISES, nights, trials, strict=True)
    ]
    return Table(
        "Noise, as a share of the score",
        _NOISES.format(runs=simulator.runs),
        {
            "sd of a seed": lambda level: f"{100 * level:.0f} %", "false keeps in 100": per(100),
            "evaluations each": average, "phantom gain": signed, "+1 sd": _with_effort,
        },
        rows,
    )  # fmt: skip


_KEEPS = """\
{runs:,} runs of 100 challengers with normal returns, of which some are planted, evenly, with
+{planted:g} sd to be kept, so that the incumbent changes; the others do nothing. Evaluations are
those of all challengers and incumbents, shared out. Kept at +1 sd: of challengers with that gain,
put in anywhere in the run.
"""


def keeps(simulator: Simulator) -> Table:
    """Show what it costs when there is often a new incumbent."""
    settings = [Night(keeps=count, probe_sd=1.0) for count in KEEPS]
    rows = [
        {"keeps in 100": count, **error_rates(outcomes), **probed(outcomes)}
        for count, outcomes in zip(KEEPS, simulator.play(settings), strict=True)
    ]
    return Table(
        "New incumbents",
        _KEEPS.format(runs=simulator.runs, planted=PLANTED_SD),
        {
            "keeps in 100": str, "evaluations each": average, "false keeps in 100": per(100),
            "kept at +1 sd": percent,
        },
        rows,
    )  # fmt: skip


# -- targets ---------------------------------------------------------------------------------------


MOST_FALSE = 0.002
"""False keeps a challenger that is no better."""


@dataclass(frozen=True)
class Target:
    """A figure and its limit."""

    what: str
    rate: Rate
    low: float
    high: float

    def missed(self, *, surely: bool) -> bool:
        """Return whether the figure lies beyond, or, if asked for, its whole 95 % interval."""
        if surely:
            return self.rate.low > self.high or self.rate.high < self.low
        return not self.low <= self.rate.value <= self.high


def targets(no_ops: Table, gains: Table, noise: Table) -> list[Target]:
    """Return what the sound rule has to reach."""
    found = []
    for kind in KINDS:
        row = no_ops.find(rule="sound", returns=kind)
        rate = row["false keeps in 100"]
        found.append(Target(f"false keeps a no-op, {kind}", rate, 0.0, MOST_FALSE))
        found.append(Target(f"phantom gain, {kind}", row["phantom gain"], -0.02, 0.02))
    for kind in ("normal", "t(3)"):
        row = no_ops.find(rule="sound", returns=kind)
        found.append(Target(f"evaluations a no-op, {kind}", row["evaluations each"], 0.0, 6.0))
        found.append(Target(f"kept at +1 sd anywhere, {kind}", row["kept at +1 sd"], 0.6, 1.0))
        row = gains.find(rule="sound, full reference", returns=kind)
        found.append(Target(f"kept at +1 sd, {kind}", row["+1 sd"]["kept"], 0.6, 1.0))
        found.append(Target(f"kept at +2 sd, {kind}", row["+2 sd"]["kept"], 0.9, 1.0))
    silent = noise.find(**{"sd of a seed": 0.0})
    found.append(Target("false keeps without noise", silent["false keeps in 100"], 0.0, 0.0))
    found.append(Target("gains kept without noise", silent["+1 sd"]["kept"], 1.0, 1.0))
    return found
