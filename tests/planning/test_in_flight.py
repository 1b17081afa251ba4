"""What may begin beside what is in flight: limits, climbs, references, baselines."""

from collections.abc import Mapping
from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from orchestrator.config.schema import BudgetConfig, JudgeConfig, LimitsConfig
from orchestrator.core.evaluations import Purpose, SeedResult
from orchestrator.core.experiments import Accept, Experiment, LeadMove, StopKind
from orchestrator.core.records import Rung, Status, Tokens
from orchestrator.core.spending import Spend
from orchestrator.judging.candidate_evidence import (
    CandidateEvidence,
    SearchEvidence,
    candidate_evidence,
)
from orchestrator.judging.gains import Spread
from orchestrator.judging.lead import next_move
from orchestrator.judging.reference import audit_seeds, reference_seeds
from orchestrator.judging.rules import JudgingRules
from orchestrator.planning.candidates import Incumbent
from orchestrator.planning.planner import (
    NOTHING,
    Finish,
    InFlight,
    MeasureCandidate,
    RunBaseline,
    RunChallenge,
    Step,
    Wait,
    is_judgeable,
    next_step,
)
from orchestrator.planning.state import RunState
from tests.conftest import examples
from tests.judging.samples import CHEAP, NUMBERS, candidate, chosen, fresh

LOW, HIGH = Rung(12, 8), Rung(32, 8)
BUDGET = BudgetConfig(ladder=[list(LOW), list(HIGH)], patience=3, min_keeps=2)
NAIVE = JudgingRules(JudgeConfig(rule="naive"), 2)
SOUND = JudgingRules(NUMBERS, 2)
STATE = RunState(rung=LOW, incumbent=Incumbent(1, "c1", 0.5, {101: 0.5}, 1))
KNOWN = candidate(1, chosen(0.4, 0.6), fresh(0.4, 0.6))
UNMEASURED, MEASURED = (
    SearchEvidence(candidate(1), candidate(1), numbers=CHEAP),
    SearchEvidence(KNOWN, KNOWN, numbers=CHEAP),
)
UNSCORED = replace(STATE, incumbent=Incumbent(2, "c2", None, {}, None))
ONE = InFlight(challenges=1)
WAITING = InFlight(challenges=1, waiting=1)


def step(
    state: RunState = STATE,
    in_flight: InFlight = NOTHING,
    *,
    lanes: int = 4,
    rules: JudgingRules = NAIVE,
    evidence: SearchEvidence = UNMEASURED,
    budget: BudgetConfig = BUDGET,
    ran_h: float = 0.0,
    **limits: float,
) -> Step:
    return next_step(
        state, budget, LimitsConfig(**limits), hours=ran_h, rules=rules, evidence=evidence,  # type: ignore[arg-type]
        in_flight=in_flight, lanes=lanes,
    )  # fmt: skip


def experiment(n: int, status: Status, rung: Rung = LOW) -> Experiment:
    is_baseline = status is Status.BASELINE
    return Experiment(n, "t", is_baseline, status, rung, "a", commit=f"c{n}", score=1.0, ended=n)


# -- lanes -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("lanes", [1, 2, 4])
def test_challenges_fill_the_lanes_and_no_more(lanes: int) -> None:
    """Each of them is begun beside the others, and then nothing before one has ended."""
    in_flight = NOTHING
    for _ in range(lanes):
        doing = step(in_flight=in_flight, lanes=lanes)
        assert doing == RunChallenge(LOW)
        in_flight = in_flight.plus(doing)
    assert in_flight == InFlight(challenges=lanes)
    assert step(in_flight=in_flight, lanes=lanes) == Wait()


def test_each_step_is_counted_as_what_it_is() -> None:
    """A baseline, a reference and a challenge each use a lane; waiting and the end use none."""
    reference = MeasureCandidate(LOW, 1, (1,))
    begun = NOTHING.plus(RunBaseline(LOW, "")).plus(RunChallenge(LOW)).plus(reference)
    assert begun == InFlight(challenges=1, baselines=1, references=1)
    assert begun.total == 3
    assert begun.plus(Wait()) == begun


