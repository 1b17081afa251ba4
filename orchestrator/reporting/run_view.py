"""A run, read from the ledger for every report."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from orchestrator.core.diff import unified_diff
from orchestrator.core.errors import UserError
from orchestrator.core.evaluations import Purpose, SeedResult
from orchestrator.core.experiments import Experiment
from orchestrator.core.flags import name_of
from orchestrator.core.records import Rung
from orchestrator.judging.reference import Validated, validate
from orchestrator.planning.state import RunState, replay
from orchestrator.store.ledger import Ledger
from orchestrator.store.results_tsv import ForeignRows, own_description
from orchestrator.store.runs import Run
from orchestrator.store.workspace import Workspace


@dataclass(frozen=True)
class RunView:
    """A run, as recorded."""

    run: Run
    experiments: list[Experiment]
    state: RunState
    foreign: list[dict[str, str]]
    """Rows of results.tsv that are not ours."""
    references: Mapping[int, list[SeedResult]]
    """Results of accepted candidates on held-out seeds, by experiment."""

    def validated(self, n: int | None) -> Validated | None:
        """Return the validated score of the candidate that `n` scored, None if not measured."""
        seeds = self.references.get(n or 0, [])
        return validate([seed.value for seed in seeds if seed.value is not None])


def open_ledger(workspace: Workspace) -> Ledger:
    """Open the workspace's ledger.

    Raises:
        UserError: nothing has run here yet.
    """
    if not workspace.ledger.exists():
        raise UserError(f"nothing has run in {workspace.root} yet: `autorl-daemon start`")
    return Ledger(workspace.ledger)


def read_run(workspace: Workspace, ledger: Ledger, tag: str | None = None) -> RunView:
    """Read a run, by default the one that recorded something last.

    Raises:
        UserError: there is no such run.
    """
    run = ledger.run(tag) if tag else ledger.last_run()
    if run is None:
        raise UserError(f"there is no run {tag or ''} here yet: `autorl-daemon start`")
    experiments = list(ledger.experiments(run.tag))
    own = {own_description(experiment) for experiment in ledger.experiments()}
    foreign = ForeignRows(workspace.root / "results.tsv", own.__contains__).read()
    state = replay(ledger.endings(run.tag), ledger.accepts(run.tag))
    return RunView(run, experiments, state, foreign, ledger.references(run.tag))


def of_purpose(seeds: Sequence[SeedResult], purpose: Purpose) -> list[SeedResult]:
    """Return the seeds that were evaluated for one purpose."""
    return [seed for seed in seeds if seed.purpose is purpose]


def find_experiment(ledger: Ledger, n: int) -> Experiment:
    """Return a finished experiment. Raises `UserError` if there is none of that number."""
    experiment = ledger.experiment(n)
    if experiment is None:
        raise UserError(f"there is no finished experiment {n}: see `autorl-daemon results`")
    return experiment


def candidate_diff(ledger: Ledger, experiment: Experiment) -> str:
    """Return an experiment's change against the candidate it started from."""
    after = ledger.files(experiment.n)
    before = ledger.files_at(experiment.parent) if experiment.parent else None
    if after is None or before is None or experiment.is_baseline:
        return ""
    return "".join(unified_diff(before, after))


def sentence(experiment: Experiment) -> str:
    """Return an experiment as one line of text."""
    score = "—" if experiment.score is None else f"{experiment.score:.4f}"
    what = experiment.description or experiment.reason
    status, rung = experiment.status.value, str(experiment.rung)
    mark = f"  [{flag_names(experiment)}]" if experiment.flags else ""
    return f"#{experiment.n:<4} {status:<9} {rung:>8}  {score:>9}  {what}{mark}"


def flag_names(experiment: Experiment) -> str:
    """Return the names of an experiment's flags, without the details."""
    return ", ".join(dict.fromkeys(name_of(flag) for flag in experiment.flags))


def running_best(experiments: list[Experiment]) -> list[tuple[int, float, Rung]]:
    """Return (experiment, its score, rung) of each incumbent, in the order of endings."""
    return [
        (experiment.n, experiment.score, experiment.rung)
        for experiment in sorted(experiments, key=lambda experiment: experiment.ended)
        if experiment.status.value in {"baseline", "keep"} and experiment.score is not None
    ]


def validated_document(mean: Validated | None) -> dict[str, Any]:
    """Return the fields of a validated score, with its 95 % confidence interval."""
    return {
        "validated_score": mean and mean.score,
        "validated_interval": [mean.low, mean.high] if mean else None,
        "validated_seeds": mean.seeds if mean else 0,
    }
