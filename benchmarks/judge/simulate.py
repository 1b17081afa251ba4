"""Runs of challengers, many at a time on all cores; the results do not depend on how many."""

import math
from collections.abc import Iterable, Sequence
from concurrent.futures import Executor
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np

from benchmarks.judge.returns import SCORE, Candidate, Source
from benchmarks.judge.rules import Naive, Rule, Sound, Welch
from orchestrator.config.schema import JudgeConfig

NOISE = 0.2
"""One seed's sd as a share of the score: what was measured on a small candidate at rung 12/8."""
PLANTED_SD = 3.0
_WITHOUT_NOISE = 0.001
"""What a gain of one sd means where the sd is 0: this share of the score."""
_CHUNK = 20


def rule_of(name: str) -> Rule:
    """Return a rule by its name, with the numbers of the config as shipped."""
    if name == "sound":
        return Sound(JudgeConfig())
    if name == "naive":
        return Naive()
    return Welch(reuse=name == "Welch 16, reused")


RULES = ("sound", "naive", "Welch 16", "Welch 16, reused")


class Setting(Protocol):
    """What is simulated, many times."""

    def simulate(self, run: int) -> Any:
        """Return what came of one run."""


@dataclass(frozen=True)
class Outcome:
    """One run of challengers."""

    no_ops: int
    false_keeps: int
    early_false_keeps: int
    """Among the first 20 challengers."""
    challengers: int
    evaluations: int
    """Of challengers and of incumbents."""
    phantom_gain: float
    """What the incumbent is reported to score at the end beyond its true mean, as a share."""
    probes: int
    probes_kept: int
    better_kept: int
    """Challengers that are better and were kept, without probes."""
    begun_anew: int = 0
    """Challengers whose test began anew, for another one was kept meanwhile."""


