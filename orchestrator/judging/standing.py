"""How the lead stands against the published candidate, for people and agents. Pure.

What is said is an estimate that decides nothing: shrunk towards 0, for what was chosen because it
looked best was lucky too. What is proven is decided in `trial.py` alone.
"""

from dataclasses import dataclass

from orchestrator.judging import rulers
from orchestrator.judging.candidate_evidence import SearchEvidence
from orchestrator.judging.gains import Gain
from orchestrator.judging.lead import trials
from orchestrator.judging.rules import JudgingRules
from orchestrator.judging.trial import Look
from orchestrator.judging.two_rulers import RETURN, quantities


@dataclass(frozen=True)
class TrialStanding:
    """Where the trial of the lead stands."""

    look: int
    """The look that is taken next, from 1."""
    looks: int
    next: Look
    chance: float
    """Predictive probability that it will pass."""


@dataclass(frozen=True)
class LeadStanding:
    """What is known of a lead that is not proven."""

    n: int
    published: int
    gain: Gain | None
    """Over the published candidate, shrunk towards 0; None where nothing is comparable yet."""
    seeds: int = 0
    """Seeds of the lead behind the gain."""
    is_fresh: bool = False
    """Whether they are fresh. If not, they are those that chose it, which flatter it."""
    quantity: str = RETURN
    """What the gain is of; a name of `judging.two_rulers`."""
    trial: TrialStanding | None = None

    @property
    def probability(self) -> float | None:
        """Probability that the lead is better than the published candidate."""
        return self.gain.probability if self.gain else None


def lead_standing(search: SearchEvidence, rules: JudgingRules) -> LeadStanding | None:
    """Return how the lead stands; None where the published candidate leads.

    Args:
        search: what is known of both at the current rung.
        rules: the rules of the run.
    """
    if search.is_lead_published:
        return None
    lead, published = search.lead, search.published
    is_fresh = bool(lead.returns)
    results = lead.fresh if is_fresh else lead.chosen_by
    standing = LeadStanding(lead.n, published.n, None, trial=_trial(search, rules))
    if not is_fresh and rulers.REWARD in lead.changed:
        return standing  # these seeds were compared with the lead of that time, not with this one
    is_other = rulers.REWARD in rulers.changed(results)
    spread = search.trial_spread if is_other else search.spread
    tested = quantities(
        results, published, spread, search.correlation.estimate,
        fresh_only=is_fresh and bool(published.returns),
    )  # fmt: skip
    if not tested:
        return standing
    best = max(tested, key=lambda each: each.gain().z)
    return LeadStanding(
        lead.n, published.n, best.gain().shrunk(best.spread.sd), len(best.values), is_fresh,
        best.name, standing.trial,
    )  # fmt: skip


def _trial(search: SearchEvidence, rules: JudgingRules) -> TrialStanding | None:
    """Return the trial that is likeliest to pass, None before both have a fresh seed."""
    if not search.lead.returns or not search.published.returns:
        return None
    stands = [each for _, each in trials(search, rules) if each.next is not None]
    best = max(stands, key=lambda each: each.chance, default=None)
    if best is None or best.next is None:
        return None
    counts = rules.looks()
    return TrialStanding(counts.index(best.next.seeds) + 1, len(counts), best.next, best.chance)
