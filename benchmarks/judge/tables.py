"""What is simulated for which table, and what the figures have to be."""

import dataclasses
import json
import textwrap
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from benchmarks.judge.returns import KINDS
from benchmarks.judge.simulate import (
    NOISE,
    PLANTED_SD,
    RULES,
    Changes,
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
REFERENCES = (8, 16, 32, 48, 64, 128)
STEPS = (1, 2, 4, 8)
KEEPS = (1, 5, 10, 20)
FRONTIERS: dict[str, tuple[Any, ...]] = {
    "alpha": (0.0005, 0.001, 0.002, 0.004, 0.01),
    "screen": (0.1, 0.2, 0.3, 0.4, 0.5, 0.7),
    "futility": (0.0, 0.02, 0.05, 0.1, 0.2, 0.3),
    "group_size": (1, 2, 4, 8, 19, 38),
    "max_evaluations": (12, 24, 32, 40, 48),
    "early_stop": (None, 0.005, 0.02, 0.05, 0.1),
}
"""Values of the config's `judge` section, each varied alone."""

Row = Mapping[str, Any]
Format = Callable[[Any], str]


@dataclass(frozen=True)
class Table:
    """Figures under a title."""

    key: str
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


def as_json(tables: Iterable[Table], runs: int) -> str:
    """Return the figures, unrounded."""
    figures = {table.key: table.rows for table in tables}
    text = json.dumps({"runs": runs, "tables": figures}, indent=1, default=dataclasses.asdict)
    return text + "\n"


def per(count: int) -> Format:
    """Show a share as a number in so many, with its interval."""

    def show(rate: Rate) -> str:
        low, value, high = (each * count for each in (rate.low, rate.value, rate.high))
        return f"{value:.2f} ({low:.2f}–{high:.2f})"

    return show


def _signed(rate: Rate) -> str:
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
        {"rule": setting.rule, "returns": setting.kind, **_rates(outcomes), **_probed(outcomes)}
        for setting, outcomes in zip(settings, simulator.play(settings), strict=True)
    ]
    return Table(
        "no-ops",
        "Changes that do nothing",
        _NO_OPS.format(runs=simulator.runs, noise=100 * NOISE),
        {
            "rule": str, "returns": str, "false keeps in 20": per(20),
            "false keeps in 100": per(100), "evaluations each": average, "phantom gain": _signed,
            "kept at +1 sd": percent,
        },
        rows,
    )  # fmt: skip


def _rates(outcomes: Sequence[Outcome]) -> dict[str, Rate]:
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


def _probed(outcomes: Sequence[Outcome]) -> dict[str, Rate]:
    kept = [outcome.probes_kept for outcome in outcomes]
    return {"kept at +1 sd": share(kept, [outcome.probes for outcome in outcomes])}


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
    rules = JudgeConfig()
    return Table(
        "gains",
        "Changes that are better",
        _GAINS.format(runs=simulator.runs, full=rules.reference, first=rules.reference_first),
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
        {"sd of a seed": level, **_rates(outcomes), "+1 sd": _power(comparisons)}
        for level, outcomes, comparisons in zip(NOISES, nights, trials, strict=True)
    ]
    return Table(
        "noise",
        "Noise, as a share of the score",
        _NOISES.format(runs=simulator.runs),
        {
            "sd of a seed": lambda level: f"{100 * level:.0f} %", "false keeps in 100": per(100),
            "evaluations each": average, "phantom gain": _signed, "+1 sd": _with_effort,
        },
        rows,
    )  # fmt: skip


# -- frontiers -------------------------------------------------------------------------------------

_REFERENCES = """\
{runs:,} runs of 100 challengers with normal returns, of which some are planted, evenly, with
+{planted:g} sd to be kept, so that the incumbent changes; the others do nothing. Evaluations are
those of all challengers and incumbents, shared out. Kept at +1 sd: of challengers with that gain,
put in anywhere in the run.
"""


def references(simulator: Simulator) -> Table:
    """Show what the size of the reference costs and brings, by how often there is a new one."""
    default = JudgeConfig()
    sizes: dict[str, Changes] = {
        f"{size} at once": (("reference", size), ("reference_first", size)) for size in REFERENCES
    }
    for step in STEPS:
        mark = " (default)" if step == default.reference_step else ""
        label = f"{default.reference_first}, {step} more each, to {default.reference}{mark}"
        sizes[label] = (("reference_step", step),)
    keys = [(keeps, label) for keeps in KEEPS for label in sizes]
    settings = [Night(changes=sizes[label], keeps=keeps, probe_sd=1.0) for keeps, label in keys]
    rows = [
        {"keeps in 100": keeps, "reference": label, **_rates(outcomes), **_probed(outcomes)}
        for (keeps, label), outcomes in zip(keys, simulator.play(settings), strict=True)
    ]
    return Table(
        "references",
        "Size of the incumbent's reference",
        _REFERENCES.format(runs=simulator.runs, planted=PLANTED_SD),
        {
            "keeps in 100": str, "reference": str, "evaluations each": average,
            "false keeps in 100": per(100), "kept at +1 sd": percent,
        },
        rows,
    )  # fmt: skip


_FRONTIERS = """\
Normal returns, {runs:,} runs, all else by default. At +1 sd: against a full reference, and in
brackets the evaluations of one comparison.
"""


def frontiers(simulator: Simulator) -> list[Table]:
    """Show what each number of the config does, varied alone."""
    keys = [(name, value) for name, values in FRONTIERS.items() for value in values]
    nights = simulator.play([Night(changes=(key,)) for key in keys])
    trials = simulator.play([Trial(1.0, changes=(key,)) for key in keys])
    found = dict(zip(keys, zip(nights, trials, strict=True), strict=True))
    note = _FRONTIERS.format(runs=simulator.runs)
    tables = []
    for name, values in FRONTIERS.items():
        rows = [_varied(name, value, *found[name, value]) for value in values]
        columns: dict[str, Format] = {
            name: str, "false keeps in 100": per(100), "evaluations each": average,
            "+1 sd": _with_effort,
        }  # fmt: skip
        tables.append(Table(name, f"`judge.{name}`", note, columns, rows))
    return tables


def _varied(
    name: str, value: object, outcomes: Sequence[Outcome], comparisons: Sequence[Comparison]
) -> Row:
    mark = " (default)" if value == getattr(JudgeConfig(), name) else ""
    label = f"{'null' if value is None else value}{mark}"
    return {name: label, **_rates(outcomes), "+1 sd": _power(comparisons)}


# -- targets ---------------------------------------------------------------------------------------


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
        found.append(Target(f"false keeps a no-op, {kind}", row["false keeps in 100"], 0.0, 0.002))
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
