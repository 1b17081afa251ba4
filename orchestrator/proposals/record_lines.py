"""The record as the agent reads it: an entry for each experiment, asides in their place. Pure.

An entry never changes once its experiment has ended, so that the history only grows at its end.
When it is too long, many old entries are shortened at once, and later removed at once: most
consecutive prompts begin alike.
"""

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import accumulate
from typing import Any

from orchestrator.core.experiments import Experiment
from orchestrator.core.records import ADOPTED, Status
from orchestrator.core.scores import NO_SCORE, score_text
from orchestrator.core.text import clean, counted, fenced, one_line
from orchestrator.proposals.brief import Brief, Comparison

LARGE_ROOM = 20_000
"""Characters of history from which on 25 experiments are shortened at a time, else 5."""
TITLE = """\
# History (oldest first)

Gains are over the lead of the time, shrunk towards 0 because what looks best is lucky too, ± one
standard error, with the number of seeds. What took the lead (status lead) looked better and was not
proven: a line in brackets below says when it was, or that the lead went back; then it was no gain.
Solve rates are the lead's -> the experiment's, on the same seeds. A score, where no gain is known,
is the mean over the default seeds, which flatter what they chose."""
_RECENT = 5
"""Entries that are shown in full as long as they fit."""
_PROMISING = 1.0
"""Standard errors by which a gain exceeds 0, from which on a discard is promising."""
_MEASURED = re.compile(r"[+-]\d+\.\d+ ± \d+\.\d+ over (?=\d+ seeds?, )")
"""A gain as measured, in a reason: it flatters what it chose, and the entry has the estimate."""
_FIRST_TASK = "first task"
"""Stage of the verdict on what was the first task."""
_SEEDS = re.compile(r" (?:default )?seed(?=s?$)")
_FOREIGN_ROWS = 50
_OLDER = "(older experiments left out)"


@dataclass(frozen=True)
class _Entry:
    n: int
    before: str
    """Asides since the entry before it."""
    full: str
    short: str


def is_promising(experiment: Experiment) -> bool:
    """Did an experiment not take the lead although its gain is above 0 by a standard error?

    What took the lead and was left again has disappointed.
    """
    if experiment.status is not Status.DISCARD or experiment.took_lead:
        return False
    z = z_of(experiment)
    return z is not None and z > _PROMISING


def z_of(experiment: Experiment) -> float | None:
    """Return the estimated gain in standard errors, None where it is not known."""
    gain, error = _gain(experiment)
    return gain / error if gain is not None and error else None


def gain_text(experiment: Experiment) -> str:
    """Return the estimated gain, its standard error, over what, and on how many seeds.

    Empty where it is not known.
    """
    gain, error = _gain(experiment)
    if gain is None or not error:
        return ""
    verdict = experiment.verdict
    over, seeds = verdict.get("against", verdict.get("incumbent")), verdict.get("evaluations")
    whose = f" over #{over}" if isinstance(over, int) else ""
    quantity = verdict.get("quantity") or "return"
    what = "" if quantity == "return" else f" in {one_line(str(quantity), 60)}"
    count = f" ({counted(seeds, 'seed')})" if isinstance(seeds, int) else ""
    return f"gain{what}{whose} {gain:+.4f} ± {error:.4f}{count}"


def _gain(experiment: Experiment) -> tuple[float | None, float | None]:
    """Return the shrunk gain and its standard error; as measured by a version that shrunk none."""
    verdict = experiment.verdict
    estimate, error = _number(verdict.get("estimate")), _number(verdict.get("estimate_se"))
    if estimate is not None and error:
        return estimate, error
    return _number(verdict.get("gain")), _number(verdict.get("standard_error"))


