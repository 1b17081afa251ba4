"""What a candidate is compared by, where it changed the ruler. Pure.

Where the reward changed, returns under the two rewards are never compared. Two quantities are,
with the error probability divided between them (Bonferroni): what the candidate's actions earn by
the *other's* reward, and the solve rate. Where dynamics, success or horizon changed, it is another
task, and only solve rates are looked at.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import islice

from orchestrator.core.evaluations import SeedResult, Verdict
from orchestrator.core.records import Status
from orchestrator.core.text import counted
from orchestrator.judging import rulers
from orchestrator.judging.candidate_evidence import CandidateEvidence, rates_of, values_by_seed
from orchestrator.judging.gains import Gain, Spread, paired_gain, pooled_spread
from orchestrator.judging.solve_rates import fall

RETURN = "return"
RETURN_THERE = "return by the former reward"
SOLVE_RATE = "solve rate"
OTHER_TASK = "other task"
"""Stage of a verdict on another task."""


@dataclass(frozen=True)
class Quantity:
    """One of the quantities that are compared."""

    name: str
    values: Mapping[int, float]
    """The candidate's by seed, in their order."""
    before: Mapping[int, float]
    """Those of what it is compared with."""
    spread: Spread
    correlation: float = 0.0
    """Of the two on one seed."""

    @property
    def is_return(self) -> bool:
        """Is it in points of the score?"""
        return self.name != SOLVE_RATE

    def gain(self) -> Gain:
        """Return the gain on all seeds."""
        return paired_gain(self.values, self.before, self.spread, self.correlation)

    def first(self, count: int) -> "Quantity":
        """Return the quantity on the candidate's first seeds."""
        return replace(self, values=dict(islice(self.values.items(), count)))


def quantities(
    results: Sequence[SeedResult],
    other: CandidateEvidence,
    spread: Spread,
    correlation: float,
    *,
    fresh_only: bool = False,
) -> tuple[Quantity, ...]:
    """Return what a candidate is compared by; what is not known for every seed is not.

    Args:
        results: the candidate's.
        other: what it is compared with.
        spread: of one seed's return.
        correlation: of two candidates' returns on one seed.
        fresh_only: whether only the other's seeds count that did not choose it.
    """
    others = other.fresh if fresh_only else (*other.chosen_by, *other.fresh)
    before = values_by_seed(others)
    if not before or not results:
        return ()
    if rulers.REWARD not in rulers.changed(results):
        return (Quantity(RETURN, values_by_seed(results), before, spread, correlation),)
    found = []
    there = {r.seed: r.compared.return_there for r in results if r.compared is not None}
    if len(there) == len(results):
        found.append(Quantity(RETURN_THERE, there, before, spread, correlation))
    rates, solved = _rates_by_seed(results), _rates_by_seed(others)
    if solved and len(rates) == len(results):
        known = other.chosen_by if fresh_only else others
        rates_spread = pooled_spread([rates_of(known)])
        found.append(Quantity(SOLVE_RATE, rates, solved, rates_spread))
    return tuple(found)


def _rates_by_seed(results: Sequence[SeedResult]) -> dict[int, float]:
    return {r.seed: r.solve_rate for r in results if r.solve_rate is not None}


def judge_by_all(
    tested: Sequence[Quantity], judge: Callable[[Quantity], Verdict | None], count: int
) -> Verdict | None:
    """Adopt the challenger if one quantity is better; discard it once none can be any more.

    Args:
        tested: the quantities.
        judge: the verdict on one of them.
        count: seeds so far.
    """
    verdicts = [(quantity, judge(quantity)) for quantity in tested]
    for quantity, verdict in verdicts:
        if verdict is not None and verdict.status is Status.LEAD:
            return _named(quantity, verdict)
    ended = [(quantity, verdict) for quantity, verdict in verdicts if verdict is not None]
    if len(ended) < len(verdicts):
        return None
    if not ended:
        return Verdict(
            Status.DISCARD, "discarded: the reward changed, and nothing was measured that both "
            "rewards agree on", stage="seeds", evaluations=count,
        )  # fmt: skip
    if len(ended) == 1:
        return _named(*ended[0])
    first, verdict = ended[0]
    whys = [f"{each.name} {_bare(told.reason)}" for each, told in ended]
    reason = f"discarded, with another reward: {'; '.join(whys)}"
    return replace(verdict, reason=reason, quantity=first.name)


def _named(quantity: Quantity, verdict: Verdict) -> Verdict:
    """Return the verdict with what it is about, where that is not the return."""
    if quantity.name == RETURN:
        return verdict
    text = f"{quantity.name} {_bare(verdict.reason)}"
    is_lead = verdict.status is Status.LEAD
    reason = (
        f"takes the lead, with another reward: {text}"
        if is_lead
        else (f"discarded, with another reward: {text}")
    )
    return replace(
        verdict, reason=reason, gain_text=f"{quantity.name} {verdict.gain_text}",
        quantity=quantity.name,
    )  # fmt: skip


def _bare(reason: str) -> str:
    return reason.removeprefix("discarded: ").removeprefix("takes the lead: ")


def judge_other_task(
    solved: Sequence[float],
    results: Sequence[SeedResult],
    *,
    seeds: int,
    seed_count: int,
    episodes: int,
) -> Verdict | None:
    """Return whether another task may open a new epoch: its solve rate must not be worse.

    A `keep` is only that: a reviewer or a person must agree.

    Args:
        solved: the lead's solve rate on each seed that it is compared on.
        results: the challenger's.
        seeds: how many of them are needed.
        seed_count: default seeds.
        episodes: evaluation episodes a seed.
    """
    count = len(results)
    if count < seed_count:
        return None
    verdict = Verdict(
        Status.DISCARD, "", stage=OTHER_TASK, evaluations=count, quantity=SOLVE_RATE,
        is_other_task=True,
    )  # fmt: skip
    what = f"another task ({', '.join(rulers.changed(results))} changed)"
    if fell := fall(solved, rates_of(results), episodes):
        return replace(verdict, reason=f"discarded: {what}, and the {fell}")
    if count < seeds:
        return None
    text = f"no lower solve rate over {counted(count, 'seed')}"
    return replace(verdict, status=Status.KEEP, reason=f"{what}: {text}", gain_text=text)