def test_nothing_begins_beside_a_baseline() -> None:
    """A first baseline, or one at the next rung, decides what everything after it is."""
    assert step(RunState(), InFlight(baselines=1)) == Wait()
    assert step(in_flight=InFlight(baselines=1)) == Wait()
    assert step(in_flight=InFlight(baselines=1), experiments=1) == Wait()


# -- limits ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("limit", "facts", "in_flight"),
    [
        ("experiments", {"counted": 3}, InFlight(challenges=2)),
        ("without_keep", {"without_keep": 3}, InFlight(challenges=2)),
        ("consecutive_failures", {"consecutive_failures": 3}, InFlight(challenges=2)),
        ("tokens", {"tokens": 3}, InFlight(challenges=1, used=Spend(tokens=2))),
        ("cost_usd", {"cost_usd": 3.0}, InFlight(challenges=1, used=Spend(cost_usd=2.0))),
    ],
)
def test_limits_count_what_is_in_flight(
    limit: str, facts: Mapping[str, float], in_flight: InFlight
) -> None:
    """What has begun may use up the limit: nothing more begins, and the end comes after it."""
    state = replace(STATE, **facts)
    patient = BudgetConfig(ladder=[list(LOW)])
    assert step(state, in_flight, budget=patient, **{limit: 5}) == Wait()
    assert step(state, in_flight, budget=patient, **{limit: 6}) == RunChallenge(LOW)
    assert step(state, budget=patient, **{limit: 5}) == RunChallenge(LOW)
    reached = replace(STATE, **dict.fromkeys(facts, 5))
    ended = step(reached, in_flight, budget=patient, **{limit: 5})
    assert ended == Wait()  # not before what is in flight has ended
    ended = step(reached, budget=patient, **{limit: 5})
    assert isinstance(ended, Finish)
    assert ended.reason.text == f"limits.{limit} reached (5 of 5)"


def test_the_time_limit_ends_nothing_that_is_in_flight() -> None:
    """At the time limit nothing more begins; what has begun ends first."""
    assert step(in_flight=ONE, ran_h=2.0, hours=2.0) == Wait()
    assert isinstance(step(ran_h=2.0, hours=2.0), Finish)


def test_a_keep_in_flight_may_renew_a_count() -> None:
    """Each challenge in flight may be the last without a keep; once one is kept, more begin."""
    most = {"without_keep": 2}
    assert step(in_flight=InFlight(challenges=2), **most) == Wait()
    kept = STATE.after(experiment(2, Status.KEEP))
    assert step(kept, ONE, **most) == RunChallenge(LOW)


def test_an_aborted_challenge_makes_room_again() -> None:
    """It counts towards no limit of experiments, so another one may take its place."""
    assert step(in_flight=InFlight(challenges=3), experiments=3) == Wait()
    after = STATE.after(experiment(2, Status.ABORTED))
    assert step(after, InFlight(challenges=2), experiments=3) == RunChallenge(LOW)


# -- climbs ----------------------------------------------------------------------------------------


def test_a_proposal_that_may_pass_a_limit_waits_for_room_or_ends_the_run() -> None:
    """What is in flight may cost less than is reserved for it; without any there is no more room."""
    dear = InFlight(challenges=1, used=Spend(cost_usd=2.0), next_call=Spend(cost_usd=1.5))
    assert step(in_flight=dear, cost_usd=3.0) == Wait()
    assert isinstance(step(in_flight=dear, cost_usd=3.5), RunChallenge)
    ended = step(in_flight=replace(dear, challenges=0), cost_usd=3.0)
    assert isinstance(ended, Finish)
    assert ended.reason.kind is StopKind.LIMIT
    said = "limits.cost_usd reached (2 of 3, and the next call may cost 1.5)"
    assert ended.reason.text == said


