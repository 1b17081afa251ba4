"""Code of earlier experiments: short changes, promising ones, what an agent asked to see. Pure."""

from collections.abc import Sequence
from dataclasses import replace

from orchestrator.core.diff import unified_diff
from orchestrator.core.records import Files
from orchestrator.core.text import clean, fenced
from orchestrator.proposals.brief import Brief, Comparison, Exhibit
from orchestrator.proposals.notebook import curves
from orchestrator.proposals.record_lines import entry

DIFF_CHARS = 2500
"""Most characters of a short change."""
_INTRO = (
    "Files that are equal to the current ones are not repeated. An edit is one of the current "
    "files: to go on from code below, give the whole file."
)


def short_diff(before: Files, after: Files, limit: int = DIFF_CHARS) -> str:
    """Return the change between two candidates: of env.py its beginning if it is long.

    What changes in train.py is seldom long and says most of an idea, so only twice the limit cuts
    it.
    """
    train = _changed_lines(before, replace(after, env=before.env), 2 * limit)
    room = max(limit // 4, limit - len(train))
    env = _changed_lines(before, replace(after, train=before.train), room)
    return clean("\n".join(filter(None, [env, train])), 3 * limit)


def _changed_lines(before: Files, after: Files, limit: int) -> str:
    lines: list[str] = []
    size = 0
    change = unified_diff(before, after, context=1)
    for line in (line.rstrip("\n") for line in change if not line.startswith("--- ")):
        size += len(line) + 1
        if size > limit:
            lines.append("[… the change of this file is longer …]")
            break
        lines.append(line)
    return "\n".join(lines)


def exhibits(brief: Brief, room: int) -> str:
    """Return the code of promising experiments and of those that notes name, as far as it fits.

    In order of number, so that one more is added at the end.
    """
    shown: dict[int, str] = {}
    left_out: list[int] = []
    left = room - len(_INTRO) - 200
    for exhibit in brief.exhibits:
        text = _exhibit(exhibit, brief, with_entry=False)
        if len(text) + 2 <= left:
            shown[exhibit.experiment.n] = text
            left -= len(text) + 2
        else:
            left_out.append(exhibit.experiment.n)
    if not shown:
        return ""
    parts = [shown[n] for n in sorted(shown)]
    more = _left_out(left_out)
    return "\n\n".join(filter(None, ["# Code of earlier experiments", _INTRO, *parts, more]))


def answer_to_show(brief: Brief, numbers: Sequence[int], room: int, *, is_last: bool) -> str:
    """Return the answer to `show: #N` in at most `room` characters, if it can be so short."""
    ask = (
        "That was the last such answer in this experiment: answer with an edit now."
        if is_last
        else "Answer with an edit of the current files now, or with another `show:` line."
    )
    known = {exhibit.experiment.n: exhibit for exhibit in brief.asked}
    parts = []
    left_out: list[int] = []
    left = room - len(ask) - len(_INTRO) - 200
    for n in numbers:
        text = _exhibit(known[n], brief, with_entry=True) if n in known else _unknown(n)
        if len(text) > left:
            left_out.append(n)
            continue
        parts.append(text)
        left -= len(text) + 2
    return "\n\n".join(filter(None, [*parts, _left_out(left_out), _INTRO, ask]))


def _unknown(n: int) -> str:
    return f"#{n}: there is no finished experiment of that number in this run."


def _left_out(numbers: Sequence[int]) -> str:
    if not numbers:
        return ""
    named = ", ".join(f"#{n}" for n in numbers)
    return f"(left out for its length: {named}; `show: #{numbers[0]}` alone may fit)"


def _exhibit(exhibit: Exhibit, brief: Brief, *, with_entry: bool) -> str:
    experiment = exhibit.experiment
    parts = [f"## Code of #{experiment.n} ({exhibit.why})"]
    if with_entry:
        comparison = brief.comparisons.get(experiment.n, Comparison())
        lines = [entry(experiment, Comparison(comparison.solved_before, comparison.solved_after),
                       brief.seed_count)]  # fmt: skip
        if exhibit.measurements is not None:
            lines += curves(exhibit.measurements)
        parts.append("\n".join(lines))
    if exhibit.files is None:
        return "\n\n".join([*parts, "Its reply led to no code."])
    current = brief.files.by_path()
    for path, text in exhibit.files.by_path().items():
        if text == current[path]:
            parts.append(f"{path}: equal to the current one.")
        else:
            parts.append(f"{path} of #{experiment.n}:\n{fenced(text, 'python')}")
    return "\n\n".join(parts)
