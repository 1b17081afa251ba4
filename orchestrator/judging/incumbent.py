"""What is known of the incumbent at one rung. Pure."""

import math
import statistics
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from orchestrator.config.schema import JudgeConfig
from orchestrator.core.evaluations import Report, SeedResult
from orchestrator.judging.reference import (
    UNCORRELATED,
    SeedCorrelation,
    confirm_seeds,
    default_seeds,
    reference_seeds,
    seed_correlation,
    spread,
)
from orchestrator.judging.sequential_test import IncumbentReturns, looks


@dataclass(frozen=True)
class IncumbentEvidence:
    """What the references say of the incumbent at the current rung."""

    returns: tuple[float, ...] = ()
    """Mean return on each reference seed."""
    tried: int = 0
    """Reference seeds measured, those that failed included."""
    sd: float = 0.0
    """Standard deviation of one seed's return."""
    degrees_of_freedom: float = math.inf
    """Degrees of degrees_of_freedom of that."""
    scored_by: int = 0
    """The experiment that scored the incumbent at this rung."""
    by_seed: Mapping[int, float] = field(default_factory=dict)
    """Its mean return on each seed: of the reference, and of the default seeds."""
    correlation: SeedCorrelation = UNCORRELATED
    solve_rate: float | None = None


UNMEASURED = IncumbentEvidence()


def incumbent_evidence(
    references: Mapping[int, Sequence[SeedResult]],
    scored_by: int | None,
    screen: Sequence[SeedResult] = (),
    challengers: Iterable[tuple[int, int, float]] = (),
) -> IncumbentEvidence:
    """Read the references of one rung.

    Args:
        references: by experiment, the last that were measured at this rung in the run.
        scored_by: the experiment that scored the incumbent there.
        screen: what that came to on the default seeds.
        challengers: experiment, seed and return of what was to confirm challengers there.
    """
    values = {n: [s.value for s in seeds if s.value is not None] for n, seeds in references.items()}
    own = references.get(scored_by or 0, ())
    solved = [seed.solve_rate for seed in own if seed.solve_rate is not None]
    measured = (seed for seeds in references.values() for seed in seeds)
    by_seed = {seed.seed: seed.value for seed in measured if seed.value is not None}
    pairs = ((n, seed, value, by_seed[seed]) for n, seed, value in challengers if seed in by_seed)
    latest = sorted(values, key=lambda n: (n == scored_by, n), reverse=True)
    known = spread(values[n] for n in latest)
    return IncumbentEvidence(
        tuple(values.get(scored_by or 0, ())),
        len(own),
        known.sd,
        known.degrees_of_freedom,
        scored_by or 0,
        {seed.seed: seed.value for seed in (*own, *screen) if seed.value is not None},
        seed_correlation(pairs),
        statistics.fmean(solved) if solved else None,
    )


@dataclass(frozen=True)
class ChallengeDesign:
    """Where a challenger is evaluated, and what it must beat there."""

    seeds: tuple[int, ...]
    """The default ones, for the screen."""
    more_seeds: tuple[int, ...]
    """Those that may confirm it, in order."""
    incumbent: IncumbentReturns


def challenge(
    known: IncumbentEvidence, n: int, rules: JudgeConfig, seed_count: int
) -> ChallengeDesign:
    """Return what experiment `n` meets."""
    most = looks(rules, seed_count)[-1]
    seeds = default_seeds(seed_count)
    tried = reference_seeds(known.scored_by, known.tried)
    failed = {seed for seed in tried if seed not in known.by_seed}  # it need do no better there
    order = confirm_seeds(n, known.scored_by, known.tried, most + len(failed))
    more_seeds = tuple(seed for seed in order if seed not in failed)[:most]
    paired = tuple(known.by_seed.get(seed) for seed in (*seeds, *more_seeds))
    incumbent = IncumbentReturns(
        known.returns, known.sd, paired, known.correlation, known.degrees_of_freedom
    )
    return ChallengeDesign(seeds, more_seeds, incumbent)


def learning_failure(below: Report, above: Report) -> str | None:
    """Return how the incumbent fails to learn at a higher rung, though it learns below; else None.

    Learning means to earn more than random actions from the same starts.

    Args:
        below: its evaluator's report at the current rung.
        above: likewise, at the rung it should climb to.
    """
    trained, untrained = below.eval_return, below.random_return
    there, random = above.eval_return, above.random_return
    if trained is None or untrained is None or there is None or random is None:
        return None
    if trained > untrained and there <= random:
        return f"it does not learn there: {there:.4f}, and random actions earn {random:.4f}"
    return None
