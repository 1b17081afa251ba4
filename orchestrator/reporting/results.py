"""Which experiments `results` shows; the JSON documents of `results` and `show`."""

from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from orchestrator.core.evaluations import SeedResult
from orchestrator.core.experiments import Experiment
from orchestrator.core.records import Status
from orchestrator.judging.reference import validated
from orchestrator.reporting.course import LeadOutcome, course
from orchestrator.reporting.run_view import validated_document
from orchestrator.store.ledger import Ledger

_KEYS: dict[str, Callable[[Experiment], float | None]] = {
    "experiment": lambda e: e.n,
    "ended": lambda e: e.ended,
    "score": lambda e: None if e.score is None else -e.score,
    "solved": lambda e: None if e.report.solve_rate is None else -e.report.solve_rate,
    "seconds": lambda e: -(e.seconds.agent + e.seconds.evaluator + e.seconds.overhead),
    "tokens": lambda e: -e.tokens.total,
}
"""The least is shown first; None comes last."""
SORT_KEYS = tuple(_KEYS)


@dataclass(frozen=True)
class Selection:
    """Which experiments to show, and in which order."""

    only_kept: bool = False
    """Only what was proven, or accepted by the user."""
    sort: str | None = None
    """One of `SORT_KEYS`: the best score, the longest time first. None: by number."""
    count: int | None = None
    """At most so many: the first ones in a given order, else the last ones. None for all."""

    def of(
        self, experiments: Sequence[Experiment], accepted: Collection[int] = ()
    ) -> list[Experiment]:
        """Return the experiments to show; `accepted` holds the numbers of the user's overrides."""
        chosen = [
            e
            for e in experiments
            if not self.only_kept or e.status is Status.KEEP or e.n in accepted
        ]
        if self.sort is None:
            return chosen if self.count is None else chosen[-self.count :]
        values = {e.n: _KEYS[self.sort](e) for e in chosen}
        chosen.sort(key=lambda e: (values[e.n] is None, values[e.n] or 0.0, e.n))
        return chosen[: self.count]


def results_document(
    ledger: Ledger, tag: str | None, selection: Selection = Selection()
) -> list[dict[str, Any]]:
    """Return what `results --json` prints."""
    references: dict[str, Mapping[int, list[SeedResult]]] = {}
    outcomes: dict[int, LeadOutcome] = {}
    accepted = accept_times(ledger, tag)
    experiments = list(ledger.experiments(tag))
    for name in dict.fromkeys(experiment.tag for experiment in experiments):
        references[name] = ledger.references(name)
        outcomes |= course((e for e in experiments if e.tag == name), ledger.moves(name)).outcomes
    return [
        result_document(
            experiment, references[experiment.tag].get(experiment.n, []),
            is_accepted=experiment.n in accepted, became=outcomes.get(experiment.n),
        )
        for experiment in selection.of(experiments, accepted)
    ]  # fmt: skip


def accept_times(ledger: Ledger, tag: str | None) -> dict[int, str]:
    """Return when the user accepted which experiments, of one run or of all."""
    tags = [run.tag for run in ledger.runs()] if tag is None else [tag]
    return {accept.n: accept.created_at for name in tags for accept in ledger.accepts(name)}


def result_document(
    experiment: Experiment,
    reference: Sequence[SeedResult],
    *,
    is_accepted: bool,
    became: LeadOutcome | None = None,
) -> dict[str, Any]:
    """Return one element of `results --json`.

    Args:
        experiment: what has ended.
        reference: its results on fresh seeds.
        is_accepted: whether the user has accepted it.
        became: what became of it, if it took the lead and does not lead any more.
    """
    verdict = experiment.verdict
    return {
        "experiment": experiment.n,
        "commit": experiment.commit,
        "parent": experiment.parent,
        "status": experiment.status.value,
        "score": experiment.score,
        "scores_by_seed": {str(seed): s for seed, s in experiment.scores_by_seed.items()},
        "train_episodes": experiment.rung.train_episodes,
        "eval_episodes": experiment.rung.eval_episodes,
        "max_steps": experiment.max_steps,
        "agent": experiment.agent,
        "description": experiment.description,
        "rationale": experiment.rationale,
        "seconds": asdict(experiment.seconds),
        "tokens": asdict(experiment.tokens),
        "cost_usd": experiment.cost_usd,
        "flags": list(experiment.flags),
        "reason": experiment.reason,
        "created_at": experiment.created_at,
        "estimate": verdict.get("estimate"),
        "se": verdict.get("estimate_se"),
        "judged_against": verdict.get("against"),
        "proven_at": experiment.proven_at,
        "became": asdict(became) if became else None,
        "tag": experiment.tag,
        "accepted": is_accepted,
        "verdict": dict(verdict),
        "changed": list(experiment.changed),
        "review": dict(experiment.review) if experiment.review else None,
        "epoch": experiment.opens_epoch,
        "reference_seconds": reference_seconds(reference),
        **validated_document(validated(experiment.n, reference)),
    }


def reference_seconds(reference: Iterable[SeedResult]) -> float:
    """Return the evaluator seconds of reference seeds, which no experiment's own seconds hold."""
    return round(sum(seed.seconds or 0.0 for seed in reference), 4)


def seed_document(seed: SeedResult) -> dict[str, Any]:
    """Return one seed's result, as `show --json` has it."""
    facts = asdict(seed)
    return {("role" if name == "purpose" else name): fact for name, fact in facts.items()}
