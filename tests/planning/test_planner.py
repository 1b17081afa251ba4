"""What comes next: the ladder, the limits, and the state as a fold over the ledger."""

from dataclasses import replace

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from orchestrator.config.schema import BudgetConfig, JudgeConfig, LimitsConfig
from orchestrator.core.evaluations import Report
from orchestrator.core.experiments import Accept, Experiment, StopKind, StopReason
from orchestrator.core.records import FAILED, Rung, Status, Tokens
from orchestrator.judging.candidate_evidence import UNMEASURED, SearchEvidence
from orchestrator.judging.rules import JudgingRules
from orchestrator.planning.ladder import climb_reason, rung_above
from orchestrator.planning.planner import (
    Finish,
    RunBaseline,
    RunChallenge,
    Step,
    is_judgeable,
    limit_reached,
    may_repair,
    next_step,
)
from orchestrator.planning.state import RunState, replay

LOW, MIDDLE, HIGH = Rung(12, 8), Rung(32, 8), Rung(64, 12)
BUDGET = BudgetConfig(ladder=[LOW, MIDDLE, HIGH], patience=3, min_keeps=2)
LIMITS = LimitsConfig()
NAIVE = JudgingRules(JudgeConfig(rule="naive"), 1)
NOTHING_KNOWN = SearchEvidence()
OUTCOMES = [s for s in Status if s not in {Status.BASELINE, Status.LEAD}]


def challenge(
    n: int, status: Status = Status.DISCARD, rung: Rung = LOW, **facts: object
) -> Experiment:
    score = 0.1 * n if status in {Status.KEEP, Status.DISCARD} else None
    recorded = {"commit": f"c{n}", "score": score, "ended": n} | facts
    return Experiment(n, "t", False, status, rung, "scripted", **recorded)  # type: ignore[arg-type]


def baseline(n: int, rung: Rung = LOW, status: Status = Status.BASELINE) -> Experiment:
    score = 0.5 if status is Status.BASELINE else None
    return Experiment(
        n, "t", True, status, rung, "none", commit=f"c{n}", score=score, reason="why", ended=n
    )


def override(n: int, after_ended: int, rung: Rung = LOW, score: float | None = 0.3) -> Accept:
    return Accept(n, after_ended, rung, score, {101: score or 0.0}, f"accepted{n}")


def state_of(*experiments: Experiment) -> RunState:
    return replay(experiments, [])


def step(
    state: RunState, budget: BudgetConfig = BUDGET, ran_h: float = 0.0, **limits: float
) -> Step:
    most = LimitsConfig(**limits)  # type: ignore[arg-type]
    return next_step(state, budget, most, hours=ran_h, rules=NAIVE, evidence=NOTHING_KNOWN)


def limit_end(text: str) -> Finish:
    return Finish(StopReason(StopKind.LIMIT, text))


# -- the ladder ------------------------------------------------------------------------------------


def test_first_step_is_the_lowest_baseline() -> None:
    """A new run begins with a baseline at the lowest rung."""
    assert step(RunState()) == RunBaseline(LOW, "the candidate as it stands")


def test_after_the_baseline_comes_a_challenge() -> None:
    """With a baseline at the rung, the agent is asked."""
    assert step(state_of(baseline(1))) == RunChallenge(LOW)


def test_aborted_baseline_is_due_again() -> None:
    """A baseline that was stopped is run once more."""
    assert isinstance(step(state_of(baseline(1, status=Status.ABORTED))), RunBaseline)


def test_enough_keeps_climb() -> None:
    """min_keeps keeps at a rung are a reason to climb: the incumbent is scored there first."""
    state = state_of(baseline(1), challenge(2, Status.KEEP), challenge(3, Status.KEEP))
    assert step(state) == RunBaseline(MIDDLE, "2 keeps at the budget below (budget.min_keeps)")


def test_patience_climbs() -> None:
    """`patience` judged experiments in a row without a keep are a reason to climb."""
    state = state_of(baseline(1), *(challenge(n, Status.DISCARD) for n in range(2, 5)))
    assert step(state) == RunBaseline(
        MIDDLE, "3 experiments without a keep at the budget below (budget.patience)"
    )


