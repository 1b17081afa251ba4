"""The morning report: what a run found, what it rests on, what it cost, and what now. Pure.

It is made of blocks, which `report_text.py` and `report_html.py` write for a terminal, as Markdown
and as a page.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from orchestrator.core.clock import local
from orchestrator.core.experiments import Experiment
from orchestrator.core.records import FAILED, Status, Tokens
from orchestrator.core.text import counted, one_line, percent
from orchestrator.reporting.course import Step
from orchestrator.reporting.next_steps import next_steps
from orchestrator.reporting.results import reference_seconds
from orchestrator.reporting.run_view import (
    SATURATED,
    RunView,
    flag_names,
    number_text,
    review_text,
    with_half,
    with_interval,
)

_KINDS_SHOWN = 5
_KEPT_SHOWN = 20
_LINE_CHARS = 240
_UNCONCERNED = ("earned",)


@dataclass(frozen=True)
class Table:
    """Rows of cells under a header; the first column is text, the others are right-aligned."""

    header: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]


@dataclass(frozen=True)
class Section:
    """A titled part: sentences, a table, or both; each sentence is one line."""

    title: str
    lines: tuple[str, ...] = ()
    table: Table | None = None


@dataclass(frozen=True)
class Report:
    """A run in one screen."""

    title: str
    headline: str
    """The run in a sentence or two."""
    sections: tuple[Section, ...]


def make_report(view: RunView, *, is_running: bool) -> Report:
    """Return the report of a run, as far as it has come."""
    sections = [
        _better(view),
        _kept(view),
        _failures(view),
        _concerns(view),
        Section("What it took", tuple(_cost_lines(view))),
        Section(
            "Next, as commands of autorl-daemon", tuple(next_steps(view, is_running=is_running))
        ),
    ]
    return Report(
        f"autorl/{_words(view.run.tag, 60)}, {_dates(view, is_running=is_running)}",
        _headline(view, is_running=is_running),
        tuple(section for section in sections if section.lines or section.table),
    )


def _words(text: str, limit: int) -> str:
    """Return words of a model's or a user's as one line; backticks stand for our commands alone."""
    return one_line(text, limit).replace("`", "'")


def _dates(view: RunView, *, is_running: bool) -> str:
    begun = local(view.run.created_at, "%Y-%m-%d %H:%M")
    ended = max((e.finished_at for e in view.experiments), default=view.run.created_at)
    return f"{begun} to {'now' if is_running else local(ended, '%Y-%m-%d %H:%M')}"


def _headline(view: RunView, *, is_running: bool) -> str:
    state = view.state
    tried = counted(state.counted, "experiment")
    if is_running:
        why = "The run goes on."
    else:
        said = view.run.stop.text if view.run.stop else "it ended without a word (killed?)"
        why = f"The run stopped: {_words(said, 300)}."
    if state.incumbent is None:
        return f"Nothing is published yet, after {tried}. {why}"
    mean = view.validated(state.incumbent.scored_by)
    worth = f"returns {with_half(mean.score, mean.high)}" if mean else "is not measured yet"
    kept = state.by_status.get(Status.KEEP, 0)
    proven = f"{kept} of {tried} kept as better" if kept else f"none of {tried} proven better"
    return (
        f"Published: #{state.incumbent.n}, which {worth} at {state.rung}{_since(view)}; {proven}. "
        f"{why}"
    )


def _since(view: RunView) -> str:
    """Return how much better the published candidate is than the baseline of its budget."""
    steps = _of_last_epoch(view.course.published)
    steps = [step for step in steps if step.rung == steps[-1].rung]
    if len(steps) < 2:
        return ""
    first, last = (view.validated(step.n) for step in (steps[0], steps[-1]))
    if first and last:
        return f", {last.score - first.score:+.4f} over where this budget began"
    return ""


def _of_last_epoch(steps: Sequence[Step]) -> list[Step]:
    return [step for step in steps if step.epoch == steps[-1].epoch]


def _better(view: RunView) -> Section:
    """Return each budget with its first and its last published candidate, and the lead."""
    published = view.course.published
    rows = []
    for epoch, rung in dict.fromkeys((step.epoch, step.rung) for step in published):
        steps = [step for step in published if (step.epoch, step.rung) == (epoch, rung)]
        first, last = steps[0], steps[-1]
        name = f"{rung}{f', task {epoch + 1}' if published[-1].epoch else ''}"
        rows.append(
            (name, _worth(view, first), _worth(view, last) if last != first else "as it began")
        )
    table = Table(("budget", "began with", "published at its end"), tuple(rows)) if rows else None
    lines = list(_lead_lines(view))
    if view.is_saturated:
        lines.append(f"Note: {SATURATED}.")
    if rows:
        lines.append(
            "Mean greedy return over held-out seeds, with its 95 % confidence interval; a budget "
            "is training / evaluation episodes a seed, and only rows of one budget compare."
        )
    return Section("What is better", tuple(lines), table)


def _worth(view: RunView, step: Step) -> str:
    mean = view.validated(step.n)
    if mean is None:
        return f"#{step.n}: {number_text(step.score)} (default seeds alone)"
    return f"#{step.n}: {with_interval(mean.score, mean.low, mean.high, mean.seeds)}"


def _lead_lines(view: RunView) -> list[str]:
    standing = view.standing
    if standing is None:
        return []
    if standing.gain is None or standing.probability is None:
        return [f"Lead: #{standing.n}, not compared with the published candidate yet."]
    gain = standing.gain
    what = "" if standing.quantity == "return" else f" in {standing.quantity}"
    return [
        f"Lead: #{standing.n}, about {gain.value:+.4f} ± {gain.standard_error:.4f}{what} over what "
        f"is published, {percent(standing.probability)} likely better, "
        f"{counted(standing.seeds, 'seed')}; not proven yet."
    ]


def _kept(view: RunView) -> Section:
    """Return what is published or was, each with its reason."""
    accepted = view.accepted_at
    kept = [e for e in view.experiments if e.status is Status.KEEP or e.n in accepted]
    last = {outcome: e.n for e in kept if (outcome := view.became(e.n))}
    lines = []
    for experiment in kept[-_KEPT_SHOWN:]:
        outcome = view.became(experiment.n)
        why = outcome.reason if outcome is not None else experiment.reason
        if outcome is not None and last[outcome] != experiment.n:
            why = f"a step to #{last[outcome]}, proven with it"
        if experiment.n in accepted and experiment.status is not Status.KEEP:
            why = "accepted by you, not proven"
        what = _words(experiment.description, 120)
        lines.append(f"#{experiment.n} {what}: {_words(why, _LINE_CHARS)}")
    if left := len(kept) - len(lines):
        lines.insert(0, f"{left} earlier ones are not shown: `results --kept`")
    return Section("What was kept, and why", tuple(lines))


def _failures(view: RunView) -> Section:
    """Return how many experiments ended how, and the commonest failures."""
    counts = view.state.by_status
    ended = ", ".join(f"{count} {status.value}" for status, count in counts.items() if count)
    groups: dict[str, list[Experiment]] = {}
    for experiment in view.experiments:
        if experiment.status in FAILED:
            groups.setdefault(_kind(experiment), []).append(experiment)
    commonest = sorted(groups.values(), key=len, reverse=True)[:_KINDS_SHOWN]
    lines = [ended] if ended else []
    for group in commonest:
        times = "once" if len(group) == 1 else f"{len(group)} times, last"
        reason = _words(group[-1].reason, 140)
        lines.append(f"{times} #{group[-1].n}, {group[-1].status.value}: {reason}")
    return Section("How experiments ended", tuple(lines))


def _kind(experiment: Experiment) -> str:
    """Return what failures of one kind have in common: the code before a colon, else the words."""
    code = experiment.reason.partition(":")[0]
    return f"{experiment.status.value} {_words(code, 60)}"


def _concerns(view: RunView) -> Section:
    """Return what a person should look at before they believe it."""
    lines = []
    leads = {each.n for each in view.state.leads}
    for experiment in view.experiments:
        is_adopted = experiment.status is Status.KEEP or experiment.n in leads
        if not (is_adopted or experiment.n in view.accepted_at):
            continue
        if experiment.flags:
            lines.append(f"#{experiment.n} is flagged: {_words(flag_names(experiment), 200)}")
        review = experiment.review
        if review is not None and review.get("opinion") not in _UNCONCERNED:
            said = _words(review_text(experiment) or "", 160)
            lines.append(f"#{experiment.n}: {said}")
        if experiment.changed:
            lines.append(f"#{experiment.n} changed {', '.join(experiment.changed)}")
    shown = tuple(f"{line}; `show {line[1:].split()[0].rstrip(':')}`" for line in lines)
    return Section("What needs your eye", shown[-_KEPT_SHOWN:])


def _cost_lines(view: RunView) -> list[str]:
    """Return experiments, seeds, hours, tokens and dollars."""
    experiments = view.experiments
    seeds = sum(len(e.scores_by_seed) for e in experiments) + sum(
        map(len, view.references.values())
    )
    agent_s = sum(e.seconds.agent for e in experiments)
    evaluator_s = sum(e.seconds.evaluator for e in experiments)
    evaluator_s += sum(reference_seconds(known) for known in view.references.values())
    lines = [
        f"{counted(view.state.counted, 'experiment')} and their baselines; "
        f"{counted(seeds, 'seed')} trained and evaluated",
        f"{_hours(view.run.seconds)} running; evaluator {_hours(evaluator_s)}, agent "
        f"{_hours(agent_s)} (side by side where there are lanes)",
    ]
    tokens = Tokens()
    for experiment in experiments:
        tokens = tokens.plus(experiment.tokens)
    if tokens.input is not None:
        cached = f" ({tokens.cached:,} cached)" if tokens.cached else ""
        costs = [e.cost_usd for e in experiments if e.cost_usd is not None]
        money = f"; ${sum(costs):.2f}" if costs else "; dollars unknown (agent.prices)"
        lines.append(f"{tokens.input:,} tokens in{cached}, {tokens.output or 0:,} out{money}")
    return lines


def _hours(seconds: float) -> str:
    """Return a time as people say it."""
    if seconds < 90:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 5400 else f"{seconds / 3600:.1f} h"
