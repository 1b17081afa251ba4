"""What was measured of a candidate, as the agent reads it. Pure.

Most of it comes from the evaluator's report. Learning statistics and reward parts are a candidate's
own words in part, and older evaluators report neither: what is not as expected is left out.
"""

import itertools
import math
import statistics
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from orchestrator.core.evaluations import SeedResult
from orchestrator.core.experiments import Experiment
from orchestrator.core.text import one_line

CHECKPOINTS = 10
MAX_SERIES = 32
"""Most learning statistics, and most reward parts."""
_NAME_CHARS = 40
_VIEW_CHARS = 2000


@dataclass(frozen=True)
class SeedScore:
    """One seed's mean return and solve rate."""

    value: float
    solve_rate: float | None = None


@dataclass(frozen=True)
class Interval:
    """A mean with its 95 % confidence interval."""

    mean: float
    low: float
    high: float


@dataclass(frozen=True)
class RewardPart:
    """A named part of the training reward, summed per episode."""

    at: tuple[float, ...]
    """At up to ten checkpoints of training."""
    max: float
    mean: float
    min: float


@dataclass(frozen=True)
class Measurements:
    """What is known of one candidate at one rung."""

    n: int
    """The experiment that measured it."""
    default_seeds: tuple[tuple[int, SeedScore], ...] = ()
    held_out: tuple[SeedScore, ...] = ()
    """On seeds that did not choose it."""
    interval: Interval | None = None
    """Mean return over the held-out seeds."""
    curve: tuple[float, ...] = ()
    """Mean training return at up to ten checkpoints, over the default seeds."""
    episode_length: float | None = None
    max_steps: int | None = None
    random_return: float | None = None
    parameters: int | None = None
    train_s: float | None = None
    """Seconds of training a seed."""
    env_steps: int | None = None
    """Environment steps of training a seed."""
    learning: Mapping[str, tuple[float, ...]] = field(default_factory=dict)
    """Statistics of training at up to ten checkpoints, over the default seeds."""
    reward_parts: Mapping[str, RewardPart] = field(default_factory=dict)
    view: str = ""
    """The fields of the world's views, where the task is the user's world."""

    @property
    def held_out_solve_rate(self) -> float | None:
        """Mean solve rate over the held-out seeds."""
        return _mean(score.solve_rate for score in self.held_out)

    @property
    def default_solve_rate(self) -> float | None:
        """Mean solve rate over the default seeds."""
        return _mean(score.solve_rate for _, score in self.default_seeds)


def read_measurements(
    experiment: Experiment, held_out: Sequence[SeedResult] = (), interval: Interval | None = None
) -> Measurements:
    """Return what an experiment measured of its candidate.

    Args:
        experiment: with its whole report.
        held_out: further results on seeds that did not choose it.
        interval: their mean, with its confidence interval.
    """
    report = experiment.report
    seeds = [seed for seed in report.facts.get("seed_results") or () if isinstance(seed, Mapping)]
    steps = _mean(map(_number, (seed.get("env_steps") for seed in seeds)))
    return Measurements(
        n=experiment.n,
        default_seeds=_default_seeds(experiment, seeds),
        held_out=tuple(
            SeedScore(seed.value, seed.solve_rate) for seed in held_out if seed.value is not None
        ),
        interval=interval,
        curve=_mean_series([checkpoints(_series(seed.get("train_returns"))) for seed in seeds]),
        episode_length=_number(report.episode_length),
        max_steps=experiment.max_steps,
        random_return=_number(report.random_return),
        parameters=_whole(report.facts.get("policy_parameters")),
        train_s=_mean(map(_number, (seed.get("train_s") for seed in seeds))),
        env_steps=None if steps is None else round(steps),
        learning=_learning([seed.get("learning") for seed in seeds]),
        reward_parts=_reward_parts([seed.get("reward_parts") for seed in seeds]),
        view=one_line(str(report.facts.get("view") or ""), _VIEW_CHARS),
    )


def checkpoints(values: Sequence[float], count: int = CHECKPOINTS) -> tuple[float, ...]:
    """Return the means of `count` equal parts of a series; of a shorter one all its values."""
    if len(values) <= count:
        return tuple(values)
    edges = [i * len(values) // count for i in range(count + 1)]
    return tuple(statistics.fmean(values[start:end]) for start, end in itertools.pairwise(edges))


def _default_seeds(
    experiment: Experiment, seeds: Iterable[Mapping[str, Any]]
) -> tuple[tuple[int, SeedScore], ...]:
    rates = {seed.get("seed"): _number(seed.get("solve_rate")) for seed in seeds}
    return tuple(
        (seed, SeedScore(value, rates.get(seed)))
        for seed, value in experiment.scores_by_seed.items()
    )


def _learning(seeds: Iterable[object]) -> dict[str, tuple[float, ...]]:
    found: dict[str, list[tuple[float, ...]]] = {}
    for facts in seeds:
        for name, values in _named(facts):
            if series := _series(values):
                found.setdefault(name, []).append(series)
    return {name: _mean_series(rows) for name, rows in list(found.items())[:MAX_SERIES]}


def _reward_parts(seeds: Iterable[object]) -> dict[str, RewardPart]:
    found: dict[str, list[RewardPart]] = {}
    for facts in seeds:
        for name, values in _named(facts):
            if part := _reward_part(values):
                found.setdefault(name, []).append(part)
    return {
        name: RewardPart(
            _mean_series([part.at for part in parts]),
            max(part.max for part in parts),
            statistics.fmean(part.mean for part in parts),
            min(part.min for part in parts),
        )
        for name, parts in list(found.items())[:MAX_SERIES]
    }


def _reward_part(values: object) -> RewardPart | None:
    if not isinstance(values, Mapping):
        return None
    at = _series(values.get("at"))
    numbers = [_number(values.get(name)) for name in ("max", "mean", "min")]
    known = [number for number in numbers if number is not None]
    return RewardPart(at, *known) if at and len(known) == len(numbers) else None


def _named(facts: object) -> list[tuple[str, object]]:
    if not isinstance(facts, Mapping):
        return []
    return [(one_line(str(name), _NAME_CHARS), value) for name, value in facts.items()]


def _mean_series(rows: Sequence[tuple[float, ...]]) -> tuple[float, ...]:
    """Return the mean of series, up to the shortest one's end."""
    rows = [row for row in rows if row]
    return tuple(statistics.fmean(column) for column in zip(*rows, strict=False))


def _series(values: object) -> tuple[float, ...]:
    if not isinstance(values, Sequence) or isinstance(values, str):
        return ()
    numbers = [_number(value) for value in values]
    known = [number for number in numbers if number is not None]
    return tuple(known) if len(known) == len(numbers) else ()


def _number(value: object) -> float | None:
    if isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value):
        return value
    return None


def _whole(value: object) -> int | None:
    return value if isinstance(value, int) and not isinstance(value, bool) else None


def _mean(values: Iterable[float | None]) -> float | None:
    known = [value for value in values if value is not None]
    return statistics.fmean(known) if known else None
