"""How a search goes in a simulated world by each rule: what is published, and leads, by the time.

Time is counted in seeds. A challenger whose first seed lies two standard deviations below what it
is compared with costs half a seed, by any rule that stops losers early: its learning curve shows
it. The rules know no value but through seeds; only the oracle does.
"""

import statistics
from collections.abc import Callable
from dataclasses import dataclass, field

from benchmarks.judge import former_rule
from benchmarks.judge.memory import RUNG, SEED_COUNT, RunInMemory
from benchmarks.judge.worlds import Idea, World
from orchestrator.config.schema import JudgeConfig
from orchestrator.core.evaluations import SeedResult, Verdict
from orchestrator.judging.challenger_test import challenger_test
from orchestrator.judging.rules import JudgingRules
from orchestrator.planning.seeds import seeds_due

POINTS = 80
"""Moments of a run at which its values are noted, evenly spaced."""
_STOPPED_S = 0.5
"""What a hopeless challenger costs, in seeds."""
_HOPELESS_SD = 2.0
_NAIVE_STOP_SD = 1.45
"""By so much must a first seed lie below the score to beat that the mean of two is above it with a
probability of 2 % only."""


@dataclass
class Course:
    """The true values of what is published, and of the lead, at each moment of a run."""

    budget: float
    published: list[float] = field(default_factory=list)
    lead: list[float] = field(default_factory=list)
    proposals: int = 0
    kept: int = 0
    false: int = 0
    """Of what was kept, what is no better than what it replaced."""
    claim_error: float | None = None
    """What the run says of its end, less the truth."""
    is_covered: bool | None = None
    """Whether its interval holds the truth."""
    proof_share: float = 0.0
    """Share of the evaluator's time that trials and references took."""
    spent: float = 0.0

    def pay(self, seconds: float, published: float, lead: float | None = None) -> None:
        """Let time pass while these are the values."""
        self.spent += seconds
        while (
            len(self.published) <= POINTS
            and len(self.published) * self.budget / POINTS <= self.spent
        ):
            self.published.append(published)
            self.lead.append(published if lead is None else lead)

    @property
    def is_over(self) -> bool:
        """Is the budget spent?"""
        return self.spent >= self.budget

    def keep(self, old: Idea, new: Idea) -> None:
        """Count something that is kept."""
        self.kept += 1
        self.false += new.mean <= old.mean


Rule = Callable[[World, tuple[int, ...], float, float], Course]
"""Plays one run: the world, the run's key, the budget in seeds, and what a proposal costs."""


def lead_and_proof(world: World, key: tuple[int, ...], budget: float, cost: float) -> Course:
    """Play a run by `judge.rule: sound`, with its defaults."""
    run = RunInMemory(JudgingRules(JudgeConfig(), SEED_COUNT), world.start(*key))
    course, n = Course(budget), 1
    course.pay(SEED_COUNT, 0.0)
    while not course.is_over:
        values = (run.published.mean, run.lead.mean)
        if due := seeds_due(run.state, run.rules, run.evidence()):
            course.pay(run.measure(due), *values)
            continue
        n += 1
        assert isinstance(run.lead, Idea)
        candidate = run.subjects[n] = world.propose(run.lead)
        course.pay(cost, *values)
        verdict, results, spent = judged(run, candidate)
        course.pay(spent, *values)
        run.end(n, verdict.status, results, agent_s=cost, evaluator_s=spent)
    course.pay(0.0, run.published.mean, run.lead.mean)
    counts = run.counts
    course.proposals, course.kept, course.false = n - 1, counts.published, counts.false
    course.proof_share = counts.proof_s / counts.evaluator_s
    if counts.published and (claim := run.claim()):
        course.claim_error = claim.score - run.published.mean
        course.is_covered = claim.low <= run.published.mean <= claim.high
    return course