@pytest.mark.parametrize("status", sorted(FAILED))
def test_failures_do_not_climb(status: Status) -> None:
    """What was never scored says nothing of a rung, however often it fails."""
    state = state_of(baseline(1), *(challenge(n, status) for n in range(2, 9)))
    assert step(state) == RunChallenge(LOW)


def test_keep_renews_patience() -> None:
    """A keep starts the count of patience anew."""
    state = state_of(
        baseline(1),
        challenge(2),
        challenge(3),
        challenge(4, Status.KEEP),
        challenge(5),
        challenge(6),
    )
    assert step(state) == RunChallenge(LOW)


def test_aborted_experiments_do_not_use_patience() -> None:
    """Experiments that we stopped say nothing of the rung."""
    state = state_of(baseline(1), *(challenge(n, Status.ABORTED) for n in range(2, 9)))
    assert step(state) == RunChallenge(LOW)


def test_new_rung_starts_its_own_counts() -> None:
    """After a climb keeps and patience count from zero, and scores of the rung below are gone."""
    state = state_of(
        baseline(1), challenge(2, Status.KEEP), challenge(3, Status.KEEP), baseline(4, MIDDLE)
    )
    assert step(state) == RunChallenge(MIDDLE)
    assert (state.rung, state.keeps_at_rung, state.since_keep_at_rung) == (MIDDLE, 0, 0)
    assert state.incumbent is not None
    assert (state.incumbent.n, state.incumbent.commit, state.incumbent.score) == (3, "c3", 0.5)
    assert state.baseline_score == 0.5


def test_top_of_the_ladder_stays() -> None:
    """At the last rung there is nothing to climb to."""
    state = state_of(baseline(1, HIGH), *(challenge(n, rung=HIGH) for n in range(2, 30)))
    assert step(state) == RunChallenge(HIGH)


@pytest.mark.parametrize("status", [Status.CRASH, Status.TIMEOUT, Status.REJECTED, Status.INVALID])
def test_failed_climb_stays_until_there_is_another_incumbent(status: Status) -> None:
    """If the incumbent fails at the next rung, the run stays; the next one kept may try again."""
    events = [baseline(1), challenge(2), challenge(3), challenge(4), baseline(5, MIDDLE, status)]
    state = state_of(*events)
    assert step(state) == RunChallenge(LOW)
    state = state_of(*events, *(challenge(n) for n in range(6, 12)))
    assert step(state) == RunChallenge(LOW)
    assert state.rung == LOW
    again = state.after(challenge(12, Status.KEEP)).after(challenge(13, Status.KEEP))
    assert isinstance(step(again), RunBaseline)


def test_aborted_climb_is_tried_again() -> None:
    """A climb that was stopped by us is due at the next start."""
    events = [baseline(1), challenge(2), challenge(3), challenge(4)]
    state = state_of(*events, baseline(5, MIDDLE, Status.ABORTED))
    assert isinstance(step(state), RunBaseline)


@pytest.mark.parametrize("status", [Status.CRASH, Status.TIMEOUT, Status.REJECTED, Status.INVALID])
def test_failed_first_baseline_ends_the_run(status: Status) -> None:
    """Without a baseline there is nothing to beat: the run ends and says why."""
    text = f"the baseline failed: {status}: why"
    assert step(state_of(baseline(1, status=status))) == Finish(
        StopReason(StopKind.BASELINE_FAILED, text)
    )


def test_caps_bound_the_ladder() -> None:
    """Rungs beyond a cap do not exist for the run."""
    capped = BudgetConfig(ladder=[LOW, MIDDLE, HIGH], max_train_episodes=40, patience=1)
    assert rung_above(LOW, capped) == MIDDLE
    assert rung_above(MIDDLE, capped) is None
    capped = BudgetConfig(ladder=[LOW, MIDDLE, HIGH], max_eval_episodes=8, patience=1)
    assert rung_above(MIDDLE, capped) is None


