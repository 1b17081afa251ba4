"""Candidates with known returns, for the tests of the judge."""

import math
from collections.abc import Sequence

import numpy as np

from orchestrator.config.schema import JudgeConfig, SearchNumbers
from orchestrator.core.evaluations import Purpose, RulerComparison, SeedResult
from orchestrator.judging.candidate_evidence import CandidateEvidence
from orchestrator.judging.reference import default_seeds, reference_seeds

CHEAP = SearchNumbers(
    seeds=3, drop=[0.3], adopt=0.5, adopt_early=2.5, back=-0.2, back_to_published=-0.5,
    lead_every=10, lead_seeds=16, proof_share=0.2,
)  # fmt: skip
DEAR = SearchNumbers(
    seeds=6, drop=[-0.8, -0.8, -0.3], adopt=0.5, adopt_early=2.5, back=-0.2,
    back_to_published=-0.5, lead_every=1, lead_seeds=32, proof_share=0.35,
)  # fmt: skip
NUMBERS = JudgeConfig(alpha=0.02, reference_first=12, cheap=CHEAP, dear=DEAR)
"""Numbers that these tests rest on, whatever is shipped."""
PUBLISHED = 1
"""The experiment that scored the published candidate of these tests."""


def on_seeds(rng: np.random.Generator, count: int, shared: float) -> np.ndarray:
    """Return two candidates' returns on the same seeds, with this correlation and sd 1."""
    luck, own = rng.standard_normal((1, count)), rng.standard_normal((2, count))
    both: np.ndarray = math.sqrt(shared) * luck + math.sqrt(1 - shared) * own
    return both


def by_seed(*returns: float, first: int = 0) -> dict[int, float]:
    """Return these returns on the default seeds, from the one of this index on."""
    seeds = default_seeds(first + len(returns))[first:]
    return dict(zip(seeds, returns, strict=True))


def fresh(
    *returns: float | None,
    solved: Sequence[float | None] | float | None = None,
    compared: Sequence[RulerComparison | None] = (),
    owner: int = PUBLISHED,
) -> tuple[SeedResult, ...]:
    """Return results on the first fresh seeds of the published candidate's time."""
    count = len(returns)
    rates = solved if isinstance(solved, Sequence) else [solved] * count
    played = compared or [None] * count
    seeds = reference_seeds(owner, count)
    return tuple(
        SeedResult(seed, value, rate, purpose=Purpose.REFERENCE, compared=comparison)
        for seed, value, rate, comparison in zip(seeds, returns, rates, played, strict=True)
    )


def chosen(
    *returns: float, solved: Sequence[float] | float | None = None
) -> tuple[SeedResult, ...]:
    """Return results on the first default seeds."""
    rates = solved if isinstance(solved, Sequence) else [solved] * len(returns)
    return tuple(
        SeedResult(seed, value, rate)
        for (seed, value), rate in zip(by_seed(*returns).items(), rates, strict=True)
    )


def candidate(
    n: int,
    chosen_by: Sequence[SeedResult] = (),
    fresh_results: Sequence[SeedResult] = (),
    **facts: object,
) -> CandidateEvidence:
    """Return what is known of a candidate that its own experiment scored."""
    return CandidateEvidence(n, n, tuple(chosen_by), tuple(fresh_results), **facts)  # type: ignore[arg-type]
