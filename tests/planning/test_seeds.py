"""Which seeds of the lead and of the published candidate are measured next."""

from collections.abc import Callable
from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from orchestrator.config.schema import JudgeConfig
from orchestrator.core.evaluations import Purpose
from orchestrator.core.records import Rung
from orchestrator.judging.candidate_evidence import CandidateEvidence, SearchEvidence
from orchestrator.judging.gains import Spread
from orchestrator.judging.reference import audit_seeds, reference_seeds
from orchestrator.judging.rules import JudgingRules
from orchestrator.planning.candidates import Incumbent
from orchestrator.planning.seeds import (
    MeasureCandidate,
    idle_seeds,
    last_seeds,
    lead_seeds,
    seeds_due,
)
from orchestrator.planning.state import RunState
from tests.fakes import ruler_comparison
from tests.judging.samples import CHEAP, DEAR, NUMBERS, candidate, chosen, fresh

Ask = Callable[[RunState, JudgingRules, SearchEvidence], MeasureCandidate | None]
LOW = Rung(12, 8)
RULES = JudgingRules(NUMBERS, 2)
NAIVE = JudgingRules(JudgeConfig(rule="naive"), 2)
STATE = RunState(rung=LOW, incumbent=Incumbent(1, "c1", 0.5, {101: 0.5}, 1), counted=6)
LEADING = replace(STATE, leads=(Incumbent(5, "c5", 0.9, {101: 0.9}, 5),))
SPREAD = Spread(0.1, 32)
REFERENCE, TRIAL = Purpose.REFERENCE, Purpose.TRIAL


def around(mean: float, count: int) -> list[float]:
    """Return so many returns that differ a little."""
    return [mean + 0.1 * (-1) ** n for n in range(count)]


def known(n: int, count: int, mean: float = 0.5) -> CandidateEvidence:
    """Return a candidate with so many fresh seeds."""
    return candidate(n, chosen(mean, mean), fresh(*around(mean, count)))


def of_one(published: CandidateEvidence, **facts: object) -> SearchEvidence:
    """Return the evidence of a run without a lead."""
    facts = {"numbers": CHEAP, "spread": SPREAD, "trial_spread": SPREAD} | facts
    return SearchEvidence(published, published, **facts)  # type: ignore[arg-type]


def of_two(
    lead: CandidateEvidence, published: CandidateEvidence, **facts: object
) -> SearchEvidence:
    facts = {"numbers": CHEAP, "spread": SPREAD, "trial_spread": SPREAD} | facts
    return SearchEvidence(lead, published, **facts)  # type: ignore[arg-type]


def measure(
    n: int, seeds: range, purpose: Purpose, *, is_compared: bool | None = None
) -> MeasureCandidate:
    """Return the order to measure a candidate on these of the published candidate's fresh seeds."""
    compared = n != 1 if is_compared is None else is_compared
    order = reference_seeds(1, seeds.stop)[seeds.start :]
    return MeasureCandidate(LOW, n, order, purpose, n, compared)


def audit(seeds: range) -> MeasureCandidate:
    """Return the order to measure the published candidate on seeds that decide nothing."""
    order = audit_seeds(1, seeds.stop)[seeds.start :]
    return MeasureCandidate(LOW, 1, order, Purpose.AUDIT, 1)


# -- what challengers are compared with ------------------------------------------------------------


@pytest.mark.parametrize("ask", [lead_seeds, seeds_due])
def test_two_seeds_come_before_the_first_challenger(ask: Ask) -> None:
    """Of the published candidate, or of a new lead: no account is asked for these."""
    spent = {"proof_s": 99.0, "evaluator_s": 1.0}
    assert ask(STATE, RULES, of_one(known(1, 0), **spent)) == measure(1, range(2), REFERENCE)
    assert ask(STATE, RULES, of_one(known(1, 1), **spent)) == measure(1, range(1, 2), REFERENCE)
    assert ask(STATE, RULES, of_one(known(1, 2), **spent)) is None
    leading = of_two(known(5, 0), known(1, 12), **spent)
    assert ask(LEADING, RULES, leading) == measure(5, range(2), REFERENCE)


def test_more_come_as_challengers_are_compared_with_it() -> None:
    """One with every ten cheap proposals, or with every dear one; up to a number each."""

    def wanted(since_lead: int, *, is_dear: bool) -> int:
        facts = {"numbers": DEAR} if is_dear else {}
        state, count = replace(STATE, since_lead=since_lead), 0
        while due := lead_seeds(state, RULES, of_one(known(1, count), **facts)):
            assert due.purpose is REFERENCE
            count += len(due.seeds)
        return count

    assert [wanted(n, is_dear=False) for n in (0, 9, 10, 20, 139, 140, 999)] == [
        2, 2, 3, 4, 15, 16, 16
    ]  # fmt: skip
    assert [wanted(n, is_dear=True) for n in (0, 1, 2, 30, 999)] == [2, 3, 4, 32, 32]