def history(brief: Brief, room: int) -> str:
    """Return the history in at most `room` characters; what does not fit is the oldest."""
    foreign = _foreign(brief.foreign, room // 4)
    entries, last_asides = _entries(brief)
    left = room - len(TITLE) - len(foreign) - len(last_asides) - len(_OLDER) - 10
    first, full_from = _cut(entries, left, step=25 if left > LARGE_ROOM else 5)
    lines = [_OLDER] if first else []
    for index, entry in enumerate(entries[first:], first):
        lines += filter(None, [entry.before, entry.full if index >= full_from else entry.short])
    lines += filter(None, [last_asides])
    shown = "\n".join(lines) or "(no experiments yet)"
    return "\n\n".join(part for part in (TITLE, foreign, shown) if part)


def _cut(entries: Sequence[_Entry], room: int, step: int) -> tuple[int, int]:
    """Return from which entry on the history is shown, and from which one on in full."""
    count = len(entries)
    short = [0, *accumulate(len(e.before) + len(e.short) + 2 for e in entries)]
    full = [0, *accumulate(len(e.before) + len(e.full) + 2 for e in entries)]

    def size(first: int, full_from: int) -> int:
        return short[full_from] - short[first] + full[count] - full[full_from]

    for first, full_from in _cuts(entries, step):
        if size(first, full_from) <= room:
            return first, full_from
    return count, count


def _cuts(entries: Sequence[_Entry], step: int) -> Iterator[tuple[int, int]]:
    """Yield the ways to cut the history, the one that shows most first."""
    count = len(entries)
    steps = [0, *(i for i, entry in enumerate(entries) if i and entry.n % step == 0)]
    recent = max((i for i in steps if i <= count - _RECENT), default=0)
    yield from ((0, full_from) for full_from in steps if full_from <= recent)
    yield from ((first, recent) for first in steps if first <= recent)
    yield from ((recent, full_from) for full_from in range(recent, count + 1))
    yield from ((first, count) for first in range(recent, count + 1))


def _entries(brief: Brief) -> tuple[list[_Entry], str]:
    """Return the entries, and the asides after the last one."""
    asides = sorted(brief.asides, key=lambda aside: aside.after_ended)
    entries = []
    for experiment in brief.history:
        before = []
        while asides and asides[0].after_ended < experiment.ended:
            before.append(_aside(asides.pop(0).text))
        comparison = brief.comparisons.get(experiment.n, Comparison())
        full = entry(experiment, comparison, brief.seed_count)
        short = entry(experiment, comparison, brief.seed_count, in_short=True)
        entries.append(_Entry(experiment.n, "\n".join(before), full, short))
    return entries, "\n".join(_aside(aside.text) for aside in asides)


def _aside(text: str) -> str:
    return f"({one_line(text, 400)})"


def entry(
    experiment: Experiment,
    comparison: Comparison,
    seed_count: int | None,
    *,
    in_short: bool = False,
) -> str:
    """Return an experiment's entry: numbers in the first line, then what was tried, and why.

    In short, the rationale is left out, and the change too unless it took the lead, was kept or is
    promising. What became of a lead is told after it: an entry never changes.
    """
    status = Status.LEAD if experiment.took_lead else experiment.status
    is_adopted = status in ADOPTED
    numbers = _numbers(experiment, comparison, seed_count)
    lines = [f"#{experiment.n} {status} at {experiment.rung}: {numbers}"]
    said = {
        "tried": one_line(experiment.description),
        "why": "" if in_short else one_line(experiment.rationale, 600),
        "changed": _changed(experiment.verdict),
        "verdict": one_line(_MEASURED.sub("", experiment.reason), 200 if in_short else 400),
        "flags": "; ".join(one_line(flag, 160) for flag in experiment.flags),
        "review": _review(experiment.verdict),
    }
    lines += [f"    {name}: {text}" for name, text in said.items() if text]
    if not in_short or is_adopted or is_promising(experiment):
        lines += [f"    {line}" for line in clean(comparison.diff, 6000).split("\n") if line]
    return "\n".join(lines)


def _numbers(experiment: Experiment, comparison: Comparison, seed_count: int | None) -> str:
    text = score_text(experiment, seed_count)
    gain = gain_text(experiment)
    known = ", ".join(filter(None, [gain, _solved(experiment, comparison)]))
    if gain:  # scores flatter what they chose
        return known
    if text == NO_SCORE:
        return f"{known} (no score)" if known else "no score"
    score = f"score {text}"
    score += "" if " " in text else " on the default seeds"
    score = _SEEDS.sub(" default seed", score)
    return f"{known} ({score})" if known else score


def _solved(experiment: Experiment, comparison: Comparison) -> str:
    before, after = comparison.solved_before, comparison.solved_after
    if after is not None and before is not None:
        return f"solve rate {before:.2f} -> {after:.2f}"
    solved = experiment.report.solve_rate if after is None else after
    return f"solve rate {solved:.2f}" if isinstance(solved, float) else ""


def _changed(verdict: Mapping[str, Any]) -> str:
    if "changed" not in verdict or verdict.get("world"):
        return ""  # of the user's world nothing can change, and the code says what else did
    names = [one_line(str(name), 40) for name in verdict["changed"] or ()]
    if not names and (why := _not_compared(verdict)):
        return f"not compared: {why}"
    if not names:
        return "nothing but policy or training, as measured"
    only = ", and nothing of reward or dynamics" if names == ["observation"] else ""
    epoch = "; from here on it is another task (a new epoch)" if verdict.get("epoch") else ""
    return f"{', '.join(names)}{only}, as measured{epoch}"


def _not_compared(verdict: Mapping[str, Any]) -> str:
    """Return why the environments were not compared, empty if they were or are the same code."""
    if verdict.get("stage") == _FIRST_TASK:
        return "there was no task before it"
    return one_line(str(verdict.get("not_compared") or ""), 200)


def _review(verdict: Mapping[str, Any]) -> str:
    review = verdict.get("review")
    if not isinstance(review, Mapping):
        return ""
    if "opinion" in review:
        return one_line(f"{review['opinion']}: {review.get('reason', '')}", 400)
    return one_line(f"none ({review.get('none', '')})", 200)


def _foreign(foreign: Sequence[str], room: int) -> str:
    rows = [one_line(row) for row in foreign[-_FOREIGN_ROWS:]]
    while rows and sum(map(len, rows)) + len(rows) > room - 200:
        rows.pop(0)
    if not rows:
        return ""
    return (
        "Rows of an earlier results.tsv, from another evaluator: not comparable with the "
        "scores below.\n" + fenced("\n".join(rows))
    )


def _number(value: object) -> float | None:
    return value if isinstance(value, float | int) and not isinstance(value, bool) else None
