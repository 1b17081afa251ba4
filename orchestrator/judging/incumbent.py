"""The evidence on the incumbent at one rung, and the test that a challenger meets there. Pure."""

import math
import statistics
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from orchestrator.core.evaluations import Report, SeedResult
from orchestrator.judging.flag_rules import ScoredCandidate
from orchestrator.judging.information import IncumbentReturns
from orchestrator.judging.reference import (
    UNCORRELATED,
    SeedCorrelation,
    confirm_seeds,
    reference_seeds,
    seed_correlation,
    spread,
)
from orchestrator.judging.rules import JudgingRules


@dataclass(frozen=True)
class IncumbentEvidence:
    """All that the judge uses of the incumbent at the current rung."""

    returns: tuple[float, ...] = ()
    """Mean return on each reference seed."""
    tried: int = 0
    """Reference seeds measured, including those on which it failed."""
    sd: float = 0.0
    """Standard deviation of one seed's return."""
    degrees_of_freedom: float = math.inf
    """Of the estimated standard deviation."""
    scored_by: int = 0
    """The experiment that scored the incumbent at this rung."""
    by_seed: Mapping[int, float] = field(default_factory=dict)
    """Its mean return on each reference seed and each default seed, over all episodes played."""
    correlation: SeedCorrelation = UNCORRELATED
    solve_rate: float | None = None
    """Mean over its reference seeds."""
    scores_by_seed: Mapping[int, float] = field(default_factory=dict)
    """Its scores on the default seeds, which the naive rule compares."""
    scored: ScoredCandidate | None = None
    """What its experiment recorded, for the flags that compare two candidates."""

    def is_other_than(self, other: "IncumbentEvidence") -> bool:
        """Do these describe two different incumbents, or one at two different rungs?"""
        return self.scored_by != other.scored_by


UNMEASURED = IncumbentEvidence()


def incumbent_evidence(
    references: Mapping[int, Sequence[SeedResult]],
    scored_by: int | None,
    screen: Sequence[SeedResult] = (),
    challengers: Iterable[tuple[int, int, float]] = (),
    *,
    scores_by_seed: Mapping[int, float] | None = None,
    scored: ScoredCandidate | None = None,
) -> IncumbentEvidence:
    """Gather the evidence on the incumbent from the results recorded at one rung.

    Args:
        references: reference results by experiment, of this run's latest incumbents at the rung.
        scored_by: the experiment that scored the incumbent there.
        screen: that experiment's results on the default seeds.
        challengers: experiment, seed and return of earlier challengers' confirmations there.
        scores_by_seed: the incumbent's scores on the default seeds.
        scored: what the experiment that scored it recorded.
    """
    values = {n: [s.value for s in seeds if s.value is not None] for n, seeds in references.items()}
    own = references.get(scored_by or 0, ())
    solve_rates = [seed.solve_rate for seed in own if seed.solve_rate is not None]
    measured = (seed for seeds in references.values() for seed in seeds)
    by_seed = {seed.seed: seed.value for seed in measured if seed.value is not None}
    pairs = ((n, seed, value, by_seed[seed]) for n, seed, value in challengers if seed in by_seed)
    latest_first = sorted(values, key=lambda n: (n == scored_by, n), reverse=True)
    estimate = spread(values[n] for n in latest_first)
    return IncumbentEvidence(
        returns=tuple(values.get(scored_by or 0, ())),
        tried=len(own),
        sd=estimate.sd,
        degrees_of_freedom=estimate.degrees_of_freedom,
        scored_by=scored_by or 0,
        by_seed={seed.seed: seed.value for seed in (*own, *screen) if seed.value is not None},
        correlation=seed_correlation(pairs),
        solve_rate=statistics.fmean(solve_rates) if solve_rates else None,
        scores_by_seed=scores_by_seed or {},
        scored=scored,
    )


@dataclass(frozen=True)
class ChallengeDesign:
    """The seeds of one challenger's sequential test, and the incumbent's returns on them."""

    seeds: tuple[int, ...]
    """The default seeds, for the screening."""
    more_seeds: tuple[int, ...]
    """The seeds that may confirm it, in order."""
    incumbent: IncumbentReturns


def challenge_design(incumbent: IncumbentEvidence, n: int, rules: JudgingRules) -> ChallengeDesign:
    """Return the design of the test of experiment `n` against this incumbent."""
    most = rules.looks()[-1]
    seeds = rules.default_seeds
    tried = reference_seeds(incumbent.scored_by, incumbent.tried)
    # A challenger need not succeed where the incumbent failed.
    failed = {seed for seed in tried if seed not in incumbent.by_seed}
    order = confirm_seeds(n, incumbent.scored_by, incumbent.tried, most + len(failed))
    more_seeds = tuple(seed for seed in order if seed not in failed)[:most]
    paired = tuple(incumbent.by_seed.get(seed) for seed in (*seeds, *more_seeds))
    returns = IncumbentReturns(
        incumbent.returns,
        incumbent.sd,
        paired,
        incumbent.correlation,
        incumbent.degrees_of_freedom,
    )
    return ChallengeDesign(seeds, more_seeds, returns)


def learning_failure(below: Report, above: Report) -> str | None:
    """Return why the incumbent fails to learn at a higher rung; None if it learns there.

    Learning means to earn more than random actions from the same starts. An incumbent that does
    not learn below either is no failure.

    Args:
        below: its evaluator's report at the current rung.
        above: its report at the rung it should climb to.
    """
    trained, untrained = below.eval_return, below.random_return
    there, random = above.eval_return, above.random_return
    if trained is None or untrained is None or there is None or random is None:
        return None
    if trained > untrained and there <= random:
        return f"it does not learn there: {there:.4f}, and random actions earn {random:.4f}"
    return None
