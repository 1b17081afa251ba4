"""Five worlds of proposals, in which the truth is known: what a search is worth there.

A candidate's value is 0 at the start and 1 at the ceiling; a seed's return is the value plus normal
noise. A proposal may be better, no different or worse. In **G** three big ideas make nearly all of
what can be gained, as in a real run; in **K** one proposal
in eleven is better, by much; in **L**, three times over with more and more noise, one in thirty.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from benchmarks.judge.returns import SEED

_AHEAD = 512
"""Random numbers drawn at a time."""


@dataclass(frozen=True)
class Idea:
    """A candidate: its true value, and how it is measured."""

    mean: float
    sd: float
    draws: "Draws"
    found: int = 0
    """Big ideas in it; only in world G."""

    def on(self, seeds: Sequence[int]) -> list[float]:
        """Return its return on each of these seeds, which it was not measured on before."""
        return [self.mean + self.sd * self.draws.normal() for _ in seeds]


class Draws:
    """The random numbers of one run."""

    def __init__(self, *key: int) -> None:
        self._rng = np.random.default_rng([SEED, *key])
        self._normal: list[float] = []
        self._uniform: list[float] = []

    def normal(self) -> float:
        """Return a standard normal number."""
        if not self._normal:
            self._normal = self._rng.standard_normal(_AHEAD).tolist()
        return self._normal.pop()

    def uniform(self, low: float = 0.0, high: float = 1.0) -> float:
        """Return a number between two others."""
        if not self._uniform:
            self._uniform = self._rng.random(_AHEAD).tolist()
        return low + (high - low) * self._uniform.pop()


@dataclass(frozen=True)
class Chances:
    """What a proposal may be, beside no different."""

    better: float
    """Probability of a gain."""
    gain: tuple[float, float]
    """Between which shares of what is left to the ceiling that lies."""
    worse: float
    """Probability of a loss."""
    loss: tuple[float, float]
    """And between which values."""


@dataclass(frozen=True)
class World:
    """Where proposals come from."""

    name: str
    sd: float
    """Standard deviation of one seed's return."""
    chances: Chances
    big: float = 0.0
    """Probability of a big idea, before one is found; each one that is makes the next rarer."""

    def start(self, *key: int) -> Idea:
        """Return the first candidate of a run; `key` is the run's."""
        return Idea(0.0, self.sd, Draws(*key))

    def propose(self, parent: Idea) -> Idea:
        """Return a change of a candidate."""
        draws, value, found = parent.draws, parent.mean, parent.found
        lot, chances = draws.uniform(), self.chances
        if lot < self.big:
            if draws.uniform() * _BIG_IDEAS < _BIG_IDEAS - found:
                value, found = value + _BIG_STEP * (1 - value), found + 1
        elif lot < self.big + chances.better:
            value += draws.uniform(*chances.gain) * (1 - value)
        elif lot > 1 - chances.worse:
            value -= draws.uniform(*chances.loss)
        return Idea(value, self.sd, draws, found)


_BIG_IDEAS, _BIG_STEP = 3, 0.43
_G = Chances(0.03, (0.0, 0.015), 0.654, (0.0, 0.68))
_K = Chances(0.09, (0.07, 0.62), 0.63, (0.1, 0.64))
_L = Chances(0.035, (0.1, 0.58), 0.765, (0.2, 1.0))
WORLDS = (
    World("G, sd 0.13", 0.13, _G, big=0.086),
    World("K, sd 0.13", 0.13, _K),
    World("L, sd 0.08", 0.08, _L),
    World("L, sd 0.2", 0.2, _L),
    World("L, sd 0.35", 0.35, _L),
)
