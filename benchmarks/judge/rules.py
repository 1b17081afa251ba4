"""The rules that are compared: ours and the public loop's, as the daemon has them, and Welch's."""

import math
import statistics
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from benchmarks.judge.returns import Candidate
from orchestrator.config import JudgeConfig
from orchestrator.judge import (
    Yardstick,
    judge,
    judge_naively,
    pooled_sd,
    reference_wanted,
    t_quantile,
    validate,
)
from orchestrator.records import Status

SEED_COUNT = 2
"""Default seeds of the evaluator."""


@dataclass(frozen=True)
class Decision:
    """What a rule made of a challenger."""

    kept: bool
    returns: list[float]
    """The challenger's, as many as it took."""
    on_incumbent: int = 0
    """Evaluations of the incumbent that this comparison alone needed."""

    @property
    def evaluations(self) -> int:
        """Return what this comparison cost."""
        return len(self.returns) + self.on_incumbent


class Rule(Protocol):
    """Decides for one run, challenger by challenger."""

    reference_evaluations: int
    """Spent on incumbents so far, outside of comparisons."""

    def crown(self, candidate: Candidate, chosen_by: Sequence[float] = ()) -> None:
        """Make it the incumbent; `chosen_by` are the returns that got it kept."""

    def prepare(self) -> None:
        """Measure the incumbent as the next challenger needs it."""

    def decide(self, challenger: Candidate) -> Decision:
        """Compare a challenger with the incumbent; changes nothing."""

    def reported(self) -> float:
        """Return the score that is shown for the incumbent."""


class Sound:
    """`judge.rule: sound`, with the functions that the daemon calls."""

    def __init__(self, rules: JudgeConfig) -> None:
        self.reference_evaluations = 0
        self._rules = rules
        self._references: list[list[float]] = []
        self._judged = 0
        self._yardstick: Yardstick | None = None

    def crown(self, candidate: Candidate, chosen_by: Sequence[float] = ()) -> None:
        """Make it the incumbent, with a reference of its own that begins empty."""
        del chosen_by  # seeds that chose a keep never report it
        self._incumbent, self._judged = candidate, 0
        self._references.append([])

    def prepare(self) -> None:
        """Grow the reference to what the challengers so far ask for."""
        reference = self._references[-1]
        lacking = reference_wanted(self._rules, self._judged) - len(reference)
        if lacking > 0:
            reference += self._incumbent.fresh(lacking)
            self.reference_evaluations += lacking
            # The spread is that of all the run's incumbents.
            self._yardstick = Yardstick(tuple(reference), pooled_sd(self._references))
        self._judged += 1

    def decide(self, challenger: Candidate) -> Decision:
        """Measure on one seed after the other until there is a verdict."""
        assert self._yardstick is not None, "prepare() comes first"
        returns: list[float] = []
        verdict = None
        while verdict is None:
            returns += challenger.fresh(1)
            verdict = judge(self._yardstick, returns, self._rules, seed_count=SEED_COUNT)
        return Decision(verdict.status is Status.KEEP, returns)

    def reported(self) -> float:
        """Return the validated score."""
        validated = validate(self._references[-1])
        assert validated is not None, "a reference has at least two seeds"
        return validated.score


class Naive:
    """`judge.rule: naive`: a higher mean over the default seeds is kept, and reported."""

    def __init__(self) -> None:
        self.reference_evaluations = 0

    def crown(self, candidate: Candidate, chosen_by: Sequence[float] = ()) -> None:
        """Make it the incumbent, with the score that it was kept for."""
        self.reference_evaluations += 0 if chosen_by else SEED_COUNT
        self._returns = list(chosen_by) or candidate.fresh(SEED_COUNT)

    def prepare(self) -> None:
        """Measure nothing."""

    def decide(self, challenger: Candidate) -> Decision:
        """Compare the means."""
        returns = challenger.fresh(SEED_COUNT)
        verdict = judge_naively(
            dict(enumerate(self._returns)), dict(enumerate(returns)), min_effect=0.0
        )
        return Decision(verdict.status is Status.KEEP, returns)

    def reported(self) -> float:
        """Return the score that it was kept for."""
        return statistics.fmean(self._returns)


class Welch:
    """A fixed number of seeds a side and Welch's t test (1947), one-sided.

    The quantile of Student's t is `judge.t_quantile`, which at the 15 to 30 degrees of freedom met
    here is right to 0.1 %.

    Args:
        reuse: compare with the returns that the incumbent was kept for, as loops commonly do,
            instead of measuring it anew for every challenger.
    """

    SEEDS = 16
    P = 0.01

    def __init__(self, *, reuse: bool) -> None:
        self.reference_evaluations = 0
        self._reuse = reuse

    def crown(self, candidate: Candidate, chosen_by: Sequence[float] = ()) -> None:
        """Make it the incumbent, with the score that it was kept for."""
        self._incumbent = candidate
        self.reference_evaluations += 0 if chosen_by else self.SEEDS
        self._returns = list(chosen_by) or candidate.fresh(self.SEEDS)

    def prepare(self) -> None:
        """Measure nothing."""

    def decide(self, challenger: Candidate) -> Decision:
        """Compare the means by their standard errors."""
        old = self._returns if self._reuse else self._incumbent.fresh(self.SEEDS)
        new = challenger.fresh(self.SEEDS)
        return Decision(welch(old, new, self.P), new, 0 if self._reuse else self.SEEDS)

    def reported(self) -> float:
        """Return the score that it was kept for."""
        return statistics.fmean(self._returns)


def welch(old: Sequence[float], new: Sequence[float], p: float) -> bool:
    """Return whether the second mean is higher, by Welch's t test at level `p`."""
    (a, u), (b, v) = (_moments(side) for side in (old, new))
    if not u + v:
        return b > a
    freedom = (u + v) ** 2 / (u**2 / (len(old) - 1) + v**2 / (len(new) - 1))
    return (b - a) / math.sqrt(u + v) > t_quantile(1 - p, freedom)  # type: ignore[arg-type]


def _moments(values: Sequence[float]) -> tuple[float, float]:
    """Return the mean and its squared standard error."""
    count = len(values)
    mean = math.fsum(values) / count
    square = math.fsum((value - mean) ** 2 for value in values)
    return mean, square / (count * (count - 1))
