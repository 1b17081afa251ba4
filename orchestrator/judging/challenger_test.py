"""The test of one challenger: what to measure, and the verdict on the results so far. Pure.

A test is a value that never changes: it says which seeds to evaluate, and is asked for a verdict
with one more result each time. `challenger_test` chooses it by `judge.rule`, once per challenger.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

from orchestrator.core.evaluations import Measurement, SeedResult, Verdict
from orchestrator.core.records import Rung
from orchestrator.judging.early_stopping import LearningCurve, checkpoints, judge_curve
from orchestrator.judging.incumbent import IncumbentEvidence, challenge_design
from orchestrator.judging.information import IncumbentReturns
from orchestrator.judging.naive_rule import judge_naively
from orchestrator.judging.rules import JudgingRules
from orchestrator.judging.sequential_test import judge, remaining_sd, screen_score


class ChallengerTest(Protocol):
    """The test of one challenger against one incumbent."""

    @property
    def plan(self) -> Measurement:
        """What the evaluator is to measure, at most."""

    def verdict(self, results: Sequence[SeedResult]) -> Verdict | None:
        """Return the verdict on the results so far; None while more are needed.

        Args:
            results: one of each seed, in the order of the plan. Ask after each further one.

        Raises:
            ValueError: the results are not those of the plan, or a seed has no return.
        """

    def judge_curve(self, curve: Sequence[float], earlier: Sequence[SeedResult]) -> Verdict | None:
        """Discard the challenger if its learning curve is hopeless; else None.

        Args:
            curve: its training returns on the plan's first seed, up to a checkpoint.
            earlier: results on that seed, with their curves, of candidates trained to the end at
                this rung. Those without a return are skipped.
        """

    def final_verdict(self, verdict: Verdict, scores_by_seed: Mapping[int, float]) -> Verdict:
        """Return the verdict to record, once the evaluation has ended.

        Args:
            verdict: what `verdict` or `judge_curve` returned.
            scores_by_seed: the challenger's scores on the default seeds, by the final report.
        """

    def seeds_until_next_look(self, done: int) -> int:
        """Return how many seeds will be done when a verdict is next possible, after `done`."""


@dataclass(frozen=True)
class SequentialTest:
    """`judge.rule: sound`: screening on the default seeds, then confirmation on fresh ones."""

    plan: Measurement
    incumbent: IncumbentReturns
    rules: JudgingRules

    def verdict(self, results: Sequence[SeedResult]) -> Verdict | None:
        """Return the verdict of the screening or of a look at the test."""
        return judge(self.incumbent, _returns(self.plan, results), self.rules)

    def judge_curve(self, curve: Sequence[float], earlier: Sequence[SeedResult]) -> Verdict | None:
        """Predict from the curve whether the challenger can still pass the screening."""
        early_stop = self.rules.numbers.early_stop
        if early_stop is None:
            return None
        curves = [
            LearningCurve(seed.curve, seed.value) for seed in earlier if seed.value is not None
        ]
        return judge_curve(
            curve,
            curves,
            screen_score(self.incumbent, self.rules, first=1),
            early_stop,
            remaining_sd(self.incumbent, 1, self.rules.seed_count),
        )

    def final_verdict(
        self,
        verdict: Verdict,
        scores_by_seed: Mapping[int, float],  # noqa: ARG002 - what the other rule needs
    ) -> Verdict:
        """Return the verdict unchanged: scores do not count."""
        return verdict

    def seeds_until_next_look(self, done: int) -> int:
        """Return the end of the screening, or the next look after it."""
        screen = self.rules.seed_count
        if done < screen:
            return screen
        return next((screen + look for look in self.rules.looks() if screen + look > done), done)


@dataclass(frozen=True)
class NaiveTest:
    """`judge.rule: naive`: the higher score over the default seeds is kept.

    A `SeedResult` holds the mean over all episodes that were played. The score is over the first
    `eval_episodes` of them and known only from the final report, so `final_verdict` decides.
    """

    plan: Measurement
    incumbent: IncumbentEvidence
    rules: JudgingRules

    def verdict(self, results: Sequence[SeedResult]) -> Verdict | None:
        """Compare the means once all default seeds are evaluated."""
        returns = _returns(self.plan, results)
        if len(returns) < len(self.plan.order):
            return None
        means = dict(zip(self.plan.order, returns, strict=True))
        return judge_naively(self.incumbent.scores_by_seed, means, min_effect=self._min_effect)

    def judge_curve(
        self,
        curve: Sequence[float],  # noqa: ARG002 - what the other rule needs
        earlier: Sequence[SeedResult],  # noqa: ARG002
    ) -> Verdict | None:
        """Return None: this rule trains every challenger to the end."""
        return None

    def final_verdict(
        self,
        verdict: Verdict,  # noqa: ARG002 - what the other rule needs
        scores_by_seed: Mapping[int, float],
    ) -> Verdict:
        """Return the verdict on the scores."""
        return judge_naively(
            self.incumbent.scores_by_seed, scores_by_seed, min_effect=self._min_effect
        )

    def seeds_until_next_look(self, done: int) -> int:  # noqa: ARG002 - there is one look
        """Return the number of default seeds."""
        return len(self.plan.order)

    @property
    def _min_effect(self) -> float:
        # The config allows no multiple of the standard deviation here, so it need not be known.
        return self.rules.numbers.smallest_effect(0.0)


def challenger_test(
    incumbent: IncumbentEvidence, n: int, rung: Rung, rules: JudgingRules
) -> ChallengerTest:
    """Return the test of experiment `n` against this incumbent at this rung."""
    if not rules.needs_reference:
        return NaiveTest(Measurement(rung, rules.default_seeds), incumbent, rules)
    design = challenge_design(incumbent, n, rules)
    stops_early = rules.numbers.early_stop is not None
    plan = Measurement(
        rung,
        design.seeds,
        design.more_seeds,
        checkpoints(rung.train_episodes) if stops_early else (),
    )
    return SequentialTest(plan, design.incumbent, rules)


def _returns(plan: Measurement, results: Sequence[SeedResult]) -> list[float]:
    """Return the returns of results that are in the plan's order, or raise `ValueError`."""
    seeds = tuple(result.seed for result in results)
    if seeds != plan.order[: len(seeds)]:
        raise ValueError(f"the results are of seeds {seeds}, the plan is {plan.order}")
    returns = [result.value for result in results if result.value is not None]
    if len(returns) < len(results):
        raise ValueError("a seed on which the challenger failed has no return to judge by")
    return returns
