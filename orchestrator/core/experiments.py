"""An experiment as it is recorded, and what ends a run."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

from orchestrator.core.evaluations import Report
from orchestrator.core.records import Rung, Status, Tokens


class StopKind(StrEnum):
    """Why a run ended; each has the exit code that a script can rely on."""

    FINISHED = "finished"
    """The agent has nothing more to propose."""
    LIMIT = "limit"
    """A limit of the configuration is reached."""
    REQUESTED = "requested"
    """A person asked for it."""
    TERMINATED = "terminated"
    """SIGTERM: the experiments in hand were aborted."""
    INTERRUPTED = "interrupted"
    """SIGINT: likewise."""
    BASELINE_FAILED = "baseline failed"
    """Nothing can be compared without a baseline."""
    STUCK = "stuck"
    """Only a person can make it possible to go on."""
    BUG = "bug"
    """A fault of the daemon's own."""


@dataclass(frozen=True)
class StopReason:
    """Why a run ended."""

    kind: StopKind
    text: str
    """The line that people read."""


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
    report: Report = Report()
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
    ended: int = 0
    """Its place in the order in which experiments ended, on which all decisions rest."""


@dataclass(frozen=True)
class Accept:
    """A human's override: experiment `n` became the incumbent."""

    n: int
    after_ended: int
    """The ending that it followed."""
    rung: Rung
    """The rung at which experiment `n` was scored."""
    score: float | None
    scores_by_seed: Mapping[int, float]
    commit: str
    created_at: str = ""
