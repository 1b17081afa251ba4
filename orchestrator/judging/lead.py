"""The lead: what the next proposal starts from. It moves on weak evidence, and goes back. Pure.

A challenger is compared with the lead after each of its seeds: dropped where it looks no better,
adopted where it does. Moving on to what is no better costs nothing, and what is worse is found out
by the lead's own seeds, which did not choose it: then the lead goes back. What is claimed rests on
the trial (`trial.py`) alone.
"""

from dataclasses import dataclass, replace

from orchestrator.config.schema import SearchNumbers
from orchestrator.core.evaluations import Verdict
from orchestrator.core.experiments import MoveKind
from orchestrator.core.records import Status
from orchestrator.core.text import counted, percent
from orchestrator.judging import rulers
from orchestrator.judging.candidate_evidence import CandidateEvidence, SearchEvidence
from orchestrator.judging.gains import Gain, Spread
from orchestrator.judging.rules import JudgingRules
from orchestrator.judging.solve_rates import fall
from orchestrator.judging.trial import Trial, trial
from orchestrator.judging.two_rulers import RETURN, Quantity, quantities


@dataclass(frozen=True)
class Move:
    """A move of the lead that the evidence asks for."""

    kind: MoveKind
    to: int
    """The experiment whose candidate is the lead after it."""
    reason: str
    gain: Gain | None = None
    """Over what the lead was compared with."""
    seeds: int = 0
    """Of the lead."""


# -- challengers -----------------------------------------------------------------------------------


def judge_challenger(quantity: Quantity, numbers: SearchNumbers, seed_count: int) -> Verdict | None:
    """Return whether a challenger becomes the lead or is discarded; None while it needs more seeds.

    Args:
        quantity: the challenger's returns beside the lead's, on the default seeds first.
        numbers: how the lead moves.
        seed_count: default seeds; without all of them nothing becomes the lead.
    """
    count, found, spread = len(quantity.values), quantity.gain(), quantity.spread
    is_last = count >= max(numbers.seeds, seed_count)
    needed = numbers.adopt if is_last else numbers.adopt_early
    if count >= seed_count and found.z > needed:
        return _verdict(Status.LEAD, found, spread, count, needed)
    if not is_last:
        needed = drop_below(numbers, count)
        if found.z >= needed:
            return None
    return _verdict(Status.DISCARD, found, spread, count, needed)


def drop_below(numbers: SearchNumbers, count: int) -> float:
    """Return the gain in standard errors below which `count` seeds drop a challenger."""
    return numbers.drop[min(count, len(numbers.drop)) - 1]


def _verdict(status: Status, found: Gain, spread: Spread, count: int, needed: float) -> Verdict:
    shrunk = found.shrunk(spread.sd)
    text = f"{found} over {counted(count, 'seed')}"
    chance = f"{percent(shrunk.probability)} likely to be better"
    if status is Status.LEAD:
        reason = f"takes the lead: {text}, {chance}"
    elif found.standard_error:
        reason = f"discarded: {text}, {chance}"
    else:
        reason = f"discarded: {text} (the seeds all score the same)"
    return Verdict(
        status, reason, stage="seeds", gain=found.value, standard_error=found.standard_error,
        statistic=found.z, boundary=needed, estimate=shrunk.value,
        estimate_se=shrunk.standard_error, evaluations=count, gain_text=text,
    )  # fmt: skip


# -- moves -----------------------------------------------------------------------------------------


def next_move(search: SearchEvidence, rules: JudgingRules) -> Move | None:
    """Return how the lead must move by the evidence so far, None if it stays."""
    if search.is_lead_published:
        return None
    return _rollback(search) or _promotion(search, rules)


def _rollback(search: SearchEvidence) -> Move | None:
    lead, published = search.lead, search.published
    former = search.former or published

    def back(to: CandidateEvidence, reason: str, found: Gain | None = None) -> Move:
        return Move(MoveKind.ROLLBACK, to.n, reason, found, len(lead.returns))

    if lead.has_failed:
        return back(former, "the lead failed on a fresh seed")
    changed = rulers.changed(lead.fresh)
    if rulers.is_other_task(changed):
        return back(published, f"the lead is another task ({', '.join(changed)} changed)")
    if fell := fall(published.solved, lead.solved, search.eval_episodes):
        return back(published, f"the lead's {fell}")
    numbers = search.numbers
    for other, least in ((former, numbers.back), (published, numbers.back_to_published)):
        found = _gain_over(other, search)
        if found is not None and found.z < least:
            text = f"{found} against #{other.n}, over {counted(len(lead.returns), 'fresh seed')}"
            return back(other, f"the lead disappointed: {text}", found)
    return None


def _gain_over(other: CandidateEvidence, search: SearchEvidence) -> Gain | None:
    """Return the lead's gain over another candidate under one ruler; None where there is none."""
    lead = search.lead
    if not lead.returns:
        return None
    is_published = other.n == search.published.n
    if not is_published and rulers.REWARD in lead.changed:
        return None  # its fresh seeds were played in the published candidate's environment
    results = lead.fresh if is_published else [replace(r, compared=None) for r in lead.fresh]
    is_other = rulers.REWARD in rulers.changed(results)
    spread = search.trial_spread if is_other else search.spread
    tested = quantities(
        results, other, spread, search.correlation.estimate, fresh_only=bool(other.returns)
    )
    return max((each.gain() for each in tested), key=lambda each: each.z, default=None)


def _promotion(search: SearchEvidence, rules: JudgingRules) -> Move | None:
    for quantity, stands in trials(search, rules):
        if stands.passed is None or stands.at is None:
            continue
        found, look = stands.passed, stands.at
        what = "" if quantity.name == RETURN else f"{quantity.name} "
        text = f"{what}{found} over {look.seeds} and {look.reference} fresh seeds"
        reason = f"proven against #{search.published.n}: {text}"
        return Move(MoveKind.PROMOTION, search.lead.n, reason, found, len(search.lead.fresh))
    return None


def trials(search: SearchEvidence, rules: JudgingRules) -> list[tuple[Quantity, Trial]]:
    """Return where the lead's trial stands, of each quantity that is tested."""
    is_shared = search.correlation.is_shared
    tested = quantities(
        search.lead.fresh, search.published, search.trial_spread, 0.0, fresh_only=True
    )
    stands = []
    for quantity in tested:
        own = rules.share_of_alpha(1 / len(tested), in_score_points=quantity.is_return)
        values, before = tuple(quantity.values.values()), tuple(quantity.before.values())
        by_pairs = is_shared and not search.published.has_failed
        stands.append((quantity, trial(values, before, quantity.spread, own, by_pairs=by_pairs)))
    return stands
