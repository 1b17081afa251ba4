"""How the lead stands, as people and agents are told; nothing is decided by it."""

import pytest

from orchestrator.judging.candidate_evidence import CandidateEvidence, SearchEvidence
from orchestrator.judging.gains import Spread
from orchestrator.judging.rules import JudgingRules
from orchestrator.judging.seed_correlation import SeedCorrelation
from orchestrator.judging.standing import lead_standing
from orchestrator.judging.two_rulers import RETURN_THERE
from tests.fakes import ruler_comparison
from tests.judging.samples import NUMBERS, candidate, chosen, fresh

RULES = JudgingRules(NUMBERS, 2)
BEFORE = (0.4, 0.6, 0.5, 0.45, 0.55, 0.5, 0.4, 0.6, 0.5, 0.45, 0.55, 0.5)
PUBLISHED = candidate(1, chosen(0.9, 0.9), fresh(*BEFORE))


def search(lead: CandidateEvidence) -> SearchEvidence:
    unshared = SeedCorrelation(0.0, 10**9)
    spread = Spread(0.1, 32)
    return SearchEvidence(lead, PUBLISHED, spread=spread, trial_spread=spread, correlation=unshared)


def test_nothing_is_ahead_where_the_published_candidate_leads() -> None:
    """Then there is nothing to prove either."""
    assert lead_standing(search(PUBLISHED), RULES) is None


def test_fresh_seeds_alone_count_once_there_are_some() -> None:
    """The gain is shrunk towards 0; those that chose the lead, or what is published, flatter."""
    standing = lead_standing(search(candidate(2, chosen(2.0, 2.0), fresh(0.7, 0.8, 0.6))), RULES)
    assert standing is not None
    assert standing.gain is not None
    assert (standing.n, standing.published, standing.seeds) == (2, 1, 3)
    assert standing.is_fresh
    assert 0.1 < standing.gain.value < 0.2  # measured 0.2
    assert standing.probability == pytest.approx(standing.gain.probability)
    assert standing.trial is not None
    assert (standing.trial.look, standing.trial.looks) == (1, 10)
    assert (standing.trial.next.seeds, standing.trial.next.reference) == (4, 12)
    assert 0.5 < standing.trial.chance < 1


def test_before_that_the_seeds_that_chose_it_are_all_there_is() -> None:
    """It is said that they are not fresh, and no trial can be told."""
    standing = lead_standing(search(candidate(2, chosen(0.7, 0.8))), RULES)
    assert standing is not None
    assert standing.gain is not None
    assert (standing.seeds, standing.is_fresh, standing.trial) == (2, False, None)
    assert standing.gain.value > 0


def test_returns_under_two_rewards_are_not_compared() -> None:
    """On fresh seeds by the other's reward; before these nothing is said."""
    lead = candidate(2, chosen(9.0, 9.0), changed=("reward",))
    standing = lead_standing(search(lead), RULES)
    assert standing is not None
    assert (standing.gain, standing.probability, standing.seeds) == (None, None, 0)
    there = [ruler_comparison("reward", there=value) for value in (0.8, 0.9, 0.85)]
    lead = candidate(2, (), fresh(9.0, 9.0, 9.0, compared=there), changed=("reward",))
    standing = lead_standing(search(lead), RULES)
    assert standing is not None
    assert standing.gain is not None
    assert standing.quantity == RETURN_THERE
    assert 0 < standing.gain.value < 0.5
