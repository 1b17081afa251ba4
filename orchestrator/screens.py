"""What people see on a terminal: text made from views, nothing else."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from orchestrator.evidence import CONFIRM, REFERENCE
from orchestrator.integrity import MEANINGS, name_of
from orchestrator.ratchet import PAIRS_NEEDED
from orchestrator.records import Experiment, SeedReturn, Status
from orchestrator.reference import validate
from orchestrator.text import clean, one_line
from orchestrator.views import RunView, flag_names, of_role

_FACTS = "{:>4} {:<9} {:>8} {:>9} {:>17} {:>6}"
_WIDE = 120
"""Columns from which on what was tried stands in the line of its numbers."""
_SEEDS_SHOWN = 8
_STYLES = {Status.KEEP: "green", Status.BASELINE: "bold", Status.DISCARD: "dim"}


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
        cure = "; `autorl-daemon resume` goes on" if document["phase"] == "paused" else ""
        lines.append(f"          {document['reason']}{then}{cure}")
    if document["requests"]:
        lines.append(f"asked for {', '.join(document['requests'])}, after the experiment in hand")
    if document["experiment"] and document["running"]:
        progress = document["progress"]
        done = f" ({progress['done']} of {progress['total']} episodes)" if progress else ""
        lines.append(f"now       #{document['experiment']} {document['description'] or ''}{done}")
    if document["branch"]:
        lines += _run_lines(document)
    lines += [f"sandbox   {document['sandbox']}", f"workspace {document['workspace']}"]
    return lines


def _no_reason(document: Mapping[str, Any]) -> str:
    if not document["tag"]:
        return "nothing has run here yet"
    return f"the daemon was killed: `autorl-daemon start --tag {document['tag']}` goes on"


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
    if document["rung_correlation"]:
        lines.append(_correlation(document["rung_correlation"]))
    tokens = document["tokens"]
    if tokens["input"] is not None:
        cost = document["cost_usd"]
        money = f", ${cost:.2f}" if cost is not None else ""
        lines.append(f"tokens    {tokens['input']:,} in, {tokens['output'] or 0:,} out{money}")
    return lines


def _correlation(known: Mapping[str, Any]) -> str:
    """Say whether the budget below screens challengers, and why."""
    below = f"{known['below']['train_episodes']}/{known['below']['eval_episodes']}"
    if known["spearman"] is None:
        return (
            f"below     {known['pairs']} of {PAIRS_NEEDED} candidates run at {below} as well, to "
            "see whether it ranks them alike"
        )
    screens = "screens challengers" if known["spearman"] >= known["needed"] else "is not used"
    return (
        f"below     {below} {screens}: rank correlation {known['spearman']:.2f} over "
        f"{known['pairs']} candidates (budget.screen_below {known['needed']:g})"
    )


def _validated(document: Mapping[str, Any]) -> str:
    if document["validated_score"] is None:
        return "— (the incumbent has not been measured on fresh seeds at this budget)"
    low, high = document["validated_interval"]
    return (
        f"{document['validated_score']:.4f}, 95 % sure within {low:.4f} to {high:.4f} "
        f"({document['validated_seeds']} seeds that did not choose it)"
    )


def print_results(view: RunView) -> None:
    """Print a run's experiments, each with what was tried and the verdict below it."""
    from rich.console import Console
    from rich.text import Text

    console = Console(highlight=False)
    if view.foreign:
        _print_foreign(console, view)
    agents = dict.fromkeys(e.agent for e in view.experiments if not e.is_baseline)
    console.print(f"autorl/{view.run.tag}{', agent ' if agents else ''}{', '.join(agents)}")
    is_wide = console.width >= _WIDE

    def line(text: str, style: str) -> None:
        # A pipe gets whole lines.
        console.print(
            Text(text, style=style), no_wrap=True, soft_wrap=not console.is_terminal,
            overflow="ellipsis" if console.is_terminal else "ignore",
        )  # fmt: skip

    line(_FACTS.format("#", "status", "budget", "score", "validated", "solved"), "bold")
    for experiment in view.experiments:
        solved = experiment.metrics.get("mean_solve_rate")
        known = view.validated(experiment.n)
        facts = _FACTS.format(
            experiment.n,
            experiment.status.value,
            str(experiment.rung),
            _number(experiment.score),
            f"{known.score:.4f} ± {known.high - known.score:.4f}" if known else "",
            "—" if solved is None else f"{solved:.0%}",
        )
        what = one_line(experiment.description, 200)
        style = _STYLES.get(experiment.status, "red")
        line(f"{facts}  {what}" if is_wide else facts, style)
        if not is_wide:
            line(f"     {what}", style)
        line(f"     {one_line(_verdict(experiment), 300)}", style)
        if experiment.flags:
            line(f"     ⚑ {flag_names(experiment)}", style)
    if view.references:
        line("validated: mean over seeds that did not choose the candidate, ± half of its", "dim")
        line("95 % interval; score: over the default seeds, which did", "dim")


def _verdict(experiment: Experiment) -> str:
    """Return the reason without the word that the status has said already."""
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
    evidence: Sequence[SeedReturn],
    folder: Path,
    change: str,
) -> list[str]:
    """Return the lines of `show N`."""
    metrics = experiment.metrics
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
    if metrics.get("mean_solve_rate") is not None:
        lines.append(
            f"also       solve rate {metrics['mean_solve_rate']:.0%}, episode length "
            f"{metrics['mean_episode_length']:.1f} of {experiment.max_steps} steps, learning gain "
            f"{metrics['learning_gain']:+.3f}, {metrics['steps_per_s']:,.0f} training steps/s"
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


def _evidence_lines(experiment: Experiment, evidence: Sequence[SeedReturn]) -> list[str]:
    """Return what the verdict rests on: the test, and each seed of the challenger."""
    lines, verdict = [], experiment.verdict
    if verdict.get("stage") == "confirm":
        shared = verdict.get("shared_luck")
        pairs = f", on the same ones, whose luck is shared by {shared:.0%}" if shared else ""
        lines.append(
            f"test       gain {verdict['gain']:+.4f}, {_errors(verdict)} (against "
            f"{verdict['reference_seeds']} seeds of #{verdict['incumbent']}{pairs})"
        )
    for role, title in ((CONFIRM, "fresh"), (REFERENCE, "reference")):
        values = [_number(seed.value) for seed in of_role(evidence, role)]
        if values:
            more = f" … {len(values)} seeds" if len(values) > _SEEDS_SHOWN else ""
            lines.append(f"{title:<10} {', '.join(values[:_SEEDS_SHOWN])}{more}")
    known = validate([s.value for s in of_role(evidence, REFERENCE) if s.value is not None])
    if known:
        lines.append(
            f"validated  {known.score:.4f}, 95 % sure within {known.low:.4f} to {known.high:.4f} "
            f"({known.seeds} seeds that did not choose it)"
        )
    return lines


def _errors(verdict: Mapping[str, Any]) -> str:
    if verdict["statistic"] is None:
        return "with no noise at all"
    return (
        f"{verdict['statistic']:.2f} standard errors; {verdict['boundary']:.2f} needed at this look"
    )


def _number(value: float | None) -> str:
    return "—" if value is None else f"{value:.4f}"
