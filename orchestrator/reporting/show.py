"""The lines of `show`, made from records."""

import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from orchestrator.core.clock import local_with_zone
from orchestrator.core.evaluations import Purpose, SeedResult
from orchestrator.core.experiments import Experiment
from orchestrator.core.flags import meaning_of
from orchestrator.core.records import PUBLISHED, Status
from orchestrator.core.scores import score_text
from orchestrator.core.text import clean, counted, harmless, one_line, percent
from orchestrator.judging.gains import Gain
from orchestrator.judging.reference import validated
from orchestrator.judging.rulers import sentences
from orchestrator.reporting.bill import amounts
from orchestrator.reporting.course import LeadOutcome, begins_task
from orchestrator.reporting.results import reference_seconds
from orchestrator.reporting.run_view import (
    fresh_of,
    number_text,
    of_purpose,
    review_text,
    with_interval,
)
from orchestrator.reporting.tables import became_text

_SEEDS_SHOWN = 8


def show_lines(
    experiment: Experiment,
    evidence: Sequence[SeedResult],
    folder: Path,
    change: str,
    *,
    seed_count: int | None = None,
    accepted_at: str | None = None,
    became: LeadOutcome | None = None,
) -> list[str]:
    """Return the lines of `show N`.

    Args:
        experiment: what is shown.
        evidence: the results of its seeds.
        folder: where its files are.
        change: what it changed, as a patch.
        seed_count: the run's number of default seeds, if it is known.
        accepted_at: when the user made it the published candidate, None if they did not.
        became: what became of it, if it took the lead and does not lead any more.
    """
    lines = [
        f"experiment {experiment.n}: {experiment.status.value} at {experiment.rung}, "
        f"score {score_text(experiment, seed_count)}",
        f"verdict    {clean(experiment.reason)}",
        *_became_lines(experiment, became),
        *_accepted_lines(experiment, accepted_at),
        f"tried      {clean(experiment.description)}",
    ]
    if experiment.rationale:
        lines.append(f"why        {clean(experiment.rationale)}")
    if experiment.scores_by_seed:
        seeds = ", ".join(
            f"{seed}: {number_text(s)}" for seed, s in experiment.scores_by_seed.items()
        )
        lines.append(f"by seed    {seeds}")
    lines += _changed_lines(experiment, evidence)
    lines += _evidence_lines(experiment, evidence)
    lines += _report_lines(experiment)
    for flag in experiment.flags:
        why = meaning_of(flag)
        lines.append(f"flag       {one_line(flag, 1000)}{f'; {why}' if why else ''}")
    seconds = experiment.seconds
    ended = local_with_zone(experiment.finished_at) if experiment.finished_at else "unknown"
    return [
        *lines,
        f"agent      {one_line(experiment.agent)}",
        f"seconds    {seconds.agent:.2f} agent, {seconds.evaluator:.2f} evaluator, "
        f"{seconds.overhead:.3f} everything else",
        *_bill_lines(experiment),
        f"commit     {experiment.commit or 'none'} (parent {experiment.parent or 'none'})",
        f"ended      {ended}",
        *_details_lines(experiment, folder, change),
    ]


def _bill_lines(experiment: Experiment) -> list[str]:
    tokens, usd = experiment.tokens, experiment.cost_usd
    if tokens.input is None and tokens.output is None and usd is None:
        return []
    return [f"tokens     {amounts(tokens, usd)}"]


def _changed_lines(experiment: Experiment, evidence: Sequence[SeedResult]) -> list[str]:
    """Return what was measured to have changed, what a reviewer said, and where a task begins."""
    measured = [
        line for line in sentences(evidence) if line.partition(":")[0] in experiment.changed
    ]
    told = {line.partition(":")[0] for line in measured}
    lines = [f"changed    {line}" for line in measured]
    lines += [f"changed    {name}" for name in experiment.changed if name not in told]
    if review := review_text(experiment):
        lines.append(f"review     {clean(review)}")
    if begins_task(experiment):
        lines.append("task       a new one begins here: no score before it is comparable")
    return lines


