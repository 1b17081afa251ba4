"""A challenger before the judge, while its seeds come in from the evaluator."""

from collections.abc import Mapping, Sequence
from typing import Any

from orchestrator.config.schema import JudgeConfig
from orchestrator.core.evaluations import Measurement, Verdict
from orchestrator.core.records import Rung
from orchestrator.judging.early_stopping import LearningCurve, checkpoints, judge_curve
from orchestrator.judging.incumbent import ChallengeDesign
from orchestrator.judging.sequential_test import judge, looks, remaining_sd, screen_score


class Hearing:
    """Asks the judge at each seed; remembers only the verdict."""

    def __init__(
        self,
        challenge: ChallengeDesign,
        rules: JudgeConfig,
        curves: Sequence[LearningCurve],
    ) -> None:
        """Set up.

        Args:
            challenge: what it meets.
            rules: the numbers of the config.
            curves: what was trained to the end at this rung, for stopping early.
        """
        self._seeds, self._more_seeds = challenge.seeds, challenge.more_seeds
        self._yardstick = challenge.incumbent
        self._rules = rules
        self._courses = curves
        self.verdict: Verdict | None = None

    def measurement(self, rung: Rung) -> Measurement:
        """Return what the evaluator should measure."""
        stops = self._rules.early_stop is not None
        return Measurement(
            rung,
            self._seeds,
            more_seeds=self._more_seeds,
            checkpoints=checkpoints(rung.train_episodes) if stops else (),
            follow=True,
        )

    def goes_on(self, event: Mapping[str, Any]) -> bool:
        """Judge by what an event shows; False once there is a verdict."""
        if event["event"] == "checkpoint":
            assert self._rules.early_stop is not None
            # The first default seed is the one whose curve is shown.
            needed = screen_score(self._yardstick, self._rules, len(self._seeds), first=1)
            self.verdict = judge_curve(
                event["curve"],
                self._courses,
                needed,
                self._rules.early_stop,
                remaining_sd(self._yardstick, 1, len(self._seeds)),
            )
        elif event["event"] == "seed":
            self.verdict = judge(
                self._yardstick,
                event["returns"],
                self._rules,
                seed_count=len(self._seeds),
            )
        return self.verdict is None

    def seeds_until_next_look(self, done: int) -> int:
        """Return how many seeds will have been used when a verdict is possible again."""
        screen = len(self._seeds)
        if done < screen:
            return screen
        return next((screen + n for n in looks(self._rules, screen) if screen + n > done), done)
