"""What is known of the lead and of the published candidate at one rung. Pure."""

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from orchestrator.config.schema import SearchNumbers, cheap_proposals
from orchestrator.core.evaluations import Purpose, Report, SeedResult
from orchestrator.core.records import Files
from orchestrator.judging import rulers
from orchestrator.judging.flag_rules import ScoredCandidate
from orchestrator.judging.gains import NO_SPREAD, Spread, pooled_spread
from orchestrator.judging.reference import owner_of, reference_seeds
from orchestrator.judging.seed_correlation import (
    UNKNOWN_CORRELATION,
    SeedCorrelation,
    pairs_of,
    seed_correlation,
)

FRESH = frozenset({Purpose.REFERENCE, Purpose.TRIAL})
"""Purposes of the seeds that did not choose the candidate, and decide what becomes of it."""


@dataclass(frozen=True)
class CandidateEvidence:
    """What is known of one candidate at the current rung."""

    n: int = 0
    """The experiment that proposed it."""
    scored_by: int = 0
    """The experiment that scored it at this rung."""
    chosen_by: tuple[SeedResult, ...] = ()
    """Its results on the default seeds, and on those by which it became the lead."""
    fresh: tuple[SeedResult, ...] = ()
    """Its results on the fresh seeds of the published candidate's time: none of them has chosen it.
    In their order, without gaps."""
    audits: int = 0
    """Seeds measured that decide nothing; their results are not here."""
    scores_by_seed: Mapping[int, float] = field(default_factory=dict)
    """Its scores on the default seeds, which the naive rule compares."""
    scored: ScoredCandidate | None = None
    """What its experiment recorded, for the flags that compare two candidates."""
    files: Files | None = None
    """Its files; None where they are not known, so that nothing is measured against them."""
    is_task: bool = True
    """False before anything was accepted: nothing is compared with a baseline that is no task."""
    changed: tuple[str, ...] = ()
    """What the step to it changed in the environment; names of `judging.rulers`."""

    @property
    def known(self) -> Mapping[int, float]:
        """Mean return by seed."""
        return values_by_seed((*self.chosen_by, *self.fresh))

    @property
    def returns(self) -> tuple[float, ...]:
        """Mean return on each seed that did not choose it."""
        return values_of(self.fresh)

    @property
    def tried(self) -> int:
        """Reference seeds measured, including those on which it failed."""
        return len(self.fresh)

    @property
    def has_failed(self) -> bool:
        """Did it fail on a reference seed?"""
        return any(result.value is None for result in self.fresh)

    @property
    def solved(self) -> tuple[float, ...]:
        """Solve rate on each seed, where it is known."""
        return rates_of((*self.chosen_by, *self.fresh))

    @property
    def solve_rates(self) -> tuple[float, ...]:
        """Solve rates on the seeds that did not choose it; on the others without any."""
        return rates_of(self.fresh) or rates_of(self.chosen_by)

    @property
    def solve_rate(self) -> float | None:
        """The mean of these."""
        rates = self.solve_rates
        return sum(rates) / len(rates) if rates else None

    def is_other_than(self, other: "CandidateEvidence") -> bool:
        """Do these describe two different candidates, or one at two different rungs?"""
        return self.scored_by != other.scored_by


UNMEASURED = CandidateEvidence()


@dataclass(frozen=True)
class SearchEvidence:
    """All that the judge and the planner use of the run at the current rung."""

    lead: CandidateEvidence = UNMEASURED
    """What the next proposal starts from."""
    published: CandidateEvidence = UNMEASURED
    """What was proven last; the lead itself where nothing looks better."""
    former: CandidateEvidence | None = None
    """The lead before this one; None where that is the published candidate."""
    numbers: SearchNumbers = field(default_factory=cheap_proposals)
    """How the lead moves."""
    spread: Spread = NO_SPREAD
    """Of one seed's return within candidates."""
    trial_spread: Spread = NO_SPREAD
    """The same, from what was known before the lead, under the published candidate's reward. With a
    spread that moves as the trial goes on, a look that was taken could pass later."""
    correlation: SeedCorrelation = UNKNOWN_CORRELATION
    """Of two candidates' returns on one seed."""
    eval_episodes: int = 1
    """Evaluation episodes of a seed at this rung."""
    evaluator_s: float = 0.0
    """Evaluator seconds of the run."""
    proof_s: float = 0.0
    """Those of them that trials and claims took."""

    @property
    def is_lead_published(self) -> bool:
        """Is there nothing to prove?"""
        return self.lead.n == self.published.n

    @property
    def may_prove(self) -> bool:
        """May trials take more of the evaluator's time?"""
        return self.proof_s <= self.numbers.proof_share * self.evaluator_s

    @property
    def may_audit(self) -> bool:
        """May seeds that decide nothing? While the run goes on, trials come first."""
        return self.proof_s <= self.numbers.proof_share / 2 * self.evaluator_s