def test_lowered_caps_end_the_run() -> None:
    """A run above caps that were lowered since ends: it neither exceeds them nor goes down."""
    state = state_of(baseline(1, HIGH))
    capped = BudgetConfig(ladder=[LOW, MIDDLE, HIGH], max_train_episodes=40)
    stopped = step(state, capped)
    assert isinstance(stopped, Finish)
    assert stopped.reason.kind is StopKind.STUCK
    assert "64/12" in stopped.reason.text
    assert "--tag" in stopped.reason.text


def test_rung_at_the_caps_is_within_them() -> None:
    """A run whose rung is as large as both caps goes on."""
    exact = BudgetConfig(ladder=[LOW], max_train_episodes=12, max_eval_episodes=8)
    assert step(state_of(baseline(1)), exact) == RunChallenge(LOW)


@pytest.mark.parametrize(
    ("rung", "above"),
    [
        (Rung(12, 8), MIDDLE),
        (Rung(20, 8), MIDDLE),
        (Rung(20, 10), HIGH),
        (Rung(40, 8), HIGH),
        (Rung(64, 12), None),
        (Rung(64, 13), None),
        (Rung(500, 1), None),
    ],
)
def test_changed_ladder_is_never_climbed_down(rung: Rung, above: Rung | None) -> None:
    """From a rung that is no longer in the ladder the next one is at least as large in both."""
    assert rung_above(rung, BUDGET) == above


# -- overrides -------------------------------------------------------------------------------------


def test_accept_at_the_rung_needs_no_baseline() -> None:
    """A human's choice that was scored at this rung is the incumbent at once."""
    state = replay([baseline(1), challenge(2)], [override(2, after_ended=2)])
    assert step(state) == RunChallenge(LOW)
    assert state.incumbent is not None
    assert (state.incumbent.n, state.incumbent.commit, state.incumbent.score) == (
        2,
        "accepted2",
        0.3,
    )


@pytest.mark.parametrize("accept", [override(2, 5, LOW), override(4, 5, MIDDLE, score=None)])
def test_accept_without_a_score_at_the_rung_needs_a_baseline(accept: Accept) -> None:
    """What was scored at another rung, or not at all, is scored before anything is compared."""
    events = [baseline(1), challenge(2), baseline(3, MIDDLE), challenge(4, rung=MIDDLE)]
    state = replay([*events, challenge(5, rung=MIDDLE)], [accept])
    assert step(state) == RunBaseline(
        MIDDLE, "the accepted candidate, not yet scored at this budget"
    )
    assert not is_judgeable(state, MIDDLE, NAIVE, NOTHING_KNOWN)


def test_accept_renews_patience() -> None:
    """A human's choice is news: patience and without_keep start anew."""
    events = [baseline(1), *(challenge(n) for n in range(2, 5))]
    state = replay(events, [override(2, after_ended=4)])
    assert step(state) == RunChallenge(LOW)
    assert state.without_keep == 0


def test_an_accepted_candidate_may_climb_where_another_could_not() -> None:
    """What failed at the next rung was the incumbent of then."""
    failed = [baseline(1), challenge(2), baseline(3, MIDDLE, Status.CRASH)]
    assert replay(failed, []).climb_failed
    assert not replay(failed, [override(2, after_ended=3)]).climb_failed


def test_accept_makes_any_experiment_a_task() -> None:
    """Also a baseline that was flagged to be none, and at every later rung."""
    canvas = replace(baseline(1), flags=("no task: why",))
    state = state_of(canvas)
    assert state.incumbent is not None
    assert not state.incumbent.is_task
    accepted = replay([canvas], [override(1, 1)])
    assert accepted.incumbent is not None
    assert accepted.incumbent.is_task


def test_the_first_task_is_the_baseline_of_the_rung() -> None:
    """It is kept, and counts as no improvement on anything."""
    canvas = replace(baseline(1), flags=("no task: why",))
    state = state_of(canvas, challenge(2, Status.KEEP), challenge(3, Status.KEEP))
    assert state.incumbent is not None
    assert (state.incumbent.n, state.incumbent.is_task) == (3, True)
    assert (state.baseline_score, state.keeps_at_rung) == (0.2, 1)


