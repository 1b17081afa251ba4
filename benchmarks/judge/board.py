"""A board of four candidates and proof, for comparison alone: what one lead was chosen over.

The four with the highest estimates are kept, and the one that the next proposal changes is drawn
by Thompson sampling. Challengers, trials and their numbers are those of lead and proof, with the
same functions; the two best of the board get the seeds that the lead would get.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass, field

from benchmarks.judge.courses import SEED_COUNT, Course, seconds_of
from benchmarks.judge.worlds import Draws, Idea, World
from orchestrator.config.schema import JudgeConfig, SearchNumbers
from orchestrator.core.evaluations import Verdict
from orchestrator.core.records import Status
from orchestrator.judging.gains import Gain, Spread, pooled_spread, variance_of_mean
from orchestrator.judging.lead import judge_challenger
from orchestrator.judging.rules import JudgingRules
from orchestrator.judging.trial import Trial, trial
from orchestrator.judging.two_rulers import RETURN, Quantity

SIZE = 4
_FIRST = 2
"""Fresh seeds of a candidate that is new on the board."""
_LEAST_CHANCE = 0.5
_THOMPSON = 1


@dataclass(eq=False)
class Member:
    """A candidate on the board."""

    idea: Idea
    expected: float
    """Its parent's estimate when it was proposed: what it is expected to be worth by itself."""
    chosen: list[float]
    fresh: list[float] = field(default_factory=list)
    """Returns on seeds that did not choose it, since what is published was published."""

    @property
    def returns(self) -> list[float]:
        """All its returns."""
        return [*self.chosen, *self.fresh]

    def estimate(self, spread: Spread) -> Gain:
        """Return its value as estimated, shrunk towards what was expected."""
        variance, freedom = variance_of_mean(self.returns, spread)
        mean = sum(self.returns) / len(self.returns)
        over = Gain(mean - self.expected, math.sqrt(variance), freedom).shrunk(spread.sd)
        return Gain(self.expected + over.value, over.standard_error, freedom)


class Board:
    """One run."""

    def __init__(self, start: Idea, draws: Draws, cost: float, course: Course) -> None:
        self.rules = JudgingRules(JudgeConfig(), SEED_COUNT)
        self.numbers: SearchNumbers = self.rules.search(cost, 1.0)
        self.course, self._draws = course, draws
        values = start.on(range(SEED_COUNT))
        self.published = Member(start, sum(values) / len(values), values)
        self.members = [self.published]
        self._proposals = 0
        self._given = 0
        self._proof_s, self._evaluator_s = 0.0, float(SEED_COUNT)

    # What is known.

    def spread(self) -> Spread:
        """Return the spread of one seed's return, from all that are on the board."""
        everybody = {id(m): m for m in (*reversed(self.members), self.published)}
        return pooled_spread([m.returns for m in everybody.values()])

    def best(self) -> Member:
        """Return the member with the highest estimate."""
        spread = self.spread()
        return max(self.members, key=lambda each: each.estimate(spread).value)

    def values(self) -> tuple[float, float]:
        """Return the true values of what is published, and of the best of the board."""
        return self.published.idea.mean, self.best().idea.mean

    # What happens.

    def measure(self, member: Member, count: int, *, proof: bool = False) -> None:
        """Measure a member on further fresh seeds."""
        self.course.pay(count, *self.values())
        member.fresh += member.idea.on(range(count))
        self._evaluator_s += count
        self._proof_s += count * proof

    def prove(self) -> bool:
        """Go on with the trial of the best, if it may; return whether anything was done."""
        best, published = self.best(), self.published
        if best is published:
            return False
        stands = self._trial(best)
        if stands.passed:
            self._publish(best)
            return True
        may = self._proof_s <= self.numbers.proof_share * self._evaluator_s
        if stands.next is None or not may or stands.chance < _LEAST_CHANCE:
            return False
        for member, wanted in ((published, stands.next.reference), (best, stands.next.seeds)):
            missing = min(4, wanted - len(member.fresh))
            if missing > 0:
                self.measure(member, missing, proof=True)
                return True
        return False

    def _trial(self, best: Member) -> Trial:
        # Of what chose them alone, so that it does not move with the seeds of the trial.
        others = [each.chosen for each in self.members]
        spread = pooled_spread([best.chosen, self.published.chosen, *others])
        return trial(best.fresh, self.published.fresh, spread, self.rules)

    def _publish(self, best: Member) -> None:
        self.course.keep(self.published.idea, best.idea)
        self.published = best
        for member in self.members:  # what has proven it does not prove the next
            member.chosen, member.fresh = member.returns, []

    def keep_up(self) -> bool:
        """Give new members and, now and then, the two best a seed; return whether any was given."""
        for member in (self.published, *self.members):
            if len(self.members) > 1 and len(member.returns) < SEED_COUNT + _FIRST:
                self.measure(member, 1)
                return True
        if self._given >= self._proposals // self.numbers.lead_every:
            return False
        self._given += 1
        spread = self.spread()
        ranked = sorted(self.members, key=lambda each: -each.estimate(spread).value)[:2]
        least = min(ranked, key=lambda each: len(each.fresh))
        if len(least.fresh) >= self.numbers.lead_seeds:
            return False
        self.measure(least, 1)
        return True

    def challenge(self, world: World, cost: float) -> None:
        """Propose a change of a member, measure it, and put it on the board if it may be better."""
        spread = self.spread()
        guesses = [each.estimate(spread) for each in self.members]
        drawn = [g.value + g.standard_error * self._draws.normal() for g in guesses]
        parent = self.members[drawn.index(max(drawn))]
        expected = parent.estimate(spread).value
        self._proposals += 1
        self.course.proposals += 1
        candidate = world.propose(parent.idea)
        self.course.pay(cost, *self.values())
        returns: list[float] = []
        verdict: Verdict | None = None
        while verdict is None:
            returns += candidate.on((0,))
            verdict = self._judged(returns, parent, spread)
        spent = seconds_of(verdict, len(returns))
        self._evaluator_s += spent
        self.course.pay(spent, *self.values())
        if verdict.status is Status.LEAD:
            self._admit(Member(candidate, expected, returns))

    def _judged(self, returns: Sequence[float], parent: Member, spread: Spread) -> Verdict | None:
        before = dict(enumerate(parent.returns, 1_000))
        quantity = Quantity(RETURN, dict(enumerate(returns)), before, spread)
        return judge_challenger(quantity, self.numbers, SEED_COUNT)

    def _admit(self, member: Member) -> None:
        spread = self.spread()
        self.members.append(member)
        self.members.sort(key=lambda each: -each.estimate(spread).value)
        del self.members[SIZE:]


def board_and_proof(world: World, key: tuple[int, ...], budget: float, cost: float) -> Course:
    """Play a run by a board of four and proof."""
    course = Course(budget)
    course.pay(SEED_COUNT, 0.0)
    board = Board(world.start(*key), Draws(*key, _THOMPSON), cost, course)
    while not course.is_over:
        if not (board.prove() or board.keep_up()):
            board.challenge(world, cost)
    course.pay(0.0, *board.values())
    return course
