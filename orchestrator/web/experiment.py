"""One experiment, with all that a person may want to see of it."""

import bisect
import contextlib
from collections.abc import Iterable, Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

from orchestrator.core.errors import UserError
from orchestrator.core.evaluations import SeedResult
from orchestrator.core.experiments import Experiment
from orchestrator.core.flags import meaning_of
from orchestrator.core.records import Files
from orchestrator.core.text import clean, without_passwords
from orchestrator.judging.rulers import sentences
from orchestrator.reporting.results import result_document
from orchestrator.reporting.run_view import candidate_diff, find_experiment, fresh_of
from orchestrator.reporting.show import show_lines
from orchestrator.store.ledger import Ledger
from orchestrator.store.user_files import read_regular
from orchestrator.store.workspace import Workspace
from orchestrator.web.current import Shown
from orchestrator.web.replays import seeds_with_replays
from orchestrator.web.table import Family

_TEXT_CHARS = 200_000
_FILE_BYTES = 4 * 2**20
_LOG_CHARS = 20_000
_MOST_CHILDREN = 200
_MOST_REPLIES = 50
_CONVERSATION = (("prompt", "prompt{}.md"), ("review asked", "review-prompt.md"),
                 ("review answered", "review.md"))  # fmt: skip


def experiment_document(
    workspace: Workspace, ledger: Ledger, shown: Shown, n: int
) -> dict[str, Any]:
    """Return what the page of an experiment shows.

    Raises:
        UserError: there is no such finished experiment in the run.
    """
    view, found = shown.view, shown.entries
    if n not in found:
        raise UserError(f"there is no finished experiment {n} in run {view.run.tag}")
    experiment = find_experiment(ledger, n)
    evidence = ledger.evidence(n, curves=True)
    folder = workspace.logs / "experiments" / str(n)
    change, other = candidate_diff(ledger, experiment), _judged_against(ledger, experiment)
    result = result_document(
        experiment, fresh_of(evidence), is_accepted=n in view.accepted_at, became=view.became(n)
    )
    return result | {
        "row": found[n].row,
        "description": clean(experiment.description, _TEXT_CHARS),
        "rationale": clean(experiment.rationale, _TEXT_CHARS),
        "reason": clean(experiment.reason, _TEXT_CHARS),
        "summary": show_lines(
            experiment, evidence, Path("logs/experiments") / str(n), "",
            seed_count=view.seed_count, accepted_at=view.accepted_at.get(n), became=view.became(n),
        ),
        "rung": str(experiment.rung),
        "baseline": experiment.is_baseline,
        "cost_usd": experiment.cost_usd,
        "finished_at": experiment.finished_at,
        "diff": clean(change, max(_TEXT_CHARS, len(change))),
        "files": _files(ledger.files(n)),
        "flags": [{"text": clean(flag), "meaning": meaning_of(flag)} for flag in experiment.flags],
        "changes_measured": list(sentences(evidence)),
        "details": clean(experiment.details, _LOG_CHARS),
        "metrics": _metrics(experiment),
        "learning": _learning(experiment),
        "evidence": _seeds(evidence),
        "against": other and _other_side(workspace, ledger, other),
        "replies": _replies(ledger, n),
        "papers": _papers(folder),
        "log": _tail(folder / "evaluator.log"),
        "replays": seeds_with_replays(workspace, experiment),
        **_kin(shown.family, experiment),
    }  # fmt: skip


def _files(files: Files | None) -> dict[str, str] | None:
    return dict(files.by_path()) if files else None


def _metrics(experiment: Experiment) -> dict[str, Any]:
    """Return the report's plain facts; the episodes of each seed are left out."""
    facts = experiment.report.facts
    return {name: fact for name, fact in facts.items() if isinstance(fact, int | float | str)}


