"""Records of experiments, of overrides, and of the reason why a run stopped."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

from orchestrator.core.evaluations import Report
from orchestrator.core.records import Rung, Status, Tokens


class StopKind(StrEnum):
    """Why a run stopped; sets the exit code."""

    FINISHED = "finished"
    """The agent has nothing more to propose."""
    LIMIT = "limit"
    """A limit of the configuration is reached."""
    REQUESTED = "requested"
    """A person asked for it."""
    TERMINATED = "terminated"
    """SIGTERM: experiments in flight were aborted."""
    INTERRUPTED = "interrupted"
    """SIGINT: likewise."""
    BASELINE_FAILED = "baseline failed"
    """Nothing can be compared without a baseline."""
    STUCK = "stuck"
    """The run can't continue before the user changes something."""
    BUG = "bug"
    """An exception that the daemon does not expect."""


class MoveKind(StrEnum):
    """How the lead moved, other than to a challenger."""

    ROLLBACK = "rollback"
    """Its further seeds disappointed: it went back."""
    PROMOTION = "promotion"
    """It was proven, and is the published candidate."""


@dataclass(frozen=True)
class StopReason:
    """Why a run stopped."""

    kind: StopKind
    text: str
    """One line for people."""


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
    """A `Verdict` and its incumbent; empty if unjudged. Returns are in the seed results."""
    seconds: Seconds = Seconds()
    tokens: Tokens = Tokens()
    cost_usd: float | None = None
    created_at: str = ""
    finished_at: str = ""
    ended: int = 0
    """Place in the order of endings, on which all decisions rest."""
    proven_at: str | None = None
    """When the lead was proven that it is, or is part of; None for all else."""

    @property
    def took_lead(self) -> bool:
        """Did it become the lead? By now it may be proven, or the lead gone back behind it."""
        return bool(self.verdict.get("lead"))

    @property
    def changed(self) -> tuple[str, ...]:
        """What was measured to have changed in its environment; empty where nothing was."""
        return tuple(self.verdict.get("changed") or ())

    @property
    def opens_epoch(self) -> bool:
        """Did it make another task the run's?"""
        return bool(self.verdict.get("epoch"))

    @property
    def review(self) -> Mapping[str, str] | None:
        """A reviewer's `opinion`, `reason` and `by`; or why there is `none`; None without any."""
        review: Mapping[str, str] | None = self.verdict.get("review")
        return review


@dataclass(frozen=True)
class LeadMove:
    """The lead went back, or was proven."""

    kind: MoveKind
    n: int
    """The experiment whose candidate is the lead after it."""
    after_ended: int
    """Place of the ending that it followed."""
    reason: str
    gain: float | None = None
    standard_error: float | None = None
    seeds: int = 0
    """Fresh seeds of the lead by then."""
    commit: str | None = None
    """No commit is made for it."""
    created_at: str = ""


@dataclass(frozen=True)
class Lessons:
    """What the agent, or a human, wrote down of what works, what does not, and what is open."""

    text: str
    after_n: int
    """The highest number of an experiment that had ended by then."""
    author: str
    """The agent's name, or `human`."""
    created_at: str = ""


@dataclass(frozen=True)
class Accept:
    """A human's override: experiment `n` became the incumbent."""

    n: int
    after_ended: int
    """Place of the ending that it followed."""
    rung: Rung
    """The rung at which experiment `n` was scored."""
    score: float | None
    scores_by_seed: Mapping[int, float]
    commit: str
    created_at: str = ""
