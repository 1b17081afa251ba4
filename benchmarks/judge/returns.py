"""Synthetic returns: what one seed after the other would score, from known distributions."""

import math
import zlib
from collections.abc import Callable, Sequence

import numpy as np

SEED = 20261122
SCORE = 1.0
"""True mean of the first incumbent."""

Generator = np.random.Generator
Draw = Callable[[Generator, int | tuple[int, int]], np.ndarray]

_LOG_SD = 0.8
_MODE_SD = 0.2
"""Of each mode of the bimodal returns, where all of them together have 1."""


def _t3(rng: Generator, shape: int | tuple[int, int]) -> np.ndarray:
    return rng.standard_t(3, shape) / math.sqrt(3)


def _lognormal(rng: Generator, shape: int | tuple[int, int]) -> np.ndarray:
    variance = _LOG_SD**2
    mean = math.exp(variance / 2)
    return (rng.lognormal(0, _LOG_SD, shape) - mean) / (mean * math.sqrt(math.expm1(variance)))


def _bimodal(share: float) -> Draw:
    """Return a drawer of seeds of which this share learns the task, and the others do not."""

    def draw(rng: Generator, shape: int | tuple[int, int]) -> np.ndarray:
        learnt = rng.random(shape) < share
        mode = (learnt - share) / math.sqrt(share * (1 - share))
        noise = rng.standard_normal(shape)
        both: np.ndarray = mode * math.sqrt(1 - _MODE_SD**2) + noise * _MODE_SD
        return both

    return draw


KINDS: dict[str, Draw] = {
    "normal": lambda rng, shape: rng.standard_normal(shape),
    "t(3)": _t3,
    "skewed right": lambda rng, shape: rng.standard_exponential(shape) - 1,
    "skewed left": lambda rng, shape: 1 - rng.standard_exponential(shape),
    "lognormal": _lognormal,
    "bimodal 50/50": _bimodal(0.5),
    "bimodal 20/80": _bimodal(0.2),
    "bimodal 80/20": _bimodal(0.8),
    "heteroscedastic": lambda rng, shape: rng.standard_normal(shape),
    "shared luck": lambda rng, shape: rng.standard_normal(shape),
    "half share luck": lambda rng, shape: rng.standard_normal(shape),
}
"""Every one has mean 0 and standard deviation 1."""
SHARED = {"shared luck": (0.6,), "half share luck": (0.6, 0.0)}
"""Share of a seed's luck that candidates have in common, which is the correlation of two that have
it: of one challenger after the other, over and over, and the first incumbent has the first; else 0.
"""
SPREADS = {"heteroscedastic": (0.5, 2.0)}
"""Between what a challenger's standard deviation lies, in those of the incumbent; else it is 1."""


class Candidate:
    """Something that can be trained on one seed after the other."""

    def __init__(
        self, mean: float, sd: float, drawn: list[float], more: "Source", shared: float = 0.0
    ) -> None:
        self.mean = mean
        self.sd = sd
        self.shared = shared
        self._drawn = drawn
        self._more = more
        self._used = 0

    def fresh(self, count: int) -> list[float]:
        """Return its returns on so many seeds that it was not measured on before."""
        end = self._used + count
        if end > len(self._drawn):
            self._drawn = self._drawn + self._more.standard(max(end - len(self._drawn), 64))
        values = self._drawn[self._used : end]
        self._used = end
        mean, sd = self.mean, self.sd
        return [mean + sd * value for value in values]

    def on(self, seeds: Sequence[int]) -> list[float]:
        """Return its returns on these seeds, of whose luck all candidates may have a share."""
        returns = self.fresh(len(seeds))
        if not self.shared:
            return returns
        own, common = math.sqrt(1 - self.shared), math.sqrt(self.shared) * self.sd
        return [
            self.mean + own * (value - self.mean) + common * self._more.luck(seed)
            for value, seed in zip(returns, seeds, strict=True)
        ]


class Source:
    """Everything random in one run: the same for every rule and every number of workers.

    Args:
        kind: one of `KINDS`.
        purpose: separates what is not to share its randomness.
        run: number of the run.
        count: challengers in it.
    """

    _EACH = 32
    """Returns drawn ahead for each challenger."""

    def __init__(self, kind: str, purpose: str, run: int, count: int) -> None:
        self._draw = KINDS[kind]
        self._shared = SHARED.get(kind, (0.0,))
        self._luck: dict[int, float] = {}
        key = [SEED, zlib.crc32(purpose.encode()), list(KINDS).index(kind), run]
        rows = np.random.default_rng([*key, 0])
        self._rows = self._draw(rows, (count, self._EACH)).tolist()
        low, high = SPREADS.get(kind, (1.0, 1.0))
        logs = rows.uniform(math.log(low), math.log(high), count)
        self._spreads = np.exp(logs).tolist()
        self._rest = np.random.default_rng([*key, 1])
        self._lots = np.random.default_rng([*key, 2])

    def luck(self, seed: int) -> float:
        """Return what a seed gives to every candidate, of mean 0 and standard deviation 1."""
        if seed not in self._luck:
            self._luck[seed] = float(self._draw(self._lots, 1)[0])
        return self._luck[seed]

    def standard(self, count: int) -> list[float]:
        """Return so many more values of mean 0 and standard deviation 1."""
        values: list[float] = self._draw(self._rest, count).tolist()
        return values

    def incumbent(self, noise: float) -> Candidate:
        """Return the first incumbent; `noise` is one seed's sd as a share of its score."""
        return Candidate(SCORE, noise * SCORE, [], self, self._shared[0])

    def challenger(self, index: int, incumbent: Candidate, gain: float) -> Candidate:
        """Return a challenger whose true mean is higher by `gain` points."""
        sd = incumbent.sd * self._spreads[index]
        shared = self._shared[index % len(self._shared)]
        return Candidate(incumbent.mean + gain, sd, self._rows[index], self, shared)