def _learning(experiment: Experiment) -> list[dict[str, Any]]:
    """Return what each scored seed reported of its training: reward parts among it."""
    seeds = experiment.report.facts.get("seed_results") or []
    wanted = ("seed", "learning", "reward_parts", "train_returns", "episode_returns")
    return [{name: seed.get(name) for name in wanted} for seed in seeds if isinstance(seed, dict)]


def _seeds(results: Iterable[SeedResult]) -> list[dict[str, Any]]:
    return [
        {
            "seed": result.seed,
            "purpose": result.purpose.value,
            "value": result.value,
            "solved": result.solve_rate,
            "rung": str(result.rung),
            "curve": list(result.curve),
            "compared": result.compared and asdict(result.compared),
        }
        for result in results
    ]


def _judged_against(ledger: Ledger, experiment: Experiment) -> Experiment | None:
    verdict = experiment.verdict
    n = verdict.get("against", verdict.get("incumbent"))
    return ledger.experiment(n) if isinstance(n, int) else None


def _other_side(workspace: Workspace, ledger: Ledger, other: Experiment) -> dict[str, Any]:
    """Return seeds, curves and reward parts of what an experiment was compared with."""
    return {
        "experiment": other.n,
        "description": clean(other.description, 400),
        "evidence": _seeds(ledger.evidence(other.n, curves=True)),
        "learning": _learning(other),
        "replays": seeds_with_replays(workspace, other),
    }


def _replies(ledger: Ledger, n: int) -> list[dict[str, Any]]:
    """Return what the agent answered, and how each answer that failed did."""
    return [
        {
            "text": clean(without_passwords(reply.text), _TEXT_CHARS),
            "ended": reply.finish_reason,
            "tokens": asdict(reply.tokens),
            "cost_usd": reply.cost_usd,
            "failed": failure and failure.status and failure.status.value,
            "why": failure and clean(f"{failure.reason}\n{failure.details}".strip(), _LOG_CHARS),
        }
        for reply, failure in ledger.replies(n)[:_MOST_REPLIES]
    ]


def _papers(folder: Path) -> list[dict[str, str]]:
    """Return the prompts and reviews that are kept with an experiment."""
    found = []
    for title, form in _CONVERSATION:
        names = [form.format("")]
        if "{}" in form:
            names += sorted(path.name for path in folder.glob(form.format(".*")))
        for name in dict.fromkeys(names):
            text = _read(folder / name)
            if text is not None:
                found.append({"title": title, "file": name, "text": clean(text, _TEXT_CHARS)})
    return found


def _tail(path: Path) -> str:
    text = _read(path) or ""
    return clean(text if len(text) <= _LOG_CHARS else f"…{text[-_LOG_CHARS:]}", _LOG_CHARS + 1)


def _read(path: Path) -> str | None:
    with contextlib.suppress(OSError):
        content = read_regular(path, _FILE_BYTES)
        return without_passwords(content.decode(errors="replace"))
    return None


def _kin(family: Family, experiment: Experiment) -> dict[str, Any]:
    """Return parent and children of an experiment, and its neighbours in the list."""
    numbers = family.numbers
    place = bisect.bisect_left(numbers, experiment.n)
    # A baseline has the commit of what it scores.
    known = [row for row in family.by_commit.get(experiment.parent or "", ())
             if row["n"] != experiment.n]  # fmt: skip
    parent = known[0] if known else None
    is_scored_again = experiment.is_baseline and parent is not None
    children = [
        row
        for row in family.by_parent.get(experiment.commit or "", ())
        if row["n"] != experiment.n and not (row["baseline"] or is_scored_again)
    ]
    return {
        "parent_experiment": parent and _relative(parent),
        "children": [_relative(row) for row in children[:_MOST_CHILDREN]],
        "children_count": len(children),
        "before": numbers[place - 1] if place else None,
        "after": numbers[place + 1] if place + 1 < len(numbers) else None,
    }


def _relative(row: Mapping[str, Any]) -> dict[str, Any]:
    return {name: row[name] for name in ("n", "status", "description", "score")}