@pytest.mark.parametrize(
    "in_flight", [ONE, WAITING, InFlight(references=1), InFlight(challenges=2, references=1)]
)
def test_a_climb_waits_until_the_lanes_are_empty(in_flight: InFlight) -> None:
    """Nothing is compared across rungs, so what is in flight ends at this one."""
    state = replace(STATE, keeps_at_rung=2)
    assert step(state, in_flight) == Wait()
    climb = step(state)
    assert isinstance(climb, RunBaseline)
    assert climb.rung == HIGH


def test_a_run_beyond_its_caps_ends_once_the_lanes_are_empty() -> None:
    """Experiments that a restart has taken up are judged first."""
    capped = BudgetConfig(ladder=[list(LOW), list(HIGH)], max_train_episodes=12)
    beyond = replace(STATE, rung=HIGH)
    assert step(beyond, ONE, budget=capped) == Wait()
    ended = step(beyond, budget=capped)
    assert isinstance(ended, Finish)
    assert ended.reason.kind is StopKind.STUCK


# -- references ------------------------------------------------------------------------------------

REFERENCE = MeasureCandidate(LOW, 1, reference_seeds(1, 2), candidate=1)


def test_a_reference_is_measured_beside_challenges() -> None:
    """They need it only when they are judged; there is never a second one beside it."""
    assert step(rules=SOUND) == REFERENCE
    assert step(in_flight=ONE, rules=SOUND) == REFERENCE
    begun = NOTHING.plus(REFERENCE)
    assert step(in_flight=begun, rules=SOUND) == RunChallenge(LOW)
    assert step(in_flight=replace(begun, challenges=1, waiting=1), rules=SOUND, lanes=2) == Wait()
    assert step(rules=SOUND, evidence=MEASURED) == RunChallenge(LOW)


@pytest.mark.parametrize("limits", [{"experiments": 1}, {"hours": 0.5}, {"tokens": 1}])
def test_no_limit_holds_back_a_reference_that_is_waited_for(limits: dict[str, float]) -> None:
    """What was begun must be judged, whatever it costs, in full lanes too."""
    state = replace(STATE, counted=1, tokens=1)
    assert step(state, WAITING, rules=SOUND, lanes=1, ran_h=1.0, **limits) == REFERENCE
    under_way = replace(WAITING, references=1)
    assert step(state, under_way, rules=SOUND, lanes=1, ran_h=1.0, **limits) == Wait()


def test_without_need_full_lanes_hold_a_reference_back() -> None:
    """It may come when one of them is free, unless a challenge can't be judged without."""
    assert step(in_flight=ONE, rules=SOUND, lanes=1) == Wait()
    assert step(in_flight=WAITING, rules=SOUND, lanes=1) == REFERENCE


def test_a_lead_is_measured_further_while_others_wait() -> None:
    """The tenth challenger that was judged meanwhile asks for a seed: those after it wait for it."""
    state = replace(STATE, since_lead=10)
    assert not is_judgeable(state, LOW, SOUND, MEASURED)
    assert is_judgeable(replace(STATE, since_lead=9), LOW, SOUND, MEASURED)
    further = MeasureCandidate(LOW, 1, reference_seeds(1, 3)[2:], candidate=1)
    assert step(state, WAITING, rules=SOUND, evidence=MEASURED) == further


def test_proof_is_nothing_that_a_challenge_waits_for() -> None:
    """A trial that is due is measured in a free lane, and not before what waits can be judged."""
    state = replace(STATE, leads=(Incumbent(5, "c5", 0.9, {101: 0.9}, 5),))
    lead = candidate(5, chosen(0.9, 0.9), fresh(0.9, 0.95))
    evidence = SearchEvidence(lead, KNOWN, numbers=CHEAP)
    assert is_judgeable(state, LOW, SOUND, evidence)
    due = step(state, rules=SOUND, evidence=evidence)
    assert isinstance(due, MeasureCandidate)
    assert (due.n, due.purpose) == (1, Purpose.TRIAL)
    assert step(state, ONE, rules=SOUND, lanes=1, evidence=evidence) == Wait()


