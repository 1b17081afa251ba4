"""The table of `results`, as text for a terminal or a pipe."""

from collections.abc import Sequence
from typing import Any

from rich.text import Text

from orchestrator.core.clock import local
from orchestrator.core.experiments import Experiment
from orchestrator.core.records import Status
from orchestrator.core.scores import NO_SCORE, how_far, stopped_score
from orchestrator.core.text import one_line
from orchestrator.judging.reference import Validated
from orchestrator.reporting.console import make_console
from orchestrator.reporting.course import LeadOutcome, begins_task
from orchestrator.reporting.run_view import (
    SATURATED,
    RunView,
    flag_names,
    review_text,
)

_FACTS = "{:>4} {:<9} {:>8} {:>9} {:>17} {:>6} {:>17}"
_STOPPED = "{:>4} {:<9} {:>8} {:>9} {:<17} {:>6} {:>17}"
_WIDE = 120
"""Terminal width from which a description is on the line of its experiment's numbers."""
_FOREIGN_SHOWN = 10
_STYLES = {
    Status.KEEP: "green",
    Status.LEAD: "yellow",
    Status.BASELINE: "bold",
    Status.DISCARD: "dim",
    Status.ABORTED: "dim",
}


def style_of(status: Status) -> str:
    """Return the colour in which an experiment of this status is shown: red for a failure."""
    return _STYLES.get(status, "red")


def results_text(view: RunView, experiments: Sequence[Experiment]) -> str:
    """Return a run's experiments, each with its description and its verdict, and a legend.

    Args:
        view: the run.
        experiments: those to show, in their order.
    """
    console = make_console()
    with console.capture() as captured:
        if view.foreign:
            _print_foreign(console, view)
        agents = dict.fromkeys(e.agent for e in view.experiments if not e.is_baseline)
        agent = f", agent {', '.join(map(one_line, agents))}" if agents else ""
        _line(console, f"autorl/{one_line(view.run.tag)}{agent}")
        header = ("#", "status", "budget", "score", "validated", "solved", "gain")
        _line(console, _FACTS.format(*header), "bold")
        for experiment in experiments:
            _print_experiment(console, view, experiment)
        left_out = len(view.experiments) - len(experiments)
        for text in _legend(view, experiments, left_out):
            _line(console, text, "dim")
    return captured.get().rstrip("\n")


def _line(console: Any, text: str, style: str = "") -> None:
    """Print one line: cut at the width of a terminal, never in a pipe."""
    console.print(
        Text(text, style=style), no_wrap=True, soft_wrap=not console.is_terminal,
        overflow="ellipsis" if console.is_terminal else "ignore",
    )  # fmt: skip


def _print_experiment(console: Any, view: RunView, experiment: Experiment) -> None:
    is_wide = console.width >= _WIDE
    became = view.became(experiment.n)
    is_accepted = experiment.n in view.accepted_at
    style = "cyan" if is_accepted else style_of(experiment.status)
    facts = _facts(view, experiment, mark="*" if is_accepted else "")
    what = one_line(experiment.description, 200)
    _line(console, f"{facts}  {what}" if is_wide else facts, style)
    if not is_wide and what:
        _line(console, f"     {what}", style)
    _line(console, f"     {one_line(_verdict(experiment, became), 300)}", style)
    if became is not None:
        _line(console, f"     {one_line(became_text(became), 300)}", style)
    if experiment.changed:
        _line(console, f"     changed: {', '.join(experiment.changed)}", style)
    if review := review_text(experiment):
        _line(console, f"     review: {one_line(review, 300)}", style)
    if experiment.flags:
        _line(console, f"     ⚑ {one_line(flag_names(experiment), 300)}", style)