def test_a_lead_is_measured_on_seeds_of_the_published_candidates_time() -> None:
    """They are recorded under the experiment that scored it, and played in both environments."""
    state = replace(LEADING, leads=(replace(LEADING.leads[0], scored_by=8),))
    lead = replace(known(5, 0), scored_by=8)
    published = replace(known(1, 12), scored_by=6)
    due = lead_seeds(state, RULES, of_two(lead, published))
    assert due == MeasureCandidate(LOW, 8, reference_seeds(6, 2), REFERENCE, 5, is_compared=True)


def test_after_a_climb_the_published_candidate_is_measured_too() -> None:
    """Without a seed of it there no chance to pass a trial can be told."""
    due = seeds_due(LEADING, RULES, of_two(known(5, 2), known(1, 0)))
    assert due == measure(1, range(2), REFERENCE)
    assert lead_seeds(LEADING, RULES, of_two(known(5, 2), known(1, 0))) is None


@pytest.mark.parametrize(
    ("results", "seeds"),
    [((None, 0.5), range(2, 3)), ((None, None), range(2, 4)), ((None, None, None, 0.5), None),
     ((None,) * 3, range(3, 5)), ((None,) * 4, None)],
)  # fmt: skip
def test_a_seed_that_failed_is_replaced_by_another(
    results: tuple[float | None, ...], seeds: range | None
) -> None:
    """Until twice as many were tried as are wanted."""
    evidence = of_one(candidate(1, (), fresh(*results)))
    due = lead_seeds(STATE, RULES, evidence)
    assert due == (seeds and measure(1, seeds, REFERENCE))


@pytest.mark.parametrize("ask", [lead_seeds, seeds_due, idle_seeds, last_seeds])
def test_nothing_is_measured_where_nothing_is_compared(ask: Ask) -> None:
    """Under the naive rule, before there is a task, and before the lead is scored."""
    published = known(1, 0)
    assert STATE.incumbent is not None
    proven = replace(STATE, incumbent=replace(STATE.incumbent, is_proven=True))
    assert ask(proven, NAIVE, of_one(published)) is None
    assert ask(proven, RULES, of_one(published)) is not None
    assert ask(RunState(), RULES, SearchEvidence()) is None
    no_task = replace(proven, incumbent=replace(STATE.incumbent, is_task=False, is_proven=True))
    assert ask(no_task, RULES, of_one(replace(published, is_task=False))) is None
    unscored = replace(proven, leads=(replace(LEADING.leads[0], score=None, scored_by=None),))
    assert ask(unscored, RULES, of_two(known(5, 0), published)) is None


# -- proof -----------------------------------------------------------------------------------------


def test_a_promising_lead_is_brought_to_its_next_look() -> None:
    """First the published candidate, then the lead, a few seeds at a time."""
    sizes, orders = {1: 2, 5: 2}, []
    while True:
        evidence = of_two(known(5, sizes[5], 0.9), known(1, sizes[1]))
        due = seeds_due(LEADING, RULES, evidence)
        assert due is not None
        orders.append((due.n, len(due.seeds), due.purpose))
        sizes[due.n] += len(due.seeds)
        if sizes[5] == 4:
            break
    assert orders == [(1, 4, TRIAL), (1, 4, TRIAL), (1, 2, TRIAL), (5, 2, TRIAL)]


@pytest.mark.parametrize(("mean", "goes_on"), [(0.5, False), (0.55, False), (0.65, True)])
def test_a_trial_goes_on_where_it_is_more_likely_to_pass_than_not(
    mean: float, goes_on: bool
) -> None:
    """By all seeds so far."""
    due = seeds_due(LEADING, RULES, of_two(known(5, 8, mean), known(1, 12)))
    assert due == (measure(5, range(8, 12), TRIAL) if goes_on else None)


@pytest.mark.parametrize(("proof_s", "is_due"), [(20.0, True), (20.1, False)])
def test_proof_waits_for_its_share_of_the_evaluators_time(proof_s: float, is_due: bool) -> None:
    """The lead's own seeds do not."""
    account = {"proof_s": proof_s, "evaluator_s": 100.0}
    trial = seeds_due(LEADING, RULES, of_two(known(5, 2, 0.9), known(1, 12), **account))
    assert (trial is not None) is is_due


def test_a_trial_that_is_over_asks_for_nothing() -> None:
    """All its looks are taken."""
    assert seeds_due(LEADING, RULES, of_two(known(5, 40), known(1, 40))) is None


def test_the_quantity_with_the_earlier_look_is_measured_first() -> None:
    """With another reward there are two trials; both are of the same seeds."""
    compared = [ruler_comparison("reward", there=value) for value in around(0.9, 4)]
    lead = candidate(5, (), fresh(*[9.0] * 4, solved=around(0.5, 4), compared=compared))
    published = candidate(1, (), fresh(*around(0.5, 11), solved=around(0.5, 11)))
    due = seeds_due(LEADING, RULES, of_two(lead, published))
    assert due == measure(1, range(11, 12), TRIAL)


