"""The candidates of a run's state: the published one, and the steps to the lead. Pure."""

from collections.abc import Mapping
from dataclasses import dataclass, replace

from orchestrator.core.experiments import Experiment


@dataclass(frozen=True)
class Incumbent:
    """A candidate of the branch, or the lead, and its score at the current rung.

    Without a score there a baseline is due.
    """

    n: int
    commit: str
    score: float | None
    scores_by_seed: Mapping[int, float]
    scored_by: int | None
    """The experiment that scored it at this rung: its own, or a later baseline."""
    is_task: bool = True
    """False for a baseline that is flagged `no task`: nothing is compared with it."""
    is_proven: bool = False
    """Whether it was published by a trial."""
    changed: tuple[str, ...] = ()
    """What the step to it changed in the environment."""


def step_to(experiment: Experiment) -> Incumbent:
    """Return the candidate that an experiment has put forward, as it scored it."""
    return Incumbent(
        experiment.n, experiment.commit or "", experiment.score, experiment.scores_by_seed,
        experiment.n, changed=experiment.changed,
    )  # fmt: skip


def unscored(step: Incumbent) -> Incumbent:
    """Return a candidate at a rung where it has not been scored yet."""
    return replace(step, score=None, scores_by_seed={}, scored_by=None)
