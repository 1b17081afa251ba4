"""The rules by which one run judges: the numbers of its config, and its default seeds. Pure."""

from dataclasses import dataclass, replace

from orchestrator.config.schema import JudgeConfig, SearchNumbers
from orchestrator.judging.reference import default_seeds

_GROUP = 4
"""Seeds of a lead between two looks of its trial."""


@dataclass(frozen=True)
class JudgingRules:
    """How the challengers of one run are judged."""

    numbers: JudgeConfig
    """Section `judge` of the config."""
    seed_count: int
    """Default seeds: every candidate is scored on these."""

    @property
    def has_lead(self) -> bool:
        """Whether the rule separates lead and proof; the naive rule does not."""
        return self.numbers.rule == "sound"

    @property
    def default_seeds(self) -> tuple[int, ...]:
        """The evaluator's default seeds, in order."""
        return default_seeds(self.seed_count)

    def search(self, agent_s: float | None, seed_s: float | None) -> SearchNumbers:
        """Return how the lead moves.

        Args:
            agent_s: the agent's mean time for a proposal, in seconds; None before the first.
            seed_s: the evaluator's time for a seed; None before the first.
        """
        numbers = self.numbers
        is_dear = numbers.proposals == "dear"
        if numbers.proposals == "auto" and agent_s is not None and seed_s:
            is_dear = agent_s >= numbers.dear_from * seed_s
        return numbers.dear if is_dear else numbers.cheap

    def looks(self) -> tuple[int, ...]:
        """Return after how many seeds of the lead its trial looks at the data."""
        most = self.numbers.max_evaluations
        return (*range(_GROUP, most, _GROUP), most)

    def reference_at(self, look: int) -> int:
        """Return how many seeds of the published candidate a look at so many of the lead needs."""
        return max(self.numbers.reference_first, look)

    def share_of_alpha(self, share: float, *, in_score_points: bool = True) -> "JudgingRules":
        """Return the rules of one of several tests, each with its share of the error probability.

        Args:
            share: of `judge.alpha`.
            in_score_points: whether returns are tested. A smallest effect in score points means
                nothing for other quantities, and is 0 for them.
        """
        changes: dict[str, object] = {"alpha": self.numbers.alpha * share}
        if not in_score_points and not isinstance(self.numbers.min_effect, str):
            changes["min_effect"] = 0.0
        return replace(self, numbers=self.numbers.model_copy(update=changes))
