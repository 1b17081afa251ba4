"""Returns with a known correlation, for the tests of the judge."""

import math
from collections.abc import Sequence

import numpy as np

from orchestrator.judging.information import IncumbentReturns
from orchestrator.judging.reference import SeedCorrelation


def on_seeds(rng: np.random.Generator, count: int, shared: float) -> np.ndarray:
    """Return two candidates' returns on the same seeds, with this correlation and sd 1."""
    luck, own = rng.standard_normal((1, count)), rng.standard_normal((2, count))
    both: np.ndarray = math.sqrt(shared) * luck + math.sqrt(1 - shared) * own
    return both


def paired(
    incumbent: Sequence[float], shared: float, defaults: Sequence[float]
) -> IncumbentReturns:
    """Return an incumbent that was measured on the challenger's seeds too."""
    correlation = SeedCorrelation(shared, 10**6)
    return IncumbentReturns(tuple(incumbent), 1.0, (*defaults, *incumbent), correlation)
