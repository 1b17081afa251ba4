"""The JSON documents of `results` and `show`."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import Any

from orchestrator.core.evaluations import SeedResult
from orchestrator.core.experiments import Experiment
from orchestrator.judging.reference import validate
from orchestrator.reporting.run_view import validated_document
from orchestrator.store.ledger import Ledger


def results_document(ledger: Ledger, tag: str | None) -> list[dict[str, Any]]:
    """Return what `results --json` prints."""
    references: dict[str, Mapping[int, list[SeedResult]]] = {}
    documents = []
    for experiment in ledger.experiments(tag):
        if experiment.tag not in references:
            references[experiment.tag] = ledger.references(experiment.tag)
        seeds = references[experiment.tag].get(experiment.n, [])
        documents.append(result_document(experiment, seeds))
    return documents


def result_document(experiment: Experiment, reference: Sequence[SeedResult]) -> dict[str, Any]:
    """Return one element of `results --json`."""
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
        "flags": list(experiment.flags),
        "reason": experiment.reason,
        "created_at": experiment.created_at,
        "tag": experiment.tag,
        "verdict": dict(experiment.verdict),
        **validated_document(validate(_returns(reference))),
    }


def _returns(seeds: Sequence[SeedResult]) -> list[float]:
    return [seed.value for seed in seeds if seed.value is not None]


def seed_document(seed: SeedResult) -> dict[str, Any]:
    """Return one seed's result, as `show --json` has it."""
    facts = asdict(seed)
    return {("role" if name == "purpose" else name): fact for name, fact in facts.items()}
