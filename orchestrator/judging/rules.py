"""The rules by which one run judges: the numbers of its config, and its default seeds. Pure."""

from dataclasses import dataclass

from orchestrator.config.schema import JudgeConfig
from orchestrator.core.evaluations import LEAST_FRESH
from orchestrator.judging.reference import LEAST_REFERENCE, default_seeds


@dataclass(frozen=True)
class JudgingRules:
    """How the challengers of one run are judged."""

    numbers: JudgeConfig
    """Section `judge` of the config."""
    seed_count: int
    """Default seeds: every candidate is scored on these."""

    @property
    def needs_reference(self) -> bool:
        """Whether the rule compares with a reference of the incumbent; the naive rule does not."""
        return self.numbers.rule == "sound"

    @property
    def default_seeds(self) -> tuple[int, ...]:
        """The evaluator's default seeds, in order."""
        return default_seeds(self.seed_count)

    @property
    def least_reference(self) -> int:
        """Reference returns without which nothing can be judged."""
        return LEAST_REFERENCE if self.needs_reference else 0

    def reference_wanted(self, judged: int) -> int:
        """Return how many reference seeds the incumbent should be measured on by now.

        The size depends on the number of challengers alone, never on their results: measuring more
        seeds while the estimate looks bad would bias it. An incumbent that is soon replaced never
        costs a full reference.

        Args:
            judged: challengers judged against this incumbent so far.
        """
        if not self.needs_reference:
            return 0
        numbers = self.numbers
        return min(numbers.reference, numbers.reference_first + numbers.reference_step * judged)

    def looks(self) -> tuple[int, ...]:
        """Return after how many fresh seeds the sequential test looks at its data."""
        numbers = self.numbers
        most = max(numbers.max_evaluations - self.seed_count, LEAST_FRESH)
        groups = range(numbers.group_size, most, numbers.group_size)
        return (*(count for count in groups if count >= LEAST_FRESH), most)
