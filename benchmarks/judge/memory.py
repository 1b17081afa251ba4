"""A run of the product's rule in memory: its planner measures, its judge decides, nothing trains.

What the engine has from ledger and evaluator comes from synthetic returns here; what to measure,
when the lead moves, goes back or is proven, and how the state follows is the daemon's own code.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Protocol

from orchestrator.core.evaluations import Purpose, SeedResult
from orchestrator.core.experiments import Experiment, LeadMove, MoveKind, Seconds
from orchestrator.core.records import Rung, Status
from orchestrator.judging.candidate_evidence import (
    FRESH,
    CandidateEvidence,
    SearchEvidence,
    candidate_evidence,
    gathered,
)
from orchestrator.judging.lead import next_move
from orchestrator.judging.reference import Validated, owner_of, validated
from orchestrator.judging.rules import JudgingRules
from orchestrator.planning.seeds import MeasureCandidate, last_seeds
from orchestrator.planning.state import Incumbent, RunState

RUNG = Rung(12, 8)
SEED_COUNT = 2
"""Default seeds of the evaluator."""
_LAST_REFERENCES = 10
"""How many of them the ledger gives."""


class Subject(Protocol):
    """A candidate whose true value is known."""

    @property
    def mean(self) -> float:
        """Its true value."""

    def on(self, seeds: Sequence[int]) -> list[float]:
        """Return its return on each of these seeds."""


@dataclass
class Counts:
    """What has happened in a run."""

    published: int = 0
    """Candidates proven."""
    false: int = 0
    """Those of them that are no better than what was published before."""
    moves: int = 0
    """Challengers that took the lead."""
    rollbacks: int = 0
    proof_s: float = 0.0
    evaluator_s: float = 0.0


class RunInMemory:
    """State and evidence of one run. A seed takes one second.

    Args:
        rules: the rules of the run.
        start: its first candidate.
    """

    def __init__(self, rules: JudgingRules, start: Subject) -> None:
        self.rules = rules
        self.counts = Counts()
        self.subjects = {1: start}
        self._results: dict[int, tuple[SeedResult, ...]] = {}
        self._measured: dict[int, set[int]] = {}
        """Who has fresh seeds, by the owner of their time."""
        self._earlier: tuple[int, dict[int, list[SeedResult]]] = 0, {}
        """Those of the times before one."""
        self._reference_s = 0.0
        self._known: dict[int, tuple[tuple[int, int], CandidateEvidence]] = {}
        self._evidence: SearchEvidence | None = None
        self._ended = 0
        self.state = RunState()
        seeds = rules.default_seeds
        self.end(1, Status.BASELINE, tuple(map(SeedResult, seeds, start.on(seeds))))

    # What is known.

    @property
    def published(self) -> Subject:
        """The published candidate."""
        assert self.state.incumbent is not None
        return self.subjects[self.state.incumbent.n]

    @property
    def lead(self) -> Subject:
        """What the next proposal starts from."""
        assert self.state.lead is not None
        return self.subjects[self.state.lead.n]

    def evidence(self) -> SearchEvidence:
        """Return what is known of lead and published candidate, as `engine.answers` reads it."""
        if self._evidence is None:
            self._evidence = self._read_evidence()
        return self._evidence

    def _read_evidence(self) -> SearchEvidence:
        state = self.state
        assert state.incumbent is not None
        owner = state.incumbent.n
        published = self._candidate(state.incumbent, owner)
        leads = [self._candidate(step, owner) for step in state.leads[-2:]]
        now = sorted(self._measured.get(owner, ()))
        references = {n: self._fresh(n, owner) for n in now[-_LAST_REFERENCES:]}
        last = [n for n in now if leads and n < leads[-1].n][-_LAST_REFERENCES:]
        before = {n: self._fresh(n, owner) for n in last}
        if self._earlier[0] != owner:
            self._earlier = owner, self._of_earlier_times(owner)
        return self._timed(gathered(published, leads, references, before, self._earlier[1]))

    def _of_earlier_times(self, owner: int) -> dict[int, list[SeedResult]]:
        """Return the last candidates' fresh seeds of times before, and their owners'."""
        times = {n: {o for o in self._measured if n in self._measured[o]} - {owner}
                 for n in set().union(*self._measured.values())}  # fmt: skip
        last = sorted(n for n, owners in times.items() if owners)[-_LAST_REFERENCES:]
        wanted = {*last, *(o for n in last for o in times[n])}
        return {n: [r for o in times.get(n, ()) for r in self._fresh(n, o)] for n in sorted(wanted)}

    def _timed(self, evidence: SearchEvidence) -> SearchEvidence:
        """Return the evidence with the times so far, which are all that a discard changes."""
        state = self.state
        return replace(
            evidence,
            numbers=self.rules.search(state.mean_agent_s, state.seed_s),
            evaluator_s=state.evaluator_s + self._reference_s,
            proof_s=self.counts.proof_s,
        )

    def _candidate(self, step: Incumbent, owner: int) -> CandidateEvidence:
        results = self._results[step.n]
        key = (len(results), owner)
        if self._known.get(step.n, (None,))[0] != key:
            self._known[step.n] = key, candidate_evidence(step.n, step.n, results, owner)
        return self._known[step.n][1]

    def _fresh(self, n: int, owner: int) -> list[SeedResult]:
        return [r for r in self._results[n] if r.purpose in FRESH and owner_of(r.seed) == owner]

    # What happens.

    def measure(self, due: MeasureCandidate) -> int:
        """Measure a candidate on the seeds of a step; return how many it took.

        The lead may move after each of them, and what leads no more is measured no further.
        """
        for count, seed in enumerate(due.seeds, 1):
            self.add_seeds(due, (seed,))
            self.move_lead()
            if self.state.lead_or_published(due.n) is None:
                return count
        return len(due.seeds)

    def add_seeds(self, due: MeasureCandidate, seeds: Sequence[int]) -> None:
        """Measure a candidate on some seeds of a step."""
        values = self.subjects[due.n].on(seeds)
        new = (SeedResult(*pair, purpose=due.purpose) for pair in zip(seeds, values, strict=True))
        self._results[due.n] = (*self._results[due.n], *new)
        self._measured.setdefault(owner_of(seeds[0]), set()).add(due.n)
        self._reference_s += len(seeds)
        self.counts.evaluator_s += len(seeds)
        self.counts.proof_s += len(seeds) * (due.purpose is not Purpose.REFERENCE)
        self._evidence = None

    def end(
        self,
        n: int,
        status: Status,
        results: Sequence[SeedResult],
        *,
        agent_s: float = 0.0,
        evaluator_s: float | None = None,
    ) -> None:
        """Record the end of an experiment.

        Args:
            n: its number; its candidate stands in `subjects`.
            status: `LEAD`, `DISCARD`, or `BASELINE` for the first one.
            results: its seeds.
            agent_s: seconds that its proposal took.
            evaluator_s: seconds of its evaluation; a second for each seed where that is absent.
        """
        spent = len(results) if evaluator_s is None else evaluator_s
        self._ended += 1
        scores = {r.seed: r.value for r in results[:SEED_COUNT] if r.value is not None}
        ending = Experiment(
            n, "", status is Status.BASELINE, status, RUNG, "", commit=str(n), score=0.0,
            scores_by_seed=scores, seconds=Seconds(agent_s, spent), ended=self._ended,
            verdict={"lead": True} if status is Status.LEAD else {},
        )  # fmt: skip
        self._results[n] = tuple(results)
        self.state = self.state.after(ending)
        self.counts.evaluator_s += spent
        self.counts.moves += status is Status.LEAD
        if status is Status.DISCARD:
            del self._results[n], self.subjects[n]
            self._evidence = self._timed(self.evidence())
        else:
            self._evidence = None
            self.move_lead()

    def move_lead(self) -> None:
        """Have the lead go back, or be proven, as often as the evidence asks for it."""
        while move := next_move(self.evidence(), self.rules):
            if move.kind is MoveKind.PROMOTION:
                self.counts.published += 1
                self.counts.false += self.lead.mean <= self.published.mean
            else:
                self.counts.rollbacks += 1
            record = LeadMove(move.kind, move.to, self._ended, move.reason, seeds=move.seeds)
            self.state = self.state.after_move(record)
            self._evidence = None

    def claim(self) -> Validated | None:
        """Measure what the run ends with, as it does before it ends, and return what it claims."""
        while due := last_seeds(self.state, self.rules, self.evidence()):
            self.add_seeds(due, due.seeds)  # what was published last stays so
        n = self.evidence().published.scored_by
        return validated(n, self._results[n])