@dataclass(frozen=True)
class Night:
    """A hundred challengers in a row that change nothing, but for those planted to be kept.

    A keep is followed by an incumbent of its own, and the last planted challenger ends the run: so
    `keeps` is how many incumbents there are to a hundred challengers.
    """

    rule: str = "sound"
    kind: str = "normal"
    noise: float = NOISE
    keeps: int = 0
    """Challengers planted with a gain, evenly."""
    planted_sd: float = PLANTED_SD
    probe_sd: float | None = None
    """Also ask, for one place in ten, whether such a gain would be kept there."""
    challengers: int = 100

    def simulate(self, run: int) -> Outcome:
        """Play one run."""
        count = self.challengers
        source = Source(self.kind, "challengers", run, count)
        probes = Source(self.kind, "probes", run, count)
        rule = rule_of(self.rule)
        incumbent = source.incumbent(self.noise)
        rule.crown(incumbent)
        false, early, better, spent, asked, found = 0, 0, 0, 0, 0, 0
        for index in range(count):
            planted = self.is_planted(index)
            gain = in_points(self.planted_sd, incumbent) if planted else 0.0
            challenger = source.challenger(index, incumbent, gain)
            rule.prepare()
            if self.is_probed(index, run):
                assert self.probe_sd is not None
                gain = in_points(self.probe_sd, incumbent)
                asked += 1
                found += rule.decide(probes.challenger(index, incumbent, gain)).kept
            decision = rule.decide(challenger)
            spent += decision.evaluations
            if decision.kept:
                false += not planted
                early += not planted and index < 20
                better += planted
                rule.crown(challenger, decision.returns)
                incumbent = challenger
        spent += rule.reference_evaluations
        rule.prepare()  # the last keep may not have been measured yet
        phantom = (rule.reported() - incumbent.mean) / abs(incumbent.mean)
        return Outcome(
            count - self.keeps, false, early, count, spent, phantom, asked, found, better
        )

    def is_probed(self, index: int, run: int) -> bool:
        """Is a probe put in before this challenger?"""
        return self.probe_sd is not None and (index + run) % 10 == 0

    def is_planted(self, index: int) -> bool:
        """Is this challenger better?"""
        return bool(self.keeps) and (index + 1) % (self.challengers // self.keeps) == 0


def in_points(gain_sd: float, incumbent: Candidate) -> float:
    """Return a gain in score points."""
    return gain_sd * (incumbent.sd or _WITHOUT_NOISE * SCORE)


@dataclass(frozen=True)
class Comparison:
    """What came of the challengers of one trial."""

    challengers: int
    kept: int
    evaluations: int
    """Of the challengers, and of the incumbent for a single comparison."""


@dataclass(frozen=True)
class Trial:
    """Ten challengers of the same true gain, each against the same incumbent, none replacing it."""

    gain_sd: float
    rule: str = "sound"
    kind: str = "normal"
    noise: float = NOISE
    young: bool = False
    """The incumbent's reference is as small as it is at first, instead of complete."""
    challengers: int = 10

    def simulate(self, run: int) -> Comparison:
        """Play the challengers of one incumbent."""
        source = Source(self.kind, "trial", run, self.challengers)
        rule = rule_of(self.rule)
        incumbent = source.incumbent(self.noise)
        rule.crown(incumbent)
        for _ in range(1 if self.young else _steps()):
            rule.prepare()
        gain = in_points(self.gain_sd, incumbent)
        decisions = [
            rule.decide(source.challenger(index, incumbent, gain))
            for index in range(self.challengers)
        ]
        return Comparison(
            len(decisions),
            sum(decision.kept for decision in decisions),
            sum(decision.evaluations for decision in decisions),
        )


def _steps() -> int:
    numbers = JudgeConfig()
    return 1 + math.ceil((numbers.reference - numbers.reference_first) / numbers.reference_step)


# -- many runs -------------------------------------------------------------------------------------


@dataclass(frozen=True)
class _Task:
    setting: Setting
    runs: range


def _work(task: _Task) -> list[Any]:
    return [task.setting.simulate(run) for run in task.runs]


@dataclass(frozen=True)
class Simulator:
    """Plays settings many times, in worker processes."""

    pool: Executor
    runs: int
    """Of each setting."""

    def play(self, settings: Iterable[Setting]) -> list[list[Any]]:
        """Return the outcomes of all runs, in the order of the settings."""
        settings = list(settings)
        starts = range(0, self.runs, _CHUNK)
        chunks = [range(start, min(start + _CHUNK, self.runs)) for start in starts]
        tasks = [_Task(setting, chunk) for setting in settings for chunk in chunks]
        parts = iter(self.pool.map(_work, tasks))
        return [[outcome for _ in chunks for outcome in next(parts)] for _ in settings]


# -- what it comes to ------------------------------------------------------------------------------


@dataclass(frozen=True)
class Rate:
    """An average over runs, with its 95 % interval."""

    value: float
    low: float
    high: float


_Z = 1.96


def mean(values: Sequence[float]) -> Rate:
    """Return the mean of one value a run."""
    array = np.array(values)
    half = _Z * float(array.std(ddof=1)) / math.sqrt(len(array))
    middle = float(array.mean())
    return Rate(middle, middle - half, middle + half)


def share(counts: Sequence[int], sizes: Sequence[int]) -> Rate:
    """Return the share of a run's challengers that were kept, by Wilson's score (1927).

    Challengers of one run meet the same incumbent, so they count for less than as many independent
    ones: by how much the runs differ more than chance would have it (Kish's design effect, 1965).
    """
    total = sum(sizes)
    value = sum(counts) / total
    chance = sum(size * value * (1 - value) for size in sizes)
    seen = sum((count - size * value) ** 2 for count, size in zip(counts, sizes, strict=True))
    effective = total / max(1.0, seen / chance) if chance else total
    middle = (value + _Z**2 / (2 * effective)) / (1 + _Z**2 / effective)
    half = _Z * math.sqrt(value * (1 - value) / effective + _Z**2 / (4 * effective**2))
    half /= 1 + _Z**2 / effective
    return Rate(value, max(0.0, middle - half), min(1.0, middle + half))
