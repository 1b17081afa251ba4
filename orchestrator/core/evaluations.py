"""What an evaluation is asked for, what it tells, and what is concluded from it."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

from orchestrator.core.records import Rung, Status

FRESH_SEEDS = 1_000_000
"""Seeds from here on belong to single experiments; below are the evaluator's default ones."""
LEAST_FRESH = 2
"""Fresh seeds without which nothing is kept: a single one shows no spread of its own."""


class Purpose(StrEnum):
    """What a seed of a candidate was evaluated for."""

    SCREEN = "screen"
    """A default seed: the same for every candidate; the score is their mean."""
    CONFIRM = "confirm"
    """A seed of the incumbent's reference, on which a challenger may be kept."""
    REFERENCE = "reference"
    """A seed that did not choose the incumbent, on which it is measured."""
    LOWER_RUNG = "below"
    """A default seed at the rung below; written by version 0.1 alone."""


@dataclass(frozen=True)
class Measurement:
    """What one evaluation is to measure: a budget, and seeds in their order."""

    rung: Rung
    seeds: tuple[int, ...]
    """The score is over these. They are trained side by side."""
    more_seeds: tuple[int, ...] = ()
    """And then these, until it is told to stop."""
    checkpoints: tuple[int, ...] = ()
    """Training episodes of the first seed at which its learning curve is shown."""
    scored: Purpose = Purpose.SCREEN
    """What `seeds` are for."""
    further: Purpose = Purpose.CONFIRM
    """What `more_seeds` are for."""

    @property
    def order(self) -> tuple[int, ...]:
        """All seeds, in the order in which their results are told."""
        return (*self.seeds, *self.more_seeds)

    def purpose_of(self, seed: int) -> Purpose:
        """Return what one of these seeds is for."""
        return self.scored if seed in self.seeds else self.further


@dataclass(frozen=True)
class SeedResult:
    """The result of training and evaluating a candidate on one seed at one rung."""

    seed: int
    value: float | None
    """Mean return over its evaluation episodes; None if the candidate failed on it."""
    solve_rate: float | None = None
    curve: tuple[float, ...] = ()
    """Mean return of each training episode."""
    seconds: float | None = None
    """Evaluator seconds, where no experiment's own count holds them (references)."""
    purpose: Purpose = Purpose.SCREEN
    rung: Rung | None = None
    """None for the rung of its experiment."""


@dataclass(frozen=True)
class Report:
    """The evaluator's report on a candidate, as JSON; the numbers that the daemon reads by name."""

    facts: Mapping[str, Any] = field(default_factory=dict)
    """All of it, as recorded."""

    @property
    def solve_rate(self) -> float | None:
        """Share of the scored episodes that succeeded."""
        return self.facts.get("mean_solve_rate")

    @property
    def eval_return(self) -> float | None:
        """Mean greedy return of the trained policy."""
        return self.facts.get("mean_eval_return")

    @property
    def random_return(self) -> float | None:
        """Mean return of uniformly random actions from the same starts."""
        return self.facts.get("random_return")

    @property
    def episode_length(self) -> float | None:
        """Mean length of the scored episodes, in steps."""
        return self.facts.get("mean_episode_length")

    @property
    def learning_gain(self) -> float | None:
        """Mean training return of the last episodes, less that of the first."""
        return self.facts.get("learning_gain")

    @property
    def steps_per_s(self) -> float | None:
        """Environment steps a second of training, all seeds together."""
        return self.facts.get("steps_per_s")

    def of_seeds(self, name: str) -> list[Any]:
        """Return one entry of each scored seed's report; empty if the evaluator gave none."""
        seeds = self.facts.get("seed_results") or []
        return [seed[name] for seed in seeds if name in seed]


@dataclass(frozen=True)
class EpisodeDone:
    """One training episode of one seed has ended."""

    seed: int


@dataclass(frozen=True)
class CheckpointReached:
    """The first seed has reached a checkpoint; the evaluator waits to be told to go on."""

    seed: int
    curve: tuple[float, ...]
    """Mean return of each training episode so far."""


@dataclass(frozen=True)
class SeedDone:
    """A seed is evaluated; the evaluator waits to be told to go on."""

    result: SeedResult
    resume: str | None = None
    """What the evaluator needs to take this seed as measured in a later call, opaque."""


@dataclass(frozen=True)
class EvaluationEnded:
    """The last word: the report, or how the candidate failed."""

    evaluation: "Evaluation"


@dataclass(frozen=True)
class EvaluatorWaits:
    """The evaluator died and a fresh one starts after a pause; nobody's experiment is to blame."""

    reason: str
    seconds: float


@dataclass(frozen=True)
class EvaluatorFailed:
    """The evaluator itself is at fault, not the candidate: a person must act."""

    reason: str


EvaluatorEvent = (
    EpisodeDone | CheckpointReached | SeedDone | EvaluationEnded | EvaluatorWaits | EvaluatorFailed
)


@dataclass(frozen=True)
class Verdict:
    """What came of a comparison, what it rests on, and the line a person reads."""

    status: Status
    """`keep` or `discard`."""
    reason: str
    inconclusive: bool = False
    """Discarded for want of evidence, at the last look."""
    stage: str = "naive"
    """Where it was decided: `naive`, `curves`, `screen` or `confirm`."""
    gain: float | None = None
    """Challenger minus incumbent, over the seeds of that stage."""
    standard_error: float | None = None
    statistic: float | None = None
    """The gain in standard errors."""
    boundary: float | None = None
    """What the statistic had to exceed."""
    evaluations: int = 0
    """Seeds of the challenger that were used."""
    predicted_score: float | None = None
    """What its learning curve predicted, where it was stopped by that."""
    gain_text: str = ""
    """The gain with its standard error, as the reason has it."""


@dataclass(frozen=True)
class Evaluation:
    """The result of evaluating one candidate at one rung."""

    status: Status | None
    """None when it was evaluated; else why it has no score."""
    score: float | None = None
    """With status `rejected` what it scored before it was disqualified, if it got so far."""
    scores_by_seed: Mapping[int, float] = field(default_factory=dict)
    max_steps: int | None = None
    report: Report = Report()
    flags: tuple[str, ...] = ()
    reason: str = ""
    details: str = ""
    """Traceback and output of the candidate, bounded; untrusted text."""
    replay: str = ""
    """One greedy episode as JSON, to watch; empty without a score."""
    seeds: tuple[SeedResult, ...] = ()
    """Every seed that was used, in order: the scored ones first."""
    verdict: Verdict | None = None
    """Verdict of the test; None for baselines and failures."""