def test_what_was_learnt_at_a_rung_counts_there() -> None:
    """By its baseline, kept or not; a climb begins anew."""

    def solved(share: float) -> Report:
        return Report({"mean_solve_rate": share})

    start = replace(baseline(1), report=solved(0.0))
    losers = [challenge(n, report=solved(0.0)) for n in (2, 3)]
    unscored = challenge(4, Status.CRASH)
    state = state_of(start, losers[0], unscored, replace(losers[1], status=Status.REJECTED))
    assert (state.scored_at_rung, state.learnt_at_rung) == (2, False)
    assert state_of(replace(start, report=solved(0.1)), *losers).learnt_at_rung
    learnt = state_of(start, *losers, challenge(5, report=solved(0.1)))
    assert (learnt.scored_at_rung, learnt.learnt_at_rung) == (3, True)
    higher = learnt.after(replace(baseline(6, MIDDLE), report=solved(0.0)))
    assert (higher.scored_at_rung, higher.learnt_at_rung) == (0, False)


def test_accept_takes_effect_after_its_experiment() -> None:
    """Overrides are folded in between the experiments they came between."""
    events = [baseline(1), challenge(2), challenge(3, Status.KEEP), challenge(4)]
    kept = replay(events, [override(2, after_ended=2)]).incumbent
    chosen = replay(events, [override(2, after_ended=3)]).incumbent
    assert kept is not None
    assert chosen is not None
    assert (kept.n, chosen.n) == (3, 2)


def test_failed_baseline_of_an_accepted_candidate_can_be_overruled() -> None:
    """If the accepted candidate fails at this rung the run ends; another choice sets it going."""
    events = [baseline(1), challenge(2), baseline(3, MIDDLE), baseline(4, MIDDLE, Status.CRASH)]
    first = override(2, after_ended=3)
    assert isinstance(step(replay(events, [first])), Finish)
    again = override(3, after_ended=4, rung=MIDDLE)
    assert step(replay(events, [first, again])) == RunChallenge(MIDDLE)


# -- limits ----------------------------------------------------------------------------------------

SPENT = [
    baseline(1),
    *(challenge(n, tokens=Tokens(100, 50, 10, 5), cost_usd=0.25) for n in (2, 3, 4)),
]


@pytest.mark.parametrize(
    ("limit", "value", "reason"),
    [
        ("experiments", 3, "limits.experiments reached (3 of 3)"),
        ("tokens", 330, "limits.tokens reached (330 of 330)"),
        ("cost_usd", 0.75, "limits.cost_usd reached (0.75 of 0.75)"),
        ("without_keep", 3, "limits.without_keep reached (3 of 3)"),
        ("hours", 2.5, "limits.hours reached (2.5 of 2.5)"),
    ],
)
def test_limits_end_the_run(limit: str, value: float, reason: str) -> None:
    """A run ends when a limit is reached, and not before."""
    state = state_of(*SPENT)
    assert step(state, ran_h=2.5, **{limit: value}) == limit_end(reason)
    more = value + 1 if isinstance(value, int) else value * 1.01
    assert not isinstance(step(state, ran_h=2.5, **{limit: more}), Finish)


def test_keep_starts_without_keep_anew() -> None:
    """Only experiments since the last keep count as experiments without a keep."""
    events = [challenge(2), challenge(3), challenge(4, Status.KEEP), challenge(5)]
    assert state_of(baseline(1), *events[:3]).without_keep == 0
    assert state_of(baseline(1), *events).without_keep == 1


@pytest.mark.parametrize("status", [Status.CRASH, Status.TIMEOUT, Status.INVALID, Status.REJECTED])
def test_consecutive_failures_end_the_run(status: Status) -> None:
    """Failures in a row end the run; a judged experiment between them starts the count anew."""
    failed = [challenge(n, status) for n in (2, 3)]
    assert step(state_of(baseline(1), *failed), consecutive_failures=2) == limit_end(
        "limits.consecutive_failures reached (2 of 2)"
    )
    apart = [failed[0], challenge(3), challenge(4, status)]
    assert not isinstance(step(state_of(baseline(1), *apart), consecutive_failures=2), Finish)


def test_aborted_experiment_keeps_the_count_of_failures() -> None:
    """An experiment that we stopped neither fails nor succeeds."""
    events = [challenge(2, Status.CRASH), challenge(3, Status.ABORTED), challenge(4, Status.CRASH)]
    assert state_of(baseline(1), *events).consecutive_failures == 2


