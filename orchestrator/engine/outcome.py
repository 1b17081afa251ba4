"""What an experiment rests on, what a reply proposes, and how an experiment ended."""

from dataclasses import dataclass, field
from typing import Self

from orchestrator.config.schema import Config
from orchestrator.core.evaluations import (
    Evaluation,
)
from orchestrator.core.records import Files, Status
from orchestrator.core.reviews import NoReview, Opinion, Review
from orchestrator.judging.candidate_evidence import CandidateEvidence
from orchestrator.judging.rules import JudgingRules


@dataclass(frozen=True)
class Rules:
    """The numbers of the configuration that an experiment rests on."""

    judging: JudgingRules
    max_repairs: int
    veto: tuple[str, ...]
    """Flags that reject a keep."""
    review_veto: tuple[str, ...] = (Opinion.GAMING.value, Opinion.OFF_LIMITS.value)
    """A reviewer's opinions that reject a keep."""
    pins_horizon: bool = False
    """Whether `task.max_steps` is set: another horizon is then no task of this run."""
    has_world: bool = False
    """Whether the task is a world of the user's own."""

    @classmethod
    def of(cls, config: Config, judging: JudgingRules, *, has_world: bool) -> Self:
        """Return those of a configuration."""
        return cls(
            judging,
            config.agent.max_repairs,
            tuple(config.integrity.veto),
            review_veto=tuple(config.review.veto),
            pins_horizon=config.task.max_steps is not None,
            has_world=has_world,
        )


@dataclass(frozen=True)
class Candidate:
    """What a usable reply proposes."""

    files: Files
    fingerprint: str | None
    description: str
    rationale: str = ""


@dataclass(frozen=True)
class Outcome:
    """How an experiment ended, before it is recorded."""

    status: Status
    reason: str
    evaluation: Evaluation = field(default_factory=lambda: Evaluation(None))
    candidate: Candidate | None = None
    description: str = ""
    """What was tried, as far as a reply that led to no candidate says so."""
    lead: CandidateEvidence | None = None
    """What it was judged against."""
    review: Review | NoReview | None = None
    """What a reviewer said of it; None where nobody was asked."""

    @property
    def opens_epoch(self) -> bool:
        """Does it make another task the run's?"""
        verdict = self.evaluation.verdict
        return self.status is Status.KEEP and verdict is not None and verdict.is_other_task
