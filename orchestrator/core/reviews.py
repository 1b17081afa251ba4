"""Reviews: an independent second opinion on a change before it moves the branch. Pure records."""

from dataclasses import dataclass
from enum import StrEnum

from orchestrator.core.records import Files, Tokens


class Opinion(StrEnum):
    """What a reviewer thinks of a change."""

    EARNED = "earned"
    """It is what the brief wants, and the gain is earned by it."""
    GAMING = "gaming"
    """The score rose without the task being done better."""
    OFF_LIMITS = "off limits"
    """It changes what the brief declares off limits."""
    UNSURE = "unsure"


@dataclass(frozen=True)
class ReviewRequest:
    """What a reviewer is shown beside the brief (program.md)."""

    before: Files
    after: Files
    description: str
    rationale: str
    changed: tuple[str, ...]
    """What was measured to have changed: of `observation`, `reward`, `dynamics`, `success`,
    `horizon`."""
    facts: tuple[str, ...]
    """Scores, solve rates, lengths and flags before and after, a line each."""
    is_first_task: bool = False
    """Whether there was no task before it, so that nothing was compared and nothing gained."""
    is_other_task: bool = False
    """Whether its dynamics, success or horizon changed, so that a keep would be another task."""


@dataclass(frozen=True)
class Review:
    """A reviewer's answer."""

    opinion: Opinion
    reason: str
    """In a sentence or two, for people and for the agent."""
    by: str
    """Who reviewed, such as `openai:gpt-5`."""
    tokens: Tokens = Tokens()
    cost_usd: float | None = None


@dataclass(frozen=True)
class NoReview:
    """There is no review, and why: nobody is asked, or the answer could not be used."""

    reason: str
    """Empty where no reviewer is configured."""
    tokens: Tokens = Tokens()
    cost_usd: float | None = None