def values_of(results: Sequence[SeedResult]) -> tuple[float, ...]:
    """Return the mean return on each seed that has one."""
    return tuple(result.value for result in results if result.value is not None)


def values_by_seed(results: Iterable[SeedResult]) -> dict[int, float]:
    """Return the mean return by seed, where there is one."""
    return {result.seed: result.value for result in results if result.value is not None}


def rates_of(results: Sequence[SeedResult]) -> tuple[float, ...]:
    """Return the solve rate on each seed that has one."""
    return tuple(result.solve_rate for result in results if result.solve_rate is not None)


def candidate_evidence(
    n: int, scored_by: int, results: Sequence[SeedResult], published_by: int
) -> CandidateEvidence:
    """Gather what is known of a candidate from the results recorded at one rung.

    Args:
        n: the experiment that proposed it.
        scored_by: the experiment that scored it there.
        results: all of that experiment's.
        published_by: the experiment that scored the published candidate there: the seeds of its
            time are the fresh ones. Those of the time before have proven this candidate.
    """
    measured = {result.seed: result for result in results if result.purpose in FRESH}
    fresh = []
    for seed in reference_seeds(published_by, len(measured)):
        if seed not in measured:
            break  # it is in flight: what follows it does not count before it
        fresh.append(measured[seed])
    is_new = {result.seed for result in fresh}
    deciding = [r for r in results if r.purpose is not Purpose.AUDIT]
    before = [r for r in deciding if r.seed not in is_new and not _is_of(r, published_by)]
    audits = len(results) - len(deciding)
    return CandidateEvidence(n, scored_by, tuple(before), tuple(fresh), audits)


def _is_of(result: SeedResult, published_by: int) -> bool:
    return result.purpose in FRESH and owner_of(result.seed) == published_by


def gathered(
    published: CandidateEvidence,
    leads: Sequence[CandidateEvidence],
    references: Mapping[int, Sequence[SeedResult]],
    before: Mapping[int, Sequence[SeedResult]],
    earlier: Mapping[int, Sequence[SeedResult]],
) -> SearchEvidence:
    """Return what is known of lead and published candidate, and of the noise of the run's seeds.

    Spreads are of one reward: not of a lead with another reward than the published candidate's
    beside that, and not of earlier times, whose task may have been another.

    Args:
        published: the published candidate.
        leads: the last steps from it to the lead, the lead last; none where it leads itself.
        references: the fresh results of its time, by the experiment that scored the candidate.
        before: those of candidates that had ended before the lead.
        earlier: those of earlier times, and of who was published then.
    """
    lead = leads[-1] if leads else published
    known = {published.scored_by, lead.scored_by}
    alike = chose = [lead, published] if leads else [lead]
    others = _of_one_reward(references, known)
    if rulers.REWARD in rulers.changed(lead.fresh):
        alike, chose, others = [lead], [published], []
    return SearchEvidence(
        lead,
        published,
        former=leads[-2] if len(leads) > 1 and leads[-2].scored_by else None,
        spread=pooled_spread([*(tuple(side.known.values()) for side in alike), *others]),
        trial_spread=pooled_spread(
            [*(values_of(side.chosen_by) for side in chose), *_of_one_reward(before, known)]
        ),
        correlation=seed_correlation(pairs_of(earlier, published_by=published.scored_by)),
    )


def _of_one_reward(
    references: Mapping[int, Sequence[SeedResult]], known: Collection[int]
) -> list[tuple[float, ...]]:
    """Return the returns of others under the published candidate's reward, the latest first."""
    others = sorted((n for n in references if n not in known), reverse=True)
    return [
        values_of([r for r in references[n] if r.compared is None or not r.compared.rewards])
        for n in others
    ]


def learning_failure(below: Report, above: Report) -> str | None:
    """Return why the candidate fails to learn at a higher rung; None if it learns there.

    Learning means to earn more than random actions from the same starts. A candidate that does
    not learn below either is no failure.

    Args:
        below: its evaluator's report at the current rung.
        above: its report at the rung it should climb to.
    """
    trained, untrained = below.eval_return, below.random_return
    there, random = above.eval_return, above.random_return
    if trained is None or untrained is None or there is None or random is None:
        return None
    if trained > untrained and there <= random:
        return f"it does not learn there: {there:.4f}, and random actions earn {random:.4f}"
    return None
