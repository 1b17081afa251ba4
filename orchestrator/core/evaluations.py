"""Requests to the evaluator, its events and results, and verdicts."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

from orchestrator.core.records import Rung, Status

FRESH_SEEDS = 1_000_000
"""Seeds from here on are fresh and belong to one experiment; those below are default seeds."""
LEAST_FRESH = 2
"""Fresh seeds that a keep needs: a single one gives no standard deviation."""


class Purpose(StrEnum):
    """Why a candidate was evaluated on a seed."""

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
    """The request of one evaluation: a budget, and seeds in order."""

    rung: Rung
    seeds: tuple[int, ...]
    """The scored seeds, trained side by side."""
    more_seeds: tuple[int, ...] = ()
    """Further seeds after these, until the evaluation is stopped."""
    checkpoints: tuple[int, ...] = ()
    """Training episodes of the first seed at which its learning curve is reported."""
    scored: Purpose = Purpose.SCREEN
    """Purpose of `seeds`."""
    further: Purpose = Purpose.CONFIRM
    """Purpose of `more_seeds`."""

    @property
    def order(self) -> tuple[int, ...]:
        """All seeds, in the order in which their results are reported."""
        return (*self.seeds, *self.more_seeds)

    def purpose_of(self, seed: int) -> Purpose:
        """Return the purpose of one of these seeds."""
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
    """Evaluator seconds; only of reference seeds, which no experiment counts."""
    purpose: Purpose = Purpose.SCREEN
    rung: Rung | None = None
    """None for the rung of its experiment."""


@dataclass(frozen=True)
class Report:
    """The evaluator's report on a candidate: JSON, and the numbers that the daemon reads."""

    facts: Mapping[str, Any] = field(default_factory=dict)
    """The whole report, as recorded."""

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
        """Mean training return of the last episodes minus that of the first."""
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
    """The first seed has reached a checkpoint; the evaluator waits for an answer."""

    seed: int
    curve: tuple[float, ...]
    """Mean return of each training episode so far."""


@dataclass(frozen=True)
class SeedDone:
    """A seed is evaluated; the evaluator waits for an answer."""

    result: SeedResult
    resume: str | None = None
    """Opaque text with which a later evaluation takes this seed as measured."""


@dataclass(frozen=True)
class EvaluationEnded:
    """The evaluation has ended, with a report or the candidate's failure."""

    evaluation: "Evaluation"


@dataclass(frozen=True)
class EvaluatorWaits:
    """The evaluator died, and a fresh one starts after a pause; no candidate is to blame."""

    reason: str
    seconds: float


@dataclass(frozen=True)
class EvaluatorFailed:
    """The evaluator itself is at fault, not the candidate: the user must act."""

    reason: str


EvaluatorEvent = (
    EpisodeDone | CheckpointReached | SeedDone | EvaluationEnded | EvaluatorWaits | EvaluatorFailed
)


@dataclass(frozen=True)
class Verdict:
    """The result of a test, its statistics, and the reason as a person reads it."""

    status: Status
    """`keep` or `discard`."""
    reason: str
    inconclusive: bool = False
    """Discarded at the last look, with too little evidence either way."""
    stage: str = "naive"
    """The stage that decided: `naive`, `curves`, `screen` or `confirm`."""
    gain: float | None = None
    """Challenger minus incumbent, over the seeds of that stage."""
    standard_error: float | None = None
    statistic: float | None = None
    """The gain in standard errors."""
    boundary: float | None = None
    """The value that the statistic had to exceed."""
    evaluations: int = 0
    """Seeds of the challenger that were used."""
    predicted_score: float | None = None
    """Score predicted by the learning curve; only where that stopped the evaluation."""
    gain_text: str = ""
    """The gain with its standard error, as in the reason."""


@dataclass(frozen=True)
class Evaluation:
    """The result of evaluating one candidate at one rung."""

    status: Status | None
    """None for an evaluated candidate; else the kind of failure."""
    score: float | None = None
    """With status `rejected`, the score before it was disqualified, if there was one."""
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