def _facts(view: RunView, experiment: Experiment, *, mark: str) -> str:
    solved = experiment.report.solve_rate
    stopped = stopped_score(experiment)
    shown = experiment.score if stopped is None else stopped
    validated = view.validated(experiment.n)
    form = _FACTS if stopped is None else _STOPPED
    return form.format(
        experiment.n,
        experiment.status.value + mark,
        str(experiment.rung),
        NO_SCORE if shown is None else f"{shown:.4f}",
        _with_half(validated) if stopped is None else _stopped(experiment, view.seed_count),
        NO_SCORE if solved is None else f"{solved:.0%}",
        estimate_text(experiment),
    ).rstrip()


def estimate_text(experiment: Experiment) -> str:
    """Return the shrunk gain over what it was judged against; empty where none was estimated."""
    estimate, error = experiment.verdict.get("estimate"), experiment.verdict.get("estimate_se")
    if estimate is None:
        return ""
    return f"{estimate:+.4f} ± {error:.4f}" if error else f"{estimate:+.4f}"


def _stopped(experiment: Experiment, seed_count: int | None) -> str:
    return how_far(experiment, seed_count) if experiment.scores_by_seed else "predicted"


def _with_half(validated: Validated | None) -> str:
    """Return a validated score with half of its confidence interval."""
    if validated is None:
        return ""
    half = validated.high - validated.score
    return f"{validated.score:.4f} ± {half:.4f}" if half else f"{validated.score:.4f}, all equal"


def _verdict(experiment: Experiment, became: LeadOutcome | None) -> str:
    """Return the reason without a first word that repeats the status, or what time has changed."""
    reason = experiment.reason
    for word in ("kept: ", "discarded: "):
        reason = reason.removeprefix(word)
    is_open = experiment.status is Status.LEAD and not became
    return f"{reason}; not proven yet" if is_open else reason


def became_text(became: LeadOutcome) -> str:
    """Return what became of an experiment that took the lead."""
    when = f" ({local(became.when, '%Y-%m-%d %H:%M')})" if became.when else ""
    return f"{'' if became.is_proven else 'leads no more: '}{became.reason}{when}"


def _legend(view: RunView, experiments: Sequence[Experiment], left_out: int) -> list[str]:
    lines = []
    if left_out:
        lines.append(f"{left_out} of {len(view.experiments)} experiments are not shown")
    if any(e.n in view.accepted_at for e in experiments):
        lines.append("*: published by you (`accept`), whatever the test said")
    shown = [view.validated(e.n) for e in experiments]
    if any(shown):
        lines.append("validated: mean over held-out seeds, ± half of its 95 % CI")
        if any(mean and mean.high == mean.low for mean in shown):
            lines.append("all equal: every held-out seed scored the same, so there is no interval")
        lines.append("score: mean over the default seeds, which helped to choose the candidate")
    if any(estimate_text(e) for e in experiments):
        lines.append("gain: over the lead of that time, shrunk towards 0, ± its standard error")
        lines.append("in a verdict: the gain as measured, ± its standard error")
    if any(e.status is Status.LEAD or view.became(e.n) for e in experiments):
        lines.append("lead: looks better, not proven; keep: proven, all steps of a lead together")
    if any(e.flags for e in experiments):
        lines.append("⚑: flagged, kept or not; `show N` says why that matters")
    if any(e.changed for e in experiments):
        lines.append("changed: what differs when the same actions are played in the lead's")
    if any(begins_task(e) for e in experiments):
        lines.append("a new task begins where a verdict says so: compare scores after it alone")
    if any(stopped_score(e) is not None for e in experiments):
        lines.append("on 1 of 2 seeds, predicted: stopped early; not comparable with full scores")
    if view.is_saturated:
        lines.append(SATURATED)
    return lines


def _print_foreign(console: Any, view: RunView) -> None:
    console.print(
        f"{len(view.foreign)} rows of results.tsv are from another evaluator or run by hand; "
        "their scores can't be compared with those below:"
    )
    for row in view.foreign[-_FOREIGN_SHOWN:]:
        text = f"{row['commit'][:7]:<8}{row['status']:<8}{row['score']:>10}  {row['description']}"
        _line(console, f"  {one_line(text, 300)}")
    console.print()