def judged(run: RunInMemory, candidate: Idea) -> tuple[Verdict, tuple[SeedResult, ...], float]:
    """Measure a challenger until there is a verdict; return its results and their seconds too."""
    test = challenger_test(run.evidence(), RUNG, run.rules)
    results: tuple[SeedResult, ...] = ()
    verdict = None
    while verdict is None:
        seed = test.plan.order[len(results)]
        results += (SeedResult(seed, candidate.on((seed,))[0]),)
        verdict = test.verdict(results)
    return verdict, results, seconds_of(verdict, len(results))


def seconds_of(verdict: Verdict, count: int) -> float:
    """Return what the seeds of a challenger cost: half a one if its curve shows it hopeless."""
    assert verdict.statistic is not None
    assert verdict.boundary is not None
    if count == 1 and verdict.statistic < min(0.0, verdict.boundary) - _HOPELESS_SD:
        return _STOPPED_S
    return float(count)


def naive(world: World, key: tuple[int, ...], budget: float, cost: float) -> Course:
    """Play a run by the public loop's rule: the higher mean of two seeds is kept."""
    return _naive(world, key, budget, cost, stops=False)


def naive_with_stops(world: World, key: tuple[int, ...], budget: float, cost: float) -> Course:
    """Likewise, but losers are stopped by their curve or after their first seed."""
    return _naive(world, key, budget, cost, stops=True)


def _naive(
    world: World, key: tuple[int, ...], budget: float, cost: float, *, stops: bool
) -> Course:
    course, best = Course(budget), world.start(*key)
    course.pay(SEED_COUNT, 0.0)
    score = statistics.fmean(best.on((0, 1)))
    while not course.is_over:
        candidate = world.propose(best)
        course.proposals += 1
        first, second = candidate.on((0, 1))
        behind_sd = (score - first) / world.sd
        spent = float(SEED_COUNT)
        if stops and behind_sd > _NAIVE_STOP_SD:
            spent = _STOPPED_S if behind_sd > _HOPELESS_SD else 1.0
        course.pay(cost + spent, best.mean)
        if spent == SEED_COUNT and (first + second) / 2 > score:
            score = (first + second) / 2
            course.keep(best, candidate)
            best = candidate
    course.pay(0.0, best.mean)
    course.claim_error = score - best.mean
    return course


def former(world: World, key: tuple[int, ...], budget: float, cost: float) -> Course:
    """Play a run by the rule of version 0.1."""
    course, best = Course(budget), world.start(*key)
    course.pay(SEED_COUNT, 0.0)
    references: list[list[float]] = [[]]
    challengers = 0
    while not course.is_over:
        reference = references[0]
        wanted = min(former_rule.MOST_REFERENCE, former_rule.FIRST_REFERENCE + challengers)
        course.pay(wanted - len(reference), best.mean)
        reference += best.on(range(wanted - len(reference)))
        challengers += 1
        candidate = world.propose(best)
        course.proposals += 1
        told = former_rule.judge(
            lambda candidate=candidate: candidate.on((0,))[0],  # type: ignore[misc]
            reference, *former_rule.spread(references),
        )  # fmt: skip
        course.pay(cost + (_STOPPED_S if told.is_hopeless else told.seeds), best.mean)
        if told.is_kept:
            course.keep(best, candidate)
            best, challengers = candidate, 0
            references.insert(0, [])
    course.pay(0.0, best.mean)
    if references[0]:
        course.claim_error = statistics.fmean(references[0]) - best.mean
    return course


def oracle(world: World, key: tuple[int, ...], budget: float, cost: float) -> Course:
    """Play a run by one who knows the truth after a seed."""
    course, best = Course(budget), world.start(*key)
    while not course.is_over:
        candidate = world.propose(best)
        course.proposals += 1
        course.pay(cost + 1.0, best.mean)
        if candidate.mean > best.mean:
            course.keep(best, candidate)
            best = candidate
    course.pay(0.0, best.mean)
    return course