def test_baselines_and_aborted_do_not_count() -> None:
    """Baselines and aborted experiments count towards no limit of experiments or keeps."""
    events = [baseline(1), challenge(2, Status.ABORTED), baseline(3, MIDDLE), baseline(4, HIGH)]
    state = state_of(*events)
    assert (state.counted, state.without_keep, state.consecutive_failures) == (0, 0, 0)
    assert state.by_status == {Status.BASELINE: 3, Status.ABORTED: 1}


def test_tokens_of_aborted_experiments_are_spent() -> None:
    """What a stopped experiment cost was paid for all the same."""
    spent = challenge(2, Status.ABORTED, tokens=Tokens(5, None, 7, None), cost_usd=0.5)
    state = state_of(baseline(1), spent)
    assert (state.tokens, state.cost_usd) == (12, 0.5)


def test_large_numbers_are_written_out() -> None:
    """A token limit is shown to the last digit."""
    spent = challenge(2, tokens=Tokens(1_234_567, None, 0, None))
    assert limit_reached(state_of(spent), LimitsConfig(tokens=1_000_000), hours=0) == (
        "limits.tokens reached (1234567 of 1000000)"
    )


def test_no_limit_is_no_end() -> None:
    """With every limit null a run ends by itself only when there is nothing to do."""
    events = [challenge(n, Status.CRASH) for n in range(2, 500)]
    limits = LimitsConfig(consecutive_failures=None)
    assert limit_reached(state_of(baseline(1), *events), limits, hours=1e6) is None


def test_limits_are_checked_before_anything_is_spent() -> None:
    """A climb that is due does not start once a limit is reached."""
    state = state_of(baseline(1), *(challenge(n) for n in range(2, 5)))
    assert climb_reason(state, BUDGET, UNMEASURED)
    assert isinstance(step(state, experiments=3), Finish)


# -- repairs ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("failure", "failures", "crashes", "max_repairs", "may"),
    [
        (Status.INVALID, 1, 0, 2, True),
        (Status.INVALID, 2, 0, 2, True),
        (Status.INVALID, 3, 0, 2, False),
        (Status.INVALID, 1, 0, 0, False),
        (Status.CRASH, 1, 1, 2, True),
        (Status.CRASH, 1, 1, 1, True),
        (Status.CRASH, 1, 1, 0, False),
        (Status.CRASH, 2, 2, 2, False),
        (Status.CRASH, 2, 1, 2, True),
        (Status.CRASH, 3, 1, 2, False),
        (Status.INVALID, 2, 1, 2, True),
        (Status.TIMEOUT, 1, 0, 2, False),
        (Status.REJECTED, 1, 0, 2, False),
        (Status.ABORTED, 1, 0, 2, False),
        (Status.DISCARD, 1, 0, 2, False),
        (None, 0, 0, 2, False),
    ],
)
def test_what_may_be_repaired(
    failure: Status | None, failures: int, crashes: int, max_repairs: int, may: bool
) -> None:
    """Unusable replies get max_repairs more tries, a crash one, everything else none."""
    assert may_repair(failure, failures=failures, crashes=crashes, max_repairs=max_repairs) is may


def test_judgeable_only_at_the_same_rung() -> None:
    """A challenger is judged only against an incumbent that is scored at the same rung."""
    state = state_of(baseline(1))
    assert is_judgeable(state, LOW, NAIVE, NOTHING_KNOWN)
    assert not is_judgeable(state, MIDDLE, NAIVE, NOTHING_KNOWN)
    assert not is_judgeable(RunState(), LOW, NAIVE, NOTHING_KNOWN)


# -- any history -----------------------------------------------------------------------------------

RUNGS = st.sampled_from([LOW, MIDDLE, HIGH])
EVENTS = st.lists(
    st.tuples(st.booleans(), st.sampled_from(OUTCOMES), RUNGS, st.integers(0, 9)), max_size=25
)


def as_experiments(events: list[tuple[bool, Status, Rung, int]]) -> list[Experiment]:
    return [
        baseline(n, rung, Status.BASELINE if status is Status.KEEP else status)
        if is_baseline
        else challenge(n, status, rung, tokens=Tokens(spent, None, spent, None), cost_usd=spent / 8)
        for n, (is_baseline, status, rung, spent) in enumerate(events, 1)
    ]


