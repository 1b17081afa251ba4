"""Tests on the default seeds alone: the naive rule, and the first task. Pure."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from orchestrator.core.evaluations import Measurement, SeedResult, Verdict
from orchestrator.core.records import Status
from orchestrator.judging import rulers
from orchestrator.judging.candidate_evidence import CandidateEvidence
from orchestrator.judging.naive_rule import judge_naively
from orchestrator.judging.rules import JudgingRules
from orchestrator.judging.solve_rates import guarded
from orchestrator.judging.two_rulers import RETURN_THERE, SOLVE_RATE, judge_other_task

FIRST_TASK = "first task"
"""Stage of a verdict without an incumbent to compare with."""


@dataclass(frozen=True)
class NaiveTest:
    """`judge.rule: naive`: the higher score over the default seeds is kept.

    A `SeedResult` holds the mean over all episodes that were played. The score is over the first
    `eval_episodes` of them and known only from the final report, so `final_verdict` decides.
    """

    plan: Measurement
    incumbent: CandidateEvidence
    rules: JudgingRules

    def verdict(self, results: Sequence[SeedResult]) -> Verdict | None:
        """Compare the means once all default seeds are evaluated."""
        returns = returns_of(self.plan, results)
        if len(returns) < len(self.plan.order):
            return None
        return self._judged(dict(zip(self.plan.order, returns, strict=True)), results)

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
        results: Sequence[SeedResult] = (),
    ) -> Verdict:
        """Return the verdict on the scores."""
        return self._judged(scores_by_seed, results)

    def _judged(self, scores: Mapping[int, float], results: Sequence[SeedResult]) -> Verdict:
        changed, episodes = rulers.changed(results), self.plan.rung.eval_episodes
        solved = list(self._rates_before().values())
        count = self.rules.seed_count
        if rulers.is_other_task(changed):
            other = judge_other_task(
                solved, results, seeds=count, seed_count=count, episodes=episodes
            )
            assert other is not None, "all seeds of this rule are default ones"
            return replace(other, changed=changed)
        if rulers.REWARD in changed:
            verdict = self._with_another_reward(results)
        else:
            verdict = self._compared(self.incumbent.scores_by_seed, scores)
        return replace(guarded(verdict, solved, results, episodes), changed=changed)

    def _with_another_reward(self, results: Sequence[SeedResult]) -> Verdict:
        """Compare what both rewards agree on: the better of the two comparisons counts."""
        there = {r.seed: r.compared.return_there for r in results if r.compared is not None}
        rates = {r.seed: r.solve_rate for r in results if r.solve_rate is not None}
        before = self._rates_before()
        verdicts = []
        if there:
            verdicts.append((RETURN_THERE, self._compared(self.incumbent.scores_by_seed, there)))
        if rates and before.keys() >= rates.keys():
            known = {seed: before[seed] for seed in rates}
            verdicts.append((SOLVE_RATE, judge_naively(known, rates, min_effect=0.0)))
        kept = [each for each in verdicts if each[1].status is Status.KEEP]
        name, verdict = (kept or verdicts)[0]
        words = "; ".join(f"{name} {each.gain_text}" for name, each in kept[:1] or verdicts)
        is_kept = "kept" if kept else "discarded"
        return replace(
            verdict, reason=f"{is_kept}, with another reward: {words}", gain_text=words,
            quantity=name,
        )  # fmt: skip

    def _rates_before(self) -> dict[int, float]:
        """Return the incumbent's solve rate on each default seed."""
        known = (seed for seed in self.incumbent.chosen_by if seed.seed in self.plan.seeds)
        return {seed.seed: seed.solve_rate for seed in known if seed.solve_rate is not None}

    def _compared(self, before: Mapping[int, float], after: Mapping[int, float]) -> Verdict:
        # The config allows no multiple of the standard deviation here, so it need not be known.
        return judge_naively(before, after, min_effect=self.rules.numbers.smallest_effect(0.0))


@dataclass(frozen=True)
class FirstTaskTest:
    """There is no incumbent to compare with: the first task that is valid becomes the baseline.

    Whether it is a task is decided by its report (`task_rules.no_task`).
    """

    plan: Measurement

    def verdict(self, results: Sequence[SeedResult]) -> Verdict | None:
        """Return a keep once all default seeds are evaluated."""
        returns = returns_of(self.plan, results)
        if len(returns) < len(self.plan.order):
            return None
        return Verdict(
            Status.KEEP, "becomes the baseline: there was no task to improve on before it",
            stage=FIRST_TASK, evaluations=len(returns), gain_text="being the first task",
        )  # fmt: skip

    def judge_curve(
        self,
        curve: Sequence[float],  # noqa: ARG002 - what the other rules need
        earlier: Sequence[SeedResult],  # noqa: ARG002
    ) -> Verdict | None:
        """Return None: there is nothing to fall behind."""
        return None

    def final_verdict(
        self,
        verdict: Verdict,
        scores_by_seed: Mapping[int, float],  # noqa: ARG002 - what another rule needs
        results: Sequence[SeedResult] = (),  # noqa: ARG002
    ) -> Verdict:
        """Return the verdict unchanged."""
        return verdict


def returns_of(plan: Measurement, results: Sequence[SeedResult]) -> list[float]:
    """Return the returns of results that are in the plan's order.

    Raises:
        ValueError: they are not, or a seed has no return.
    """
    seeds = tuple(result.seed for result in results)
    if seeds != plan.order[: len(seeds)]:
        raise ValueError(f"the results are of seeds {seeds}, the plan is {plan.order}")
    returns = [result.value for result in results if result.value is not None]
    if len(returns) < len(results):
        raise ValueError("a seed on which the challenger failed has no return to judge by")
    return returns
