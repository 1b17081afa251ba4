"""The records that pass between modules: frozen, typed, no behaviour beyond their fields."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any, NamedTuple

ENV_PATH = "candidate/env.py"
TRAIN_PATH = "candidate/train.py"
CANDIDATE_PATHS = (ENV_PATH, TRAIN_PATH)
FRESH_SEEDS = 1_000_000
"""Seeds from here on belong to single experiments; below are the evaluator's default ones."""
LEAST_FRESH = 2
"""Fresh seeds without which nothing is kept: a single one shows no spread of its own."""


class Status(StrEnum):
    """How an experiment ended."""

    BASELINE = "baseline"
    KEEP = "keep"
    DISCARD = "discard"
    INVALID = "invalid"
    """Refused before training: reply, path, syntax, contract, overrides, duplicate."""
    REJECTED = "rejected"
    """Evaluated, then disqualified by the referee or a veto."""
    CRASH = "crash"
    """The candidate raised or died."""
    TIMEOUT = "timeout"
    """Killed by our clock."""
    ABORTED = "aborted"
    """Stopped by us; counts as no experiment, but for the tokens, cost and time it used."""


JUDGED = frozenset({Status.KEEP, Status.DISCARD})
FAILED = frozenset({Status.INVALID, Status.REJECTED, Status.CRASH, Status.TIMEOUT})


class Phase(StrEnum):
    """What the daemon is doing."""

    STARTING = "starting"
    PLANNING = "planning"
    PROPOSING = "proposing"
    CHECKING = "checking"
    EVALUATING = "evaluating"
    JUDGING = "judging"
    RECORDING = "recording"
    WAITING = "waiting"
    PAUSED = "paused"
    STOPPED = "stopped"


class Rung(NamedTuple):
    """A budget: training episodes and greedy evaluation episodes a seed."""

    train_episodes: int
    eval_episodes: int

    def __str__(self) -> str:
        return f"{self.train_episodes}/{self.eval_episodes}"


@dataclass(frozen=True)
class Files:
    """The two files of a candidate, as text."""

    env: str
    train: str

    def by_path(self) -> dict[str, str]:
        """Return `{path: text}`."""
        return {ENV_PATH: self.env, TRAIN_PATH: self.train}


@dataclass(frozen=True)
class Tokens:
    """What a model call used; None where the server did not say."""

    input: int | None = None
    cached: int | None = None
    output: int | None = None
    reasoning: int | None = None

    def plus(self, other: "Tokens") -> "Tokens":
        """Add two counts; unknown plus known is known."""

        def add(a: int | None, b: int | None) -> int | None:
            return None if a is None and b is None else (a or 0) + (b or 0)

        return Tokens(
            add(self.input, other.input),
            add(self.cached, other.cached),
            add(self.output, other.output),
            add(self.reasoning, other.reasoning),
        )

    @property
    def total(self) -> int:
        """Tokens that count towards `limits.tokens`: input and output."""
        return (self.input or 0) + (self.output or 0)


@dataclass(frozen=True)
class Reply:
    """What an agent answered to one prompt."""

    text: str
    tokens: Tokens = Tokens()
    cost_usd: float | None = None
    finish_reason: str = "stop"
    """`stop`, `length` (cut off), `content_filter` or `refusal`."""


@dataclass(frozen=True)
class Proposal:
    """A checked reply: what it tries and the two files it leads to."""

    description: str
    rationale: str
    files: Files


@dataclass(frozen=True)
class Attempt:
    """A reply of this experiment that failed, and why; quoted in the repair prompt."""

    reply: str
    error: str


@dataclass(frozen=True)
class Measurement:
    """What one call of the evaluator is to measure."""

    rung: Rung
    seeds: tuple[int, ...]
    """The score is over these."""
    more_seeds: tuple[int, ...] = ()
    """And then these, in order, until it is enough."""
    checkpoints: tuple[int, ...] = ()
    """Training episodes at which the scored seeds' curves are shown."""
    follow: bool = False
    """Ask after each seed and at each checkpoint whether to go on."""


@dataclass(frozen=True)
class SeedReturn:
    """What one seed's training at one rung came to: the evidence that verdicts rest on."""

    seed: int
    value: float | None
    """Mean return over its evaluation episodes; None if there is none: it failed."""
    solve_rate: float | None = None
    curve: tuple[float, ...] = ()
    """Mean return of each training episode."""
    seconds: float | None = None
    """Evaluator seconds, where no experiment's own count holds them (references)."""
    role: str = ""
    """What it was evaluated for: `screen`, `confirm` or `reference`."""
    rung: Rung | None = None
    """None for the rung of its experiment."""


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
    foretold: float | None = None
    """What its curve promised, where it was stopped by that."""


@dataclass(frozen=True)
class Evaluation:
    """What the evaluator said of one candidate at one rung."""

    status: Status | None
    """None when it was evaluated; else why it has no score."""
    score: float | None = None
    """With status `rejected` what it scored before it was disqualified, if it got so far."""
    scores_by_seed: Mapping[int, float] = field(default_factory=dict)
    max_steps: int | None = None
    metrics: Mapping[str, Any] = field(default_factory=dict)
    """The evaluator's report (solve rate, learning gain, curves, seconds …)."""
    flags: tuple[str, ...] = ()
    reason: str = ""
    details: str = ""
    """Traceback and output of the candidate, bounded; untrusted text."""
    replay: str = ""
    """One greedy episode as JSON, to watch; empty without a score."""
    evidence: tuple[SeedReturn, ...] = ()
    """Every seed that was used, in order: the scored ones first."""
    verdict: Verdict | None = None
    """The judge's, where it judged while the seeds came in."""


@dataclass(frozen=True)
class Seconds:
    """Where an experiment's time went."""

    agent: float = 0.0
    evaluator: float = 0.0
    overhead: float = 0.0


@dataclass(frozen=True)
class Experiment:
    """One finished experiment, as the ledger holds it."""

    n: int
    tag: str
    is_baseline: bool
    status: Status
    rung: Rung
    agent: str
    description: str = ""
    rationale: str = ""
    parent: str | None = None
    """Commit it started from."""
    commit: str | None = None
    """Commit that holds its files; None when the reply led to none."""
    score: float | None = None
    scores_by_seed: Mapping[int, float] = field(default_factory=dict)
    max_steps: int | None = None
    metrics: Mapping[str, Any] = field(default_factory=dict)
    flags: tuple[str, ...] = ()
    reason: str = ""
    details: str = ""
    verdict: Mapping[str, Any] = field(default_factory=dict)
    """A `Verdict` and what it was against; empty if unjudged. The returns are in the evidence."""
    seconds: Seconds = Seconds()
    tokens: Tokens = Tokens()
    cost_usd: float | None = None
    created_at: str = ""
    finished_at: str = ""


@dataclass(frozen=True)
class Accept:
    """A human's override: experiment `n` became the incumbent after experiment `after_n` ended."""

    n: int
    after_n: int
    rung: Rung
    """The rung at which experiment `n` was scored."""
    score: float | None
    scores_by_seed: Mapping[int, float]
    commit: str
    created_at: str = ""
