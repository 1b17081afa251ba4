"""Terminal output of `status`, `results` and `show`: text made from views."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from orchestrator.core.evaluations import Purpose, SeedResult
from orchestrator.core.experiments import Experiment
from orchestrator.core.flags import MEANINGS, name_of
from orchestrator.core.records import Status
from orchestrator.core.text import clean, counted, one_line
from orchestrator.judging.reference import validate
from orchestrator.reporting.run_view import RunView, flag_names, of_purpose

_FACTS = "{:>4} {:<9} {:>8} {:>9} {:>17} {:>6}"
_WIDE = 120
"""Terminal width from which a description is on the line of its experiment's numbers."""
_SEEDS_SHOWN = 8
_STYLES = {
    Status.KEEP: "green",
    Status.BASELINE: "bold",
    Status.DISCARD: "dim",
    Status.ABORTED: "dim",
}


def style_of(status: Status) -> str:
    """Return the colour in which an experiment of this status is shown: red for a failure."""
    return _STYLES.get(status, "red")


def status_lines(document: Mapping[str, Any]) -> list[str]:
    """Return the lines of `status`."""
    if document["running"]:
        first = f"running   pid {document['pid']}, {document['phase']}"
        if document["hung"]:
            first += (
                f"  HUNG: no heartbeat since {document['heartbeat_at']}; if it stays so, "
                f"`kill -9 {document['pid']}` and `autorl-daemon start --tag {document['tag']}`"
            )
    else:
        first = f"stopped   {document['stop_reason'] or _no_reason(document)}"
    lines = [first]
    if document["reason"] and document["running"]:
        then = f", next try {document['next_try_at']}" if document["next_try_at"] else ""
        cure = "; `autorl-daemon resume` continues" if document["phase"] == "paused" else ""
        lines.append(f"          {document['reason']}{then}{cure}")
    if document["requests"]:
        lines.append(f"asked for {', '.join(document['requests'])}, after what is in flight")
    if document["running"]:
        lines += _lane_lines(document)
    if document["branch"]:
        lines += _run_lines(document)
    lines += [f"sandbox   {document['sandbox']}", f"workspace {document['workspace']}"]
    return lines


def _lane_lines(document: Mapping[str, Any]) -> list[str]:
    """Return what is in flight: with several lanes a line each, the oldest first."""
    lanes = document["lanes"]
    if len(lanes) > 1:
        return [f"now       {_lane(lane)}" for lane in lanes]
    if document["experiment"] is None:
        return []
    what = document["description"] or ""
    return [f"now       #{document['experiment']} {what}{_progress(document)}".rstrip()]


def _lane(lane: Mapping[str, Any]) -> str:
    """Return one lane: its experiment, phase, what is tried, and how far the training is."""
    number = f"#{lane['experiment']} " if lane["experiment"] else ""
    what = lane["description"] or ("" if lane["experiment"] else "the next experiment")
    return f"{number}{lane['phase']}{': ' if what else ''}{what}{_progress(lane)}"


def _progress(facts: Mapping[str, Any]) -> str:
    progress = facts["progress"]
    return f" ({progress['done']} of {progress['total']} episodes)" if progress else ""


def _no_reason(document: Mapping[str, Any]) -> str:
    if not document["tag"]:
        return "nothing has run here yet"
    return f"the daemon was killed: `autorl-daemon start --tag {document['tag']}` resumes it"


def _run_lines(document: Mapping[str, Any]) -> list[str]:
    rung = document["rung"]
    counts = ", ".join(f"{count} {status}" for status, count in document["experiments"].items())
    lines = [
        f"branch    {document['branch']}",
        f"budget    {rung['train_episodes']}/{rung['eval_episodes']} "
        "(training/evaluation episodes a seed)",
        f"score     {_number(document['best_score'])} incumbent"
        f"{' #' + str(document['incumbent']) if document['incumbent'] else ''}, "
        f"{_number(document['baseline_score'])} baseline at this budget",
        f"validated {_validated(document)}",
        f"so far    {counts or 'no experiments'}",
    ]
    lines += [f"flagged   {flag} (the incumbent)" for flag in document["incumbent_flags"]]
    tokens = document["tokens"]
    if tokens["input"] is not None:
        cost = document["cost_usd"]
        money = f", ${cost:.2f}" if cost is not None else ""
        lines.append(f"tokens    {tokens['input']:,} in, {tokens['output'] or 0:,} out{money}")
    return lines


def _validated(document: Mapping[str, Any]) -> str:
    if document["validated_score"] is None:
        return "— (the incumbent has not been measured on held-out seeds at this budget)"
    low, high = document["validated_interval"]
    return _with_interval(document["validated_score"], low, high, document["validated_seeds"])


def _with_interval(score: float, low: float, high: float, seeds: int) -> str:
    """Return a validated score with its confidence interval."""
    return f"{score:.4f}, 95 % CI {low:.4f} to {high:.4f}, {counted(seeds, 'held-out seed')}"


