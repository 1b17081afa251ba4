"""Does it pay to train on? Learning curves against those of earlier candidates. Pure.

A candidate whose curve is far below what ends well is stopped in the middle of its training. How
much a candidate still gains from there on is learnt from those that were trained to the end at the
same rung: the predictive termination of Domhan et al. (2015) with the plainest of predictors.
"""

import math
import statistics
from collections.abc import Sequence
from dataclasses import dataclass

from orchestrator.core.records import Status, Verdict
from orchestrator.judging.student_t import t_quantile

_SHARES = (0.5, 0.75)
_SHORTEST = 8
"""Training episodes below which there is nothing to save."""
_COURSES_NEEDED = 8
"""Candidates without which nothing is foretold."""


@dataclass(frozen=True)
class Course:
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
    courses: Sequence[Course],
    needed: float,
    early_stop: float,
    still_open: float = 0.0,
) -> Verdict | None:
    """Discard a challenger whose chance to end above `needed` is below `early_stop`; else None.

    What a candidate ends with is foretold as the mean of its latest training returns plus what
    others gained from there on, with their spread and Student's t.

    Args:
        curve: the challenger's training returns on one seed, up to a checkpoint.
        courses: candidates trained to the end on this seed, at this rung.
        needed: what it must end with to have any prospect.
        early_stop: chance below which it is stopped.
        still_open: standard deviation of what other seeds may add, where `needed` is of them all.
    """
    at = len(curve)
    courses = [course for course in courses if len(course.curve) > at]
    if len(courses) < _COURSES_NEEDED:
        return None
    gains = [course.final - _recent(course.curve[:at]) for course in courses]
    foretold = _recent(curve) + statistics.fmean(gains)
    spread = statistics.stdev(gains) * (1 + 1 / len(gains)) ** 0.5
    open_too = math.hypot(spread, still_open)
    if foretold + t_quantile(1 - early_stop, len(gains) - 1) * open_too >= needed:
        return None
    return Verdict(
        Status.DISCARD,
        f"discarded: stopped after {at} training episodes, for it would end with {foretold:.4f} ± "
        f"{spread:.4f} and {needed:.4f} is needed",
        stage="curves",
        foretold=foretold,
    )


def _recent(curve: Sequence[float]) -> float:
    """Return the mean of the last window, as the evaluator's own `mean_train_return` has it."""
    return statistics.fmean(curve[-max(2, len(curve) // 3) :])