def test_what_is_published_is_measured_before_a_limit_ends_the_run() -> None:
    """Once nothing else is in flight, and not if the time is up."""
    state = replace(STATE, counted=5)
    claim = MeasureCandidate(LOW, 1, audit_seeds(1, 4), Purpose.AUDIT, candidate=1)
    assert step(state, ONE, rules=SOUND, evidence=MEASURED, experiments=5) == Wait()
    assert step(state, rules=SOUND, evidence=MEASURED, experiments=5) == claim
    ended = step(state, rules=SOUND, evidence=MEASURED, ran_h=1.0, hours=1.0)
    assert isinstance(ended, Finish)


@pytest.mark.parametrize(
    ("ran_h", "seed_s", "is_claim"),
    [(0.98, 3.6, False), (0.985, 3.6, True), (0.89, 3600.0, False), (0.91, 3600.0, True),
     (0.91, None, False)],
)  # fmt: skip
def test_the_end_of_a_runs_hours_is_kept_for_its_claim(
    ran_h: float, seed_s: float | None, *, is_claim: bool
) -> None:
    """Time for sixteen seeds, a tenth of the hours at most; once it is made the run goes on."""
    state = replace(STATE, counted=5, seed_s=seed_s)
    due = step(state, rules=SOUND, evidence=MEASURED, ran_h=ran_h, hours=1.0)
    assert (isinstance(due, MeasureCandidate) and due.purpose is Purpose.AUDIT) is is_claim
    done = replace(MEASURED, published=replace(MEASURED.published, audits=12))
    done = replace(done, lead=done.published)
    due = step(state, rules=SOUND, evidence=done, ran_h=ran_h, hours=1.0)
    assert isinstance(due, RunChallenge)


@pytest.mark.parametrize(
    ("in_flight", "is_idle"),
    [
        (InFlight(challenges=2, proposing=2), True),
        (InFlight(challenges=2, proposing=1), False),
        (InFlight(challenges=1, references=1, proposing=1), False),
        (InFlight(challenges=1, proposing=1), False),  # a single lane does one thing at a time
    ],
)
def test_while_all_agents_think_the_evaluator_measures(in_flight: InFlight, is_idle: bool) -> None:
    """What a trial may want, in full lanes too; as soon as a candidate is there it is its turn."""
    doing = step(in_flight=in_flight, lanes=in_flight.total, rules=SOUND, evidence=MEASURED)
    further = MeasureCandidate(LOW, 1, reference_seeds(1, 3)[2:], Purpose.TRIAL, candidate=1)
    assert doing == (further if is_idle else Wait())
    naive = step(in_flight=in_flight, lanes=in_flight.total, evidence=MEASURED)
    assert naive == Wait()


def test_what_waits_for_a_candidate_that_fails_everywhere_does_not_wait_for_ever() -> None:
    """The run ends and says what to do, once all that could change it has ended."""
    failing = candidate(1, chosen(0.4, 0.6), fresh(*[None] * 4))
    nowhere = SearchEvidence(failing, failing, numbers=CHEAP)
    also_working = InFlight(challenges=2, waiting=1)
    assert step(in_flight=also_working, rules=SOUND, evidence=nowhere) == Wait()
    for limits in ({}, {"experiments": 1}):
        ended = step(in_flight=WAITING, rules=SOUND, evidence=nowhere, **limits)
        assert isinstance(ended, Finish)
        assert ended.reason.kind is StopKind.STUCK


# -- baselines of accepted candidates --------------------------------------------------------------


def test_an_accepted_candidate_is_scored_beside_challenges() -> None:
    """At the same rung, and in full lanes too: all of them are judged against it."""
    for in_flight in (NOTHING, ONE, WAITING, InFlight(challenges=4)):
        doing = step(UNSCORED, in_flight)
        assert isinstance(doing, RunBaseline)
        assert doing.rung == LOW
        assert step(UNSCORED, in_flight.plus(doing)) == Wait()