def _report_lines(experiment: Experiment) -> list[str]:
    """Return what else the evaluator reported."""
    report = experiment.report
    if report.solve_rate is None:
        return []
    facts = [f"solve rate {report.solve_rate:.0%}"]
    if report.episode_length is not None:
        length = f"{report.episode_length:.1f} of {experiment.max_steps} steps"
        facts.append(f"episode length {length}")
    if report.learning_gain is not None:
        facts.append(f"learning gain {report.learning_gain:+.3f}")
    if report.steps_per_s is not None:
        facts.append(f"{report.steps_per_s:,.0f} training steps/s")
    return [f"also       {', '.join(facts)}"]


def _became_lines(experiment: Experiment, became: LeadOutcome | None) -> list[str]:
    """Return what became of an experiment that took the lead."""
    if became is None:
        is_lead = experiment.status is Status.LEAD
        return ["became     a step of the lead; not proven yet"] if is_lead else []
    return [f"became     a step of the lead; {clean(became_text(became))}"]


def _accepted_lines(experiment: Experiment, when: str | None) -> list[str]:
    """Return whether and when the user published it, whatever the test had said."""
    if when is None:
        return []
    is_kept = experiment.status in PUBLISHED
    proof = "it had been kept before" if is_kept else "not proven"
    return [f"accepted   by you on {local_with_zone(when)}; {proof}"]


def _details_lines(experiment: Experiment, folder: Path, change: str) -> list[str]:
    """Return where the files of an experiment are, what it printed, and its change."""
    lines = [f"files      {folder}"]
    if experiment.details:
        lines += ["", clean(experiment.details)]
    if change:
        lines += ["", clean(change.rstrip(), len(change))]
    return harmless(lines)


def _evidence_lines(experiment: Experiment, evidence: Sequence[SeedResult]) -> list[str]:
    """Return what the verdict rests on, and each seed beside the default ones."""
    lines = _test_lines(experiment.verdict)
    own, fresh = of_purpose(evidence, Purpose.CONFIRM), fresh_of(evidence)
    for seeds, title in ((own, "more seeds"), (fresh, "fresh")):
        values = [number_text(seed.value) for seed in seeds]
        if values:
            more = f" … {len(values)} seeds" if len(values) > _SEEDS_SHOWN else ""
            lines.append(f"{title:<10} {', '.join(values[:_SEEDS_SHOWN])}{more}")
    if spent := reference_seconds(fresh):
        lines.append(f"measuring  {spent:.2f} s of the evaluator, beside the seconds below")
    if mean := validated(experiment.n, fresh):
        lines.append(f"validated  {with_interval(mean.score, mean.low, mean.high, mean.seeds)}")
    return lines


def _test_lines(verdict: Mapping[str, Any]) -> list[str]:
    """Return what it was judged against, and its gain: as measured, and shrunk towards 0."""
    gain, error = verdict.get("gain"), verdict.get("standard_error")
    against = verdict.get("against", verdict.get("incumbent"))
    if gain is None or against is None:
        return []
    noise = f" ± {error:.4f}" if error else ", without any variance"
    quantity = verdict.get("quantity") or "return"
    seeds = f"{counted(verdict.get('evaluations', 0), 'seed')} against "
    known = counted(verdict.get("reference_seeds", 0), "seed")
    lines = [
        f"against    #{against}, {quantity}: {gain:+.4f}{noise} ({seeds}{known} of #{against})"
    ]
    estimate, shrunk_error = verdict.get("estimate"), verdict.get("estimate_se")
    if estimate is not None and shrunk_error:
        likely = percent(Gain(estimate, shrunk_error, math.inf).probability)
        lines.append(
            f"gain       about {estimate:+.4f} ± {shrunk_error:.4f}, shrunk towards 0; "
            f"{likely} likely to be better"
        )
    return lines