def print_results(view: RunView) -> None:
    """Print a run's experiments, each with its description and its verdict."""
    from rich.console import Console
    from rich.text import Text

    console = Console(highlight=False)
    if view.foreign:
        _print_foreign(console, view)
    agents = dict.fromkeys(e.agent for e in view.experiments if not e.is_baseline)
    console.print(f"autorl/{view.run.tag}{', agent ' if agents else ''}{', '.join(agents)}")
    is_wide = console.width >= _WIDE

    def line(text: str, style: str) -> None:
        # Lines are cut at the width of a terminal, never in a pipe.
        console.print(
            Text(text, style=style), no_wrap=True, soft_wrap=not console.is_terminal,
            overflow="ellipsis" if console.is_terminal else "ignore",
        )  # fmt: skip

    line(_FACTS.format("#", "status", "budget", "score", "validated", "solved"), "bold")
    for experiment in view.experiments:
        solved = experiment.report.solve_rate
        validated = view.validated(experiment.n)
        facts = _FACTS.format(
            experiment.n,
            experiment.status.value,
            str(experiment.rung),
            _number(experiment.score),
            f"{validated.score:.4f} ± {validated.high - validated.score:.4f}" if validated else "",
            "—" if solved is None else f"{solved:.0%}",
        )
        what = one_line(experiment.description, 200)
        style = style_of(experiment.status)
        line(f"{facts}  {what}" if is_wide else facts, style)
        if not is_wide:
            line(f"     {what}", style)
        line(f"     {one_line(_verdict(experiment), 300)}", style)
        if experiment.flags:
            line(f"     ⚑ {flag_names(experiment)}", style)
    if view.references:
        line("validated: mean over held-out seeds, ± half of its 95 % CI", "dim")
        line("score: mean over the default seeds, which helped to choose the candidate", "dim")


def _verdict(experiment: Experiment) -> str:
    """Return the reason without a first word that repeats the status."""
    reason = experiment.reason
    for word in ("kept: ", "discarded: "):
        reason = reason.removeprefix(word)
    return reason


def _print_foreign(console: Any, view: RunView) -> None:
    console.print(
        f"{len(view.foreign)} rows of results.tsv are from another evaluator or run by hand; "
        "their scores can't be compared with those below:"
    )
    for row in view.foreign[-10:]:
        console.print(
            f"  {row['commit'][:7]:<8}{row['status']:<8}{row['score']:>10}  {row['description']}",
            markup=False,
        )
    console.print()


def show_lines(
    experiment: Experiment,
    evidence: Sequence[SeedResult],
    folder: Path,
    change: str,
) -> list[str]:
    """Return the lines of `show N`."""
    report = experiment.report
    lines = [
        f"experiment {experiment.n}: {experiment.status.value} at {experiment.rung}, "
        f"score {_number(experiment.score)}",
        f"verdict    {experiment.reason}",
        f"tried      {experiment.description}",
    ]
    if experiment.rationale:
        lines.append(f"why        {clean(experiment.rationale)}")
    if experiment.scores_by_seed:
        seeds = ", ".join(f"{seed}: {_number(s)}" for seed, s in experiment.scores_by_seed.items())
        lines.append(f"by seed    {seeds}")
    lines += _evidence_lines(experiment, evidence)
    if report.solve_rate is not None:
        lines.append(
            f"also       solve rate {report.solve_rate:.0%}, episode length "
            f"{report.episode_length:.1f} of {experiment.max_steps} steps, learning gain "
            f"{report.learning_gain:+.3f}, {report.steps_per_s:,.0f} training steps/s"
        )
    for flag in experiment.flags:
        why = MEANINGS.get(name_of(flag))
        lines.append(f"flag       {flag}{f'; {why}' if why else ''}")
    seconds = experiment.seconds
    lines += [
        f"agent      {experiment.agent}",
        f"seconds    {seconds.agent:.2f} agent, {seconds.evaluator:.2f} evaluator, "
        f"{seconds.overhead:.3f} everything else",
        f"commit     {experiment.commit or 'none'} (parent {experiment.parent or 'none'})",
        f"files      {folder}",
    ]
    if experiment.details:
        lines += ["", clean(experiment.details)]
    if change:
        lines += ["", clean(change.rstrip(), len(change))]
    return lines


def _evidence_lines(experiment: Experiment, evidence: Sequence[SeedResult]) -> list[str]:
    """Return the evidence of the verdict: the test, and each seed of the challenger."""
    lines, verdict = [], experiment.verdict
    if verdict.get("stage") == "confirm":
        correlation = verdict.get("shared_luck")
        paired = f", correlation on the same seeds {correlation:.2f}" if correlation else ""
        lines.append(
            f"test       gain {verdict['gain']:+.4f}, {_errors(verdict)} (against "
            f"{verdict['reference_seeds']} seeds of #{verdict['incumbent']}{paired})"
        )
    for purpose, title in ((Purpose.CONFIRM, "fresh"), (Purpose.REFERENCE, "reference")):
        values = [_number(seed.value) for seed in of_purpose(evidence, purpose)]
        if values:
            more = f" … {len(values)} seeds" if len(values) > _SEEDS_SHOWN else ""
            lines.append(f"{title:<10} {', '.join(values[:_SEEDS_SHOWN])}{more}")
    mean = validate(
        [s.value for s in of_purpose(evidence, Purpose.REFERENCE) if s.value is not None]
    )
    if mean:
        lines.append(f"validated  {_with_interval(mean.score, mean.low, mean.high, mean.seeds)}")
    return lines


def _errors(verdict: Mapping[str, Any]) -> str:
    if verdict["statistic"] is None:
        return "without any variance"
    return (
        f"{verdict['statistic']:.2f} standard errors; {verdict['boundary']:.2f} needed at this look"
    )


def _number(value: float | None) -> str:
    return "—" if value is None else f"{value:.4f}"
