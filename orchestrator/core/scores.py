"""An experiment's score as text: complete, or how far it came before it was stopped. Pure."""

import statistics

from orchestrator.core.experiments import Experiment
from orchestrator.core.records import Status
from orchestrator.core.text import counted

NO_SCORE = "—"


def stopped_score(experiment: Experiment) -> float | None:
    """Return what a discard without a score showed before it was stopped.

    It is the mean over the default seeds that were evaluated, else the score that its learning
    curve predicted. None for any other experiment.
    """
    if experiment.score is not None or experiment.status is not Status.DISCARD:
        return None
    if experiment.scores_by_seed:
        return statistics.fmean(experiment.scores_by_seed.values())
    predicted: float | None = experiment.verdict.get("foretold")
    return predicted


def how_far(experiment: Experiment, seed_count: int | None) -> str:
    """Return how far the evaluation of a discard without a score came, as in `on 1 of 2 seeds`.

    Args:
        experiment: one for which `stopped_score` is known.
        seed_count: the run's number of default seeds, if it is known.
    """
    done = len(experiment.scores_by_seed)
    if not done:
        return "predicted by its learning curve"
    if seed_count is None or seed_count < done:
        return f"on {counted(done, 'seed')}"
    return f"on {done} of {counted(seed_count, 'seed')}"


def score_text(experiment: Experiment, seed_count: int | None = None) -> str:
    """Return the score, or what a stopped discard showed and how far it came, or a dash."""
    if experiment.score is not None:
        return f"{experiment.score:.4f}"
    stopped = stopped_score(experiment)
    if stopped is None:
        return NO_SCORE
    return f"{stopped:.4f} {how_far(experiment, seed_count)}"