@settings(deadline=None)
@given(EVENTS, st.integers(0, 25), st.lists(st.tuples(st.integers(1, 25), RUNGS), max_size=4))
def test_restart_knows_where_it_was(
    events: list[tuple[bool, Status, Rung, int]], cut: int, chosen: list[tuple[int, Rung]]
) -> None:
    """Replaying a prefix and going on live gives the same state as replaying everything."""
    experiments = as_experiments(events)
    accepts = [override(after, after, rung) for after, rung in sorted(chosen)]
    live = replay(experiments[:cut], [a for a in accepts if a.after_ended <= cut])
    waiting = [a for a in accepts if a.after_ended > cut]
    for experiment in experiments[cut:]:
        while waiting and waiting[0].after_ended < experiment.ended:
            live = live.after_accept(waiting.pop(0))
        live = live.after(experiment)
    for accept in waiting:
        live = live.after_accept(accept)
    assert live == replay(experiments, accepts)


DRIVEN = st.lists(
    st.tuples(
        st.sampled_from([*OUTCOMES, Status.KEEP, Status.DISCARD]),
        st.booleans(),
        st.integers(0, 5) | st.none(),
    ),
    max_size=60,
)
BUDGETS = st.builds(
    lambda rungs, patience, keeps, cap: BudgetConfig(
        ladder=sorted(rungs), patience=patience, min_keeps=keeps, max_train_episodes=max(cap, 2)
    ),
    st.sets(st.sampled_from([(2, 1), (12, 8), (32, 8), (64, 12), (128, 16)]), min_size=1).map(list),
    st.integers(1, 4),
    st.integers(1, 4),
    st.integers(2, 200),
).filter(lambda budget: bool(budget.rungs))


AN_ACCEPT_ALLOWS_A_CLIMB_AGAIN = [
    (Status.KEEP, False, None),
    (Status.KEEP, False, None),
    (Status.KEEP, True, 0),  # a climb that fails, and a human's accept
    (Status.KEEP, False, None),
]


@settings(deadline=None)
@given(DRIVEN, BUDGETS)
@example(AN_ACCEPT_ALLOWS_A_CLIMB_AGAIN, BudgetConfig(ladder=[LOW, MIDDLE], min_keeps=1))
def test_any_run_obeys_the_ladder(
    outcomes: list[tuple[Status, bool, int | None]], budget: BudgetConfig
) -> None:
    """Never down, never beyond caps, a baseline first; one incumbent tries a climb once."""
    state, done, failed_climbs = RunState(), list[Experiment](), list[Rung]()
    for n, (status, baseline_fails, accept_n) in enumerate(outcomes, 1):
        doing = step(state, budget, consecutive_failures=None)
        if isinstance(doing, Finish):
            assert state.baseline_failure
            break
        assert isinstance(doing, RunBaseline | RunChallenge)
        assert doing.rung in budget.rungs
        assert state.rung is None or doing.rung >= state.rung
        if isinstance(doing, RunBaseline):
            assert doing.rung not in failed_climbs
            ended = Status.CRASH if baseline_fails else Status.BASELINE
            experiment = baseline(
                n, doing.rung, Status.ABORTED if status is Status.ABORTED else ended
            )
            if experiment.status is Status.CRASH:
                failed_climbs += [doing.rung] if state.rung != doing.rung else []
        else:
            assert doing.rung == state.rung
            assert is_judgeable(state, doing.rung, NAIVE, NOTHING_KNOWN)
            experiment = challenge(n, status, doing.rung)
        if experiment.status is Status.KEEP:
            failed_climbs.clear()
        before, state = state, state.after(experiment)
        done.append(experiment)
        assert before.rung is None or (state.rung is not None and state.rung >= before.rung)
        if accept_n is not None and state.incumbent and accept_n < len(done):
            chosen = done[accept_n]
            state = state.after_accept(override(chosen.n, n, chosen.rung, chosen.score))
            failed_climbs.clear()  # the one that was accepted may learn there
