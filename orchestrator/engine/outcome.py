"""What an experiment rests on, what a reply proposes, and how an experiment ended."""

from dataclasses import dataclass, field

from orchestrator.core.evaluations import (
    Evaluation,
)
from orchestrator.core.records import Files, Status
from orchestrator.judging.incumbent import IncumbentEvidence
from orchestrator.judging.rules import JudgingRules


@dataclass(frozen=True)
class Rules:
    """The numbers of the configuration that an experiment rests on."""

    judging: JudgingRules
    max_repairs: int
    veto: tuple[str, ...]


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
    incumbent: IncumbentEvidence | None = None
    """What it was judged against."""