def test_what_was_published_is_reported_while_that_is_cheap() -> None:
    """By seeds that decide nothing; a trial comes first, and may take twice as much time."""
    assert STATE.incumbent is not None
    proven = replace(STATE, incumbent=replace(STATE.incumbent, is_proven=True))
    half = RULES.search(None, None).proof_share / 2
    for proof_s, due in ((100 * half, audit(range(4))), (101 * half, None)):
        evidence = of_one(known(1, 2), proof_s=proof_s, evaluator_s=100.0)
        assert seeds_due(proven, RULES, evidence) == due
    leading = replace(LEADING, incumbent=proven.incumbent)
    assert seeds_due(leading, RULES, of_two(known(5, 2, 0.5), known(1, 2))) == audit(range(4))
    promising = of_two(known(5, 2, 0.9), known(1, 12))
    assert seeds_due(leading, RULES, promising) == measure(5, range(2, 4), TRIAL)


def test_before_it_ends_a_run_measures_what_it_ends_with() -> None:
    """Whatever share of the time proof has had, and whatever leads by then."""
    spent = {"proof_s": 99.0, "evaluator_s": 1.0}
    assert STATE.incumbent is not None
    proven = replace(STATE, incumbent=replace(STATE.incumbent, is_proven=True))
    for audits, seeds in ((0, range(4)), (10, range(10, 12))):
        published = replace(known(1, 2), audits=audits)
        assert last_seeds(proven, RULES, of_one(published, **spent)) == audit(seeds)
    assert last_seeds(proven, RULES, of_one(replace(known(1, 2), audits=12))) is None
    assert last_seeds(STATE, RULES, of_one(known(1, 2))) == audit(range(4))  # never replaced
    assert last_seeds(LEADING, RULES, of_two(known(5, 2, 0.9), known(1, 2))) == audit(range(4))
    assert last_seeds(replace(STATE, counted=0), RULES, of_one(known(1, 2))) is None
    accepted = replace(STATE, incumbent=replace(proven.incumbent, score=None))
    assert last_seeds(accepted, RULES, of_one(known(1, 0))) is None  # it may crash


# -- idle evaluators -------------------------------------------------------------------------------


@pytest.mark.parametrize(("lead", "published", "n"), [(2, 12, 5), (12, 2, 1), (4, 4, 5)])
def test_an_idle_evaluator_measures_whichever_has_fewer_seeds(
    lead: int, published: int, n: int
) -> None:
    """One at a time, for its time may be wanted again."""
    due = idle_seeds(LEADING, RULES, of_two(known(5, lead), known(1, published)))
    count = lead if n == 5 else published
    assert due == measure(n, range(count, count + 1), TRIAL)


def test_an_idle_evaluator_stops_where_a_trial_does() -> None:
    """More than its last look are of no use; a candidate that fails is not measured for ever."""
    assert idle_seeds(STATE, RULES, of_one(known(1, 39))) == measure(1, range(39, 40), TRIAL)
    assert idle_seeds(STATE, RULES, of_one(known(1, 40))) is None
    assert idle_seeds(LEADING, RULES, of_two(known(5, 40), known(1, 40))) is None
    tried, orders = 0, 0
    while idle_seeds(STATE, RULES, of_one(candidate(1, (), fresh(*[None] * tried)))):
        tried, orders = tried + 1, orders + 1
        assert orders <= 40


# -- any evidence ----------------------------------------------------------------------------------

RESULTS = st.lists(st.none() | st.sampled_from([0.0, 0.5, 1.0]), max_size=44)


@settings(deadline=None)
@given(
    lead=RESULTS,
    published=RESULTS,
    leads=st.booleans(),
    is_proven=st.booleans(),
    since_lead=st.integers(0, 60),
    proof_s=st.floats(0, 50),
    ask=st.sampled_from([lead_seeds, seeds_due, idle_seeds, last_seeds]),
)
def test_seeds_are_measured_in_order_once_each_and_few_at_a_time(
    *,
    lead: list[float | None],
    published: list[float | None],
    leads: bool,
    is_proven: bool,
    since_lead: int,
    proof_s: float,
    ask: Ask,
) -> None:
    """Whatever is known, and whatever is asked: the next ones of one candidate, without a gap."""
    assert LEADING.incumbent is not None
    state = replace(
        LEADING,
        incumbent=replace(LEADING.incumbent, is_proven=is_proven),
        leads=LEADING.leads if leads else (),
        since_lead=since_lead,
    )
    sides = {1: candidate(1, (), fresh(*published)), 5: candidate(5, (), fresh(*lead))}
    evidence = of_two(sides[5 if leads else 1], sides[1], proof_s=proof_s, evaluator_s=100.0)
    due = ask(state, RULES, evidence)
    if due is None:
        return
    tried = sides[due.n].tried
    assert 1 <= len(due.seeds) <= 4
    if due.purpose is Purpose.AUDIT:
        assert due == audit(range(4))
        return
    assert due.seeds == reference_seeds(1, tried + len(due.seeds))[tried:]
    assert due.candidate == due.n
    assert due.is_compared is (due.n == 5)
    assert tried + len(due.seeds) <= 2 * 40
