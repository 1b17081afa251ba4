"""Early stopping: is a challenger's training hopeless, by its learning curve so far? Pure.

What a candidate will end with is predicted from the learning curves of earlier candidates that were
trained to the end on the same seed at the same rung: the predictive termination of Domhan et al.
(2015), with the simplest possible predictor.
"""

import math
import statistics
from collections.abc import Sequence
from dataclasses import dataclass

from orchestrator.core.evaluations import Verdict
from orchestrator.core.records import Status
from orchestrator.judging.student_t import t_quantile

_CHECKPOINTS = (0.5, 0.75)
"""Shares of the training episodes."""
_SHORTEST = 8
"""Training episodes below which stopping early saves nothing."""
_CLEARLY = 2.0
"""Standard errors by which the latest returns must exceed those before them to count as rising."""
_CURVES_NEEDED = 8
"""Earlier candidates without which nothing is predicted."""


@dataclass(frozen=True)
class LearningCurve:
    """One candidate's training on one seed."""

    curve: tuple[float, ...]
    """Mean return of each training episode."""
    final: float
    """Mean return of the trained policy."""


def checkpoints(train_episodes: int) -> tuple[int, ...]:
    """Return the training episodes after which the learning curve is judged."""
    if train_episodes < _SHORTEST:
        return ()
    return tuple(int(train_episodes * share) for share in _CHECKPOINTS)


def judge_curve(
    curve: Sequence[float],
    earlier: Sequence[LearningCurve],
    needed: float,
    early_stop: float,
    *,
    train_episodes: int,
) -> Verdict | None:
    """Discard a challenger whose chance to end above `needed` is below `early_stop`; else None.

    The predicted score is the mean of its latest training returns plus the mean gain of earlier
    candidates from this checkpoint to their end; its quantile is that of Student's t. A curve that
    still rises steeply is followed on: what learns late is not stopped for learning late.

    Args:
        curve: the challenger's training returns on one seed, up to a checkpoint.
        earlier: candidates trained to the end on this seed, at this rung.
        needed: the return it must end with.
        early_stop: chance below which it is stopped.
        train_episodes: training episodes of a seed.
    """
    episodes = len(curve)
    longer = [candidate for candidate in earlier if len(candidate.curve) > episodes]
    if len(longer) < _CURVES_NEEDED:
        return None
    gains = [candidate.final - _recent(candidate.curve[:episodes]) for candidate in longer]
    predicted_score = _recent(curve) + statistics.fmean(gains)
    prediction_sd = statistics.stdev(gains) * (1 + 1 / len(gains)) ** 0.5
    reach = t_quantile(1 - early_stop, len(gains) - 1) * prediction_sd
    if max(predicted_score, _continued(curve, train_episodes)) + reach >= needed:
        return None
    return Verdict(
        Status.DISCARD,
        f"discarded: stopped after {episodes} training episodes, for it would end with "
        f"{predicted_score:.4f} ± {prediction_sd:.4f} and {needed:.4f} is needed",
        stage="curves",
        predicted_score=predicted_score,
    )


def _continued(curve: Sequence[float], train_episodes: int) -> float:
    """Return where a curve that clearly rises ends if it goes on as it does; -inf for any other."""
    window = _window(curve)
    if len(curve) < 2 * window:
        return -math.inf
    latest, before = curve[-window:], curve[-2 * window : -window]
    rise = statistics.fmean(latest) - statistics.fmean(before)
    error = math.sqrt((statistics.variance(latest) + statistics.variance(before)) / window)
    if rise <= _CLEARLY * error:
        return -math.inf
    left = train_episodes - len(curve) + window / 2
    return statistics.fmean(latest) + rise / window * left


def _recent(curve: Sequence[float]) -> float:
    """Return the mean of the last window, as in the evaluator's `mean_train_return`."""
    return statistics.fmean(curve[-_window(curve) :])


def _window(curve: Sequence[float]) -> int:
    return max(2, len(curve) // 3)