def test_a_lead_is_scored_after_a_climb_beside_challenges() -> None:
    """After the published candidate; all challengers are judged against it."""
    unscored = Incumbent(5, "c5", None, {}, None)
    state = replace(STATE, leads=(unscored,))
    for in_flight in (NOTHING, ONE, WAITING, InFlight(challenges=4)):
        doing = step(state, in_flight)
        assert isinstance(doing, RunBaseline)
        assert (doing.rung, doing.is_of_lead) == (LOW, True)
        both = step(replace(UNSCORED, leads=(unscored,)), in_flight)
        assert isinstance(both, RunBaseline)
        assert not both.is_of_lead


def test_no_limit_holds_back_a_baseline_that_is_waited_for() -> None:
    """What was begun must be judged; where nothing waits for it the limit ends the run."""
    state = replace(UNSCORED, counted=1)
    assert isinstance(step(state, WAITING, experiments=1), RunBaseline)
    assert step(state, ONE, experiments=1) == Wait()
    assert isinstance(step(state, experiments=1), Finish)


# -- any order of endings --------------------------------------------------------------------------


class Flight:
    """A run whose experiments end in any order and in any way."""

    def __init__(self, data: st.DataObject) -> None:
        self.draw = data.draw
        self.rules = self.draw(st.sampled_from([NAIVE, SOUND]))
        self.lanes = self.draw(st.integers(1, 5))
        self.budget = self.draw(st.sampled_from([BUDGET, BudgetConfig(ladder=[list(LOW)])]))
        self.limits = LimitsConfig(
            experiments=self.draw(st.none() | st.integers(1, 12)),
            without_keep=self.draw(st.none() | st.integers(1, 6)),
            consecutive_failures=self.draw(st.none() | st.integers(1, 6)),
        )
        self.state = RunState()
        self.measured: dict[int, list[SeedResult]] = {}
        """Fresh seeds, by the experiment that scored what was measured."""
        self.begun: list[tuple[Step, bool]] = []
        """What is in flight, and whether it waits for the lead's seeds."""
        self.n = 0

    @property
    def evidence(self) -> SearchEvidence:
        """What is known of the lead and the published candidate, as the engine gathers it."""
        published = self.state.incumbent
        if published is None or published.scored_by is None:
            return SearchEvidence()
        owner = published.scored_by
        steps = [self._known(step, owner) for step in (published, *self.state.leads[-2:])]
        former = steps[-2] if len(steps) == 3 and steps[-2].scored_by else None
        spread = Spread(0.3, 32)
        return SearchEvidence(steps[-1], steps[0], former, spread=spread, trial_spread=spread)

    def _known(self, step: Incumbent, owner: int) -> CandidateEvidence:
        if step.scored_by is None:
            return CandidateEvidence(step.n)
        value = step.score or 0.0
        results = [*chosen(value, value), *self.measured.get(step.scored_by, [])]
        return candidate_evidence(step.n, step.scored_by, results, owner)

    @property
    def in_flight(self) -> InFlight:
        count = NOTHING
        for doing, waits in self.begun:
            count = count.plus(doing)
            count = replace(count, waiting=count.waiting + waits)
        return count

    def is_judgeable(self) -> bool:
        rung = self.state.rung
        return rung is not None and is_judgeable(self.state, rung, self.rules, self.evidence)

    def next_step(self) -> Step:
        return next_step(
            self.state, self.budget, self.limits, hours=0.0, rules=self.rules,
            evidence=self.evidence, in_flight=self.in_flight, lanes=self.lanes,
        )  # fmt: skip

    def begin(self) -> Step:
        """Begin what may begin; return the step that says no more may."""
        while not isinstance(doing := self.next_step(), Wait | Finish):
            in_flight = self.in_flight
            if isinstance(doing, RunBaseline) and doing.rung != self.state.rung:
                assert not in_flight.total  # a climb
            if isinstance(doing, RunChallenge):
                assert in_flight.total < self.lanes
            assert not in_flight.baselines
            assert not (isinstance(doing, MeasureCandidate) and in_flight.references)
            self.begun.append((doing, False))
            assert self.in_flight.total <= self.lanes + 2
        return doing

    def go_on(self) -> None:
        """Let one of those in flight that can go on do so."""
        judgeable = self.is_judgeable()
        able = [entry for entry in self.begun if judgeable or not entry[1]]
        assert able, "everything waits for something that is not under way"
        entry = self.draw(st.sampled_from(able))
        self.begun.remove(entry)
        doing = entry[0]
        if isinstance(doing, RunBaseline):
            of = [Status.BASELINE, Status.BASELINE, Status.CRASH, Status.ABORTED]
            scored = self.state.lead if doing.is_of_lead else self.state.incumbent
            self.end(self.draw(st.sampled_from(of)), doing.rung, is_baseline=True, of=scored)
        elif isinstance(doing, MeasureCandidate):
            value = st.sampled_from([0.0, 0.4, 0.5, 0.6, 1.0, None])
            self.measured.setdefault(doing.n, []).extend(
                SeedResult(seed, self.draw(value), purpose=doing.purpose) for seed in doing.seeds
            )
            self.move()
        elif isinstance(doing, RunChallenge):
            fails = [Status.INVALID, Status.CRASH, Status.ABORTED]
            status = self.draw(st.sampled_from([None, None, *fails]))
            if status is None and not judgeable:
                self.begun.append((doing, True))
            else:
                adopted = Status.KEEP if self.rules is NAIVE else Status.LEAD
                judged = st.sampled_from([adopted, adopted, Status.DISCARD])
                self.end(status or self.draw(judged), doing.rung, is_baseline=False, of=None)

    def end(self, status: Status, rung: Rung, *, is_baseline: bool, of: Incumbent | None) -> None:
        self.n += 1
        verdict = {"lead": True} if status is Status.LEAD else {}
        ended = replace(experiment(self.n, status, rung), is_baseline=is_baseline, verdict=verdict)
        ended = replace(ended, tokens=Tokens(input=1), score=0.5)
        self.state = self.state.after(replace(ended, commit=of.commit) if of else ended)
        self.move()

    def move(self) -> None:
        """Have the lead go back, or be published, as the engine does before it plans."""
        while move := next_move(self.evidence, self.rules):
            record = LeadMove(move.kind, move.to, self.n, move.reason, seeds=move.seeds)
            self.state = self.state.after_move(record)
        self.drop_former_references()

    def accept(self) -> None:
        """Have a person make another candidate the incumbent, as the engine allows it."""
        if self.state.incumbent is None or self.in_flight.baselines:
            return
        rung = self.draw(st.sampled_from([LOW, HIGH]))
        n = self.draw(st.integers(1, max(self.n, 1)))
        self.state = self.state.after_accept(Accept(n, self.n, rung, 0.5, {101: 0.5}, f"a{n}"))
        self.drop_former_references()

    def drop_former_references(self) -> None:
        self.begun = [
            (doing, waits)
            for doing, waits in self.begun
            if not isinstance(doing, MeasureCandidate) or self.state.lead_or_published(doing.n)
        ]


@settings(max_examples=examples(300), deadline=None)
@given(st.data())
def test_whatever_the_order_of_endings_no_limit_is_passed(data: st.DataObject) -> None:
    """Nor does a run stand still, or end while something in flight could still end by itself."""
    flight = Flight(data)
    for _ in range(data.draw(st.integers(1, 60))):
        if isinstance(flight.begin(), Finish):
            assert all(waits for _, waits in flight.begun)
            return
        flight.go_on()
        if data.draw(st.integers(0, 9)) == 0:
            flight.accept()
        state, limits = flight.state, flight.limits
        for reached, limit in (
            (state.counted, limits.experiments),
            (state.without_keep, limits.without_keep),
            (state.consecutive_failures, limits.consecutive_failures),
        ):
            assert limit is None or reached <= limit
