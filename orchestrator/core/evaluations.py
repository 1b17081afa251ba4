"""Requests to the evaluator, its events and results, and verdicts."""

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from enum import StrEnum
from typing import Any

from orchestrator.core.records import Files, Rung, Status

FRESH_SEEDS = 1_000_000
"""Seeds from here on are fresh and belong to one experiment; those below are default seeds."""


class Purpose(StrEnum):
    """Why a candidate was evaluated on a seed."""

    SCREEN = "screen"
    """A default seed: the same for every candidate; the score is their mean."""
    CONFIRM = "confirm"
    """A further seed of a challenger, on which it is compared with the lead; the same for all."""
    REFERENCE = "reference"
    """A seed that did not choose the candidate, on which the lead is measured."""
    TRIAL = "trial"
    """Likewise, measured for the proof of a lead."""
    AUDIT = "audit"
    """A seed that decides nothing: it only says what the published candidate is worth."""
    LOWER_RUNG = "below"
    """A default seed at the rung below; written by version 0.1 alone."""


@dataclass(frozen=True)
class RulerComparison:
    """What differs between a candidate's environment and another's, measured on one seed.

    A challenger's is compared with the lead's, the lead's with the published candidate's.

    The same actions were played in both from the same seeds: random ones, and those of the trained
    candidate. Counts are of episodes, up to each one's first `done` or the horizon.
    """

    episodes: int
    """Episodes that were played in both."""
    observations: int
    """Those in which an observation differs, its shape included."""
    rewards: int
    """Those in which a reward differs by more than rounding."""
    ends: int
    """Those that end at another step."""
    successes: int
    """Those that succeed at another step, or in one environment alone."""
    reward_ratio: float | None
    """The factor between the rewards where it is the same for all; None where there is none."""
    return_there: float
    """Mean return of the candidate's greedy actions by the other's reward. Where nothing but
    observations and rewards differs, it is what its policy earns in the other's environment."""
    solve_rate_there: float
    """Likewise, the share that succeeds."""
    environment: str = ""
    """Identifies the other environment (`judging.rulers.environment_id`); set by the engine, for
    the lead may change while a challenger is evaluated."""


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
    compared_with: Files | None = None
    """The files whose environment is compared with the candidate's on each seed; None where
    the two environments are the same code."""

    @property
    def order(self) -> tuple[int, ...]:
        """All seeds, in the order in which their results are reported."""
        return (*self.seeds, *self.more_seeds)

    def purpose_of(self, seed: int) -> Purpose:
        """Return the purpose of one of these seeds."""
        return self.scored if seed in self.seeds else self.further

    def only(self, wanted: Iterable[int]) -> "Measurement":
        """Return the request of some of these seeds, in the same order."""
        kept = set(wanted)
        return replace(
            self,
            seeds=tuple(seed for seed in self.seeds if seed in kept),
            more_seeds=tuple(seed for seed in self.more_seeds if seed in kept),
        )


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
    compared: RulerComparison | None = None
    """With the environment compared with; None where that was not asked for, or can't be done by an
    older workspace's evaluator."""
    is_comparison_asked: bool = False
    """Whether that was asked for when it was measured."""


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

    def returns(self, name: str) -> list[float]:
        """Return the scored seeds' lists of episodes' returns of one name, as one list.

        Ledgers may hold some that are not finite, which evaluators once let through; they are left
        out.
        """
        return [value for seed in self.of_seeds(name) for value in seed if math.isfinite(value)]


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
    """`keep`, `lead` or `discard`."""
    reason: str
    stage: str = "naive"
    """What decided: `naive`, `curves`, `seeds`, `other task`, or `first task` where there was
    nothing to compare with."""
    gain: float | None = None
    """Challenger minus the candidate that it was compared with."""
    standard_error: float | None = None
    statistic: float | None = None
    """The gain in standard errors."""
    boundary: float | None = None
    """The value that the statistic had to exceed."""
    estimate: float | None = None
    """The gain, shrunk towards 0."""
    estimate_se: float | None = None
    """Standard error of the shrunk gain."""
    evaluations: int = 0
    """Seeds of the challenger that were used."""
    predicted_score: float | None = None
    """Score predicted by the learning curve; only where that stopped the evaluation."""
    gain_text: str = ""
    """The gain with its standard error, as in the reason."""
    quantity: str = "return"
    """What the gain is of: `return`, `return by the former reward` or `solve rate`."""
    changed: tuple[str, ...] = ()
    """What was measured to have changed in the environment; names of `judging.rulers`."""
    is_other_task: bool = False
    """Dynamics, success or horizon changed, so that returns were not compared: a `keep` needs a
    reviewer's consent, and opens a new epoch."""


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
    withheld: str = ""
    """What an evaluation's failure said, for people alone: it could tell the seeds."""
    replay: str = ""
    """One greedy episode of the best seed as JSON, to watch; empty without a score."""
    other_replays: Mapping[int, str] = field(default_factory=dict)
    """Likewise of the worst, the median and the first seed, those of them that are others."""
    seeds: tuple[SeedResult, ...] = ()
    """Every seed that was used, in order: the scored ones first."""
    verdict: Verdict | None = None
    """Verdict of the test; None for baselines and failures."""
