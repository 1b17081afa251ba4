"""The test of one challenger: what to measure, and the verdict on the results so far. Pure.

A test is a value that never changes: it says which seeds to evaluate, and is asked for a verdict
with one more result each time. `challenger_test` chooses it by `judge.rule`, once per challenger.
The seeds do not depend on what the challenger changed; what is compared on them does, and is
decided by all results so far: a change that a later seed shows counts from then on.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Protocol

from orchestrator.core.evaluations import Measurement, SeedResult, Verdict
from orchestrator.core.records import Files, Rung
from orchestrator.judging import rulers
from orchestrator.judging.candidate_evidence import SearchEvidence
from orchestrator.judging.default_seed_tests import FirstTaskTest, NaiveTest, returns_of
from orchestrator.judging.early_stopping import LearningCurve, checkpoints, judge_curve
from orchestrator.judging.gains import paired_gain
from orchestrator.judging.lead import drop_below, judge_challenger
from orchestrator.judging.reference import default_seeds
from orchestrator.judging.rules import JudgingRules
from orchestrator.judging.solve_rates import guarded
from orchestrator.judging.two_rulers import Quantity, judge_by_all, judge_other_task, quantities


class ChallengerTest(Protocol):
    """The test of one challenger against one lead."""

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

    def final_verdict(
        self,
        verdict: Verdict,
        scores_by_seed: Mapping[int, float],
        results: Sequence[SeedResult] = (),
    ) -> Verdict:
        """Return the verdict to record, once the evaluation has ended.

        Args:
            verdict: what `verdict` or `judge_curve` returned.
            scores_by_seed: the challenger's scores on the default seeds, by the final report.
            results: those that the verdict rests on.
        """


@dataclass(frozen=True)
class LeadTest:
    """`judge.rule: sound`: the challenger is compared with the lead after each of its seeds."""

    plan: Measurement
    search: SearchEvidence
    rules: JudgingRules

    def verdict(self, results: Sequence[SeedResult]) -> Verdict | None:
        """Return whether it takes the lead or is dropped; None while that is open."""
        returns_of(self.plan, results)
        changed, lead = rulers.changed(results), self.search.lead
        episodes = self.plan.rung.eval_episodes
        if rulers.is_other_task(changed):
            verdict = judge_other_task(
                lead.solved, results, seeds=len(self.plan.order),
                seed_count=self.rules.seed_count, episodes=episodes,
            )  # fmt: skip
        else:
            tested = quantities(results, lead, self.search.spread, self.search.correlation.estimate)
            verdict = judge_by_all(tested, self._judged, len(results))
        if verdict is None:
            return None
        return replace(guarded(verdict, lead.solved, results, episodes), changed=changed)

    def _judged(self, quantity: Quantity) -> Verdict | None:
        """Return the first verdict on a quantity; what was dropped once stays dropped."""
        counts = range(1, len(quantity.values) + 1)
        numbers, seed_count = self.search.numbers, self.rules.seed_count
        verdicts = (
            judge_challenger(quantity.first(count), numbers, seed_count) for count in counts
        )
        return next((verdict for verdict in verdicts if verdict is not None), None)

    def judge_curve(self, curve: Sequence[float], earlier: Sequence[SeedResult]) -> Verdict | None:
        """Predict from the curve whether the challenger would be dropped after this seed."""
        early_stop = self.rules.numbers.early_stop
        search, seed = self.search, self.plan.order[0]
        lead = search.lead.known
        if early_stop is None or self.plan.compared_with is not None or not lead:
            return None
        curves = [
            LearningCurve(result.curve, result.value)
            for result in earlier
            if result.value is not None
        ]
        at_zero = paired_gain({seed: 0.0}, lead, search.spread, search.correlation.estimate)
        needed = drop_below(search.numbers, 1) * at_zero.standard_error - at_zero.value
        return judge_curve(
            curve, curves, needed, early_stop, train_episodes=self.plan.rung.train_episodes
        )

    def final_verdict(
        self,
        verdict: Verdict,
        scores_by_seed: Mapping[int, float],  # noqa: ARG002 - what the other rule needs
        results: Sequence[SeedResult] = (),  # noqa: ARG002
    ) -> Verdict:
        """Return the verdict unchanged: scores do not count."""
        return verdict


def challenger_test(
    search: SearchEvidence,
    rung: Rung,
    rules: JudgingRules,
    files: Files | None = None,
) -> ChallengerTest:
    """Return the test of a challenger against the lead at this rung.

    Args:
        search: what is known of the lead.
        rung: the budget.
        rules: the rules of the run.
        files: the challenger's; None where its environment is the lead's.
    """
    lead = search.lead
    if not lead.is_task:
        return FirstTaskTest(Measurement(rung, rules.default_seeds))
    other = _other_environment(lead.files, files)
    if not rules.has_lead:
        plan = Measurement(rung, rules.default_seeds, compared_with=other)
        return NaiveTest(plan, lead, rules)
    stops_early = rules.numbers.early_stop is not None and other is None
    plan = Measurement(
        rung,
        rules.default_seeds,
        default_seeds(search.numbers.seeds)[rules.seed_count :],
        checkpoints(rung.train_episodes) if stops_early else (),
        compared_with=other,
    )
    return LeadTest(plan, search, rules)


def _other_environment(lead: Files | None, challenger: Files | None) -> Files | None:
    """Return the lead's files if its environment is other code than the challenger's."""
    if lead is None or challenger is None:
        return None
    return None if rulers.same_environment(lead, challenger) else lead
