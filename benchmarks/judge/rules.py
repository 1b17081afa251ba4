"""The rules that are compared: ours and the public loop's, as the daemon has them, and Welch's."""

import math
import statistics
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from benchmarks.judge.returns import Candidate
from orchestrator.config.schema import JudgeConfig
from orchestrator.core.evaluations import SeedResult
from orchestrator.core.records import Rung, Status
from orchestrator.judging.challenger_test import challenger_test
from orchestrator.judging.incumbent import UNMEASURED, IncumbentEvidence, incumbent_evidence
from orchestrator.judging.naive_rule import judge_naively
from orchestrator.judging.reference import default_seeds, reference_seeds, validate
from orchestrator.judging.rules import JudgingRules
from orchestrator.judging.student_t import t_quantile

RUNG = Rung(12, 8)

SEED_COUNT = 2
"""Default seeds of the evaluator."""
LAST_REFERENCES, LAST_CONFIRMATIONS = 10, 200
"""How many of them the ledger gives."""


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

    @property
    def reference_evaluations(self) -> int:
        """Spent on incumbents so far, outside of comparisons."""

    def crown(self, candidate: Candidate, chosen_by: Sequence[float] = ()) -> None:
        """Make it the incumbent; `chosen_by` are the returns that got it kept."""

    def prepare(self) -> None:
        """Measure the incumbent as the next challenger needs it."""

    def decide(self, challenger: Candidate) -> Decision:
        """Compare a challenger with the incumbent, who stays."""

    def reported(self) -> float:
        """Return the score that is shown for the incumbent."""


class IncumbentRecord:
    """What the ledger holds of a run's incumbents, and of the challengers on their seeds."""

    def __init__(self) -> None:
        self.evaluations = 0
        """Of incumbents."""
        self._references: dict[int, list[SeedResult]] = {}
        self._confirmations: list[tuple[int, int, float]] = []

    def crown(self, n: int, candidate: Candidate, chosen_by: Sequence[float] = ()) -> None:
        """Make it the incumbent, scored by experiment `n`, with a reference that begins empty."""
        self.incumbent, self.scored_by = candidate, n
        self._references[n] = []
        seeds = default_seeds(SEED_COUNT)
        returns = chosen_by or candidate.on(seeds)
        self.evaluations += 0 if chosen_by else SEED_COUNT
        self._screen = [SeedResult(s, v) for s, v in zip(seeds, returns, strict=False)]

    def measure(self, seeds: Sequence[int]) -> None:
        """Measure the incumbent on further seeds of its reference."""
        self.evaluations += len(seeds)
        self._references[self.scored_by] += map(SeedResult, seeds, self.incumbent.on(seeds))

    def confirm(self, n: int, seeds: Sequence[int], returns: Sequence[float]) -> None:
        """Record what challenger `n` returned on the incumbent's seeds."""
        self._confirmations += [(n, *pair) for pair in zip(seeds, returns, strict=False)]

    def evidence(self) -> IncumbentEvidence:
        """Return what is known of the incumbent."""
        last = dict(list(self._references.items())[-LAST_REFERENCES:])
        pairs = self._confirmations[-LAST_CONFIRMATIONS:]
        return incumbent_evidence(last, self.scored_by, self._screen, pairs)


class Sound:
    """`judge.rule: sound`, with the functions that the daemon calls."""

    def __init__(self, numbers: JudgeConfig) -> None:
        self._rules = JudgingRules(numbers, SEED_COUNT)
        self._record = IncumbentRecord()
        self._evidence = UNMEASURED
        self._judged = self._n = 0

    @property
    def reference_evaluations(self) -> int:
        """Spent on incumbents so far."""
        return self._record.evaluations

    def crown(self, candidate: Candidate, chosen_by: Sequence[float] = ()) -> None:
        """Make it the incumbent, with a reference of its own that begins empty."""
        self._n += 1
        self._judged = 0
        self._record.crown(self._n, candidate, chosen_by)
        self._evidence = self._record.evidence()

    def prepare(self) -> None:
        """Grow the reference to what the challengers so far ask for."""
        wanted = self._rules.reference_wanted(self._judged)
        tried = self._evidence.tried
        self._record.measure(reference_seeds(self._record.scored_by, wanted)[tried:])
        self._evidence = self._record.evidence()
        self._judged += 1

    def decide(self, challenger: Candidate) -> Decision:
        """Measure on one seed after the other until there is a verdict."""
        self._n += 1
        test = challenger_test(self._evidence, self._n, RUNG, self._rules)
        returns: list[float] = []
        results: list[SeedResult] = []
        verdict = None
        while verdict is None:
            seeds = test.plan.order[len(results) : len(results) + 1]
            returns += challenger.on(seeds)
            results.append(SeedResult(seeds[0], returns[-1]))
            verdict = test.verdict(results)
        self._record.confirm(self._n, test.plan.more_seeds, returns[SEED_COUNT:])
        return Decision(verdict.status is Status.KEEP, returns)

    def reported(self) -> float:
        """Return the validated score."""
        validated = validate(self._evidence.returns)
        assert validated is not None, "a reference has at least two seeds"
        return validated.score


class Naive:
    """`judge.rule: naive`: a higher mean over the default seeds is kept, and reported."""

    def __init__(self) -> None:
        self.reference_evaluations = 0

    def crown(self, candidate: Candidate, chosen_by: Sequence[float] = ()) -> None:
        """Make it the incumbent, with the score that it was kept for."""
        self.reference_evaluations += 0 if chosen_by else SEED_COUNT
        self._returns = list(chosen_by) or candidate.on(default_seeds(SEED_COUNT))

    def prepare(self) -> None:
        """Measure nothing."""

    def decide(self, challenger: Candidate) -> Decision:
        """Compare the means."""
        returns = challenger.on(default_seeds(SEED_COUNT))
        verdict = judge_naively(
            dict(enumerate(self._returns)), dict(enumerate(returns)), min_effect=0.0
        )
        return Decision(verdict.status is Status.KEEP, returns)

    def reported(self) -> float:
        """Return the score that it was kept for."""
        return statistics.fmean(self._returns)


class Welch:
    """A fixed number of seeds a side and Welch's t test (1947), one-sided.

    The quantile of Student's t is `student_t.t_quantile`, which is right to 0.1 % at the 15 to 30
    degrees of freedom met here.

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
    degrees_of_freedom = (u + v) ** 2 / (u**2 / (len(old) - 1) + v**2 / (len(new) - 1))
    return (b - a) / math.sqrt(u + v) > t_quantile(1 - p, degrees_of_freedom)


def _moments(values: Sequence[float]) -> tuple[float, float]:
    """Return the mean and its squared standard error."""
    count = len(values)
    mean = math.fsum(values) / count
    square = math.fsum((value - mean) ** 2 for value in values)
    return mean, square / (count * (count - 1))
