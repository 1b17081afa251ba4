"""Does it pay to train on? Learning curves against those of earlier candidates. Pure.

A candidate whose curve is far below what ends well is stopped in the middle of its training. How
much a candidate still gains from there on is learnt from those that were trained to the end at the
same rung: the predictive termination of Domhan et al. (2015) with the plainest of predictors.
"""

import math
import statistics
from collections.abc import Sequence
from dataclasses import dataclass

from orchestrator.core.evaluations import Verdict
from orchestrator.core.records import Status
from orchestrator.judging.student_t import t_quantile

_SHARES = (0.5, 0.75)
_SHORTEST = 8
"""Training episodes below which there is nothing to save."""
_COURSES_NEEDED = 8
"""Candidates without which nothing is predicted_score."""


@dataclass(frozen=True)
class LearningCurve:
    """One candidate's training on one seed."""

    curve: tuple[float, ...]
    """Mean return of each training episode."""
    final: float
    """Mean return of the trained policy."""


def checkpoints(train_episodes: int) -> tuple[int, ...]:
    """Return the training episodes after which the curves are looked at."""
    if train_episodes < _SHORTEST:
        return ()
    return tuple(int(train_episodes * share) for share in _SHARES)


def judge_curve(
    curve: Sequence[float],
    curves: Sequence[LearningCurve],
    needed: float,
    early_stop: float,
    remaining_sd: float = 0.0,
) -> Verdict | None:
    """Discard a challenger whose chance to end above `needed` is below `early_stop`; else None.

    What a candidate ends with is predicted_score as the mean of its latest training returns plus what
    others gained from there on, with their spread and Student's t.

    Args:
        curve: the challenger's training returns on one seed, up to a checkpoint.
        curves: candidates trained to the end on this seed, at this rung.
        needed: what it must end with to have any prospect.
        early_stop: chance below which it is stopped.
        remaining_sd: standard deviation of what other seeds may add, where `needed` is of them all.
    """
    at = len(curve)
    curves = [curve for curve in curves if len(curve.curve) > at]
    if len(curves) < _COURSES_NEEDED:
        return None
    gains = [curve.final - _recent(curve.curve[:at]) for curve in curves]
    predicted_score = _recent(curve) + statistics.fmean(gains)
    spread = statistics.stdev(gains) * (1 + 1 / len(gains)) ** 0.5
    open_too = math.hypot(spread, remaining_sd)
    if predicted_score + t_quantile(1 - early_stop, len(gains) - 1) * open_too >= needed:
        return None
    return Verdict(
        Status.DISCARD,
        f"discarded: stopped after {at} training episodes, for it would end with {predicted_score:.4f} ± "
        f"{spread:.4f} and {needed:.4f} is needed",
        stage="curves",
        predicted_score=predicted_score,
    )


def _recent(curve: Sequence[float]) -> float:
    """Return the mean of the last window, as the evaluator's own `mean_train_return` has it."""
    return statistics.fmean(curve[-max(2, len(curve) // 3) :])
