"""The state of a run with leads: a fold over endings, moves of the lead, and overrides."""

from dataclasses import replace

import pytest

from orchestrator.core.evaluations import Report
from orchestrator.core.experiments import Accept, Experiment, LeadMove, MoveKind, Seconds
from orchestrator.core.records import Rung, Status
from orchestrator.planning.candidates import Incumbent
from orchestrator.planning.events import in_order
from orchestrator.planning.state import RunState, replay

LOW, HIGH = Rung(12, 8), Rung(32, 8)


def ended(n: int, status: Status = Status.DISCARD, rung: Rung = LOW, **facts: object) -> Experiment:
    """Return a challenger that ended in the order of its number."""
    known = {"commit": f"c{n}", "score": n / 8, "scores_by_seed": {101: n / 8}, "ended": n} | facts
    return Experiment(n, "t", False, status, rung, "a", **known)  # type: ignore[arg-type]


def lead(n: int, now: Status = Status.LEAD, **facts: object) -> Experiment:
    """Return one that took the lead, and is something else by now."""
    return ended(n, now, verdict={"lead": True}, **facts)


def baseline(
    n: int, rung: Rung = LOW, commit: str = "c1", status: Status = Status.BASELINE, **facts: object
) -> Experiment:
    score = 0.5 if status is Status.BASELINE else None
    scores = {} if score is None else {101: score, 138: score}
    return Experiment(
        n, "t", True, status, rung, "none", commit=commit, score=score, scores_by_seed=scores,
        reason="why", ended=n, **facts,  # type: ignore[arg-type]
    )  # fmt: skip


def moved(kind: MoveKind, n: int, after: int = 99) -> LeadMove:
    return LeadMove(kind, n, after, "because")


def back(n: int, after: int = 99) -> LeadMove:
    return moved(MoveKind.ROLLBACK, n, after)


def proven(n: int, after: int = 99) -> LeadMove:
    return moved(MoveKind.PROMOTION, n, after)


def numbers(state: RunState) -> tuple[int | None, list[int]]:
    """Return the published candidate's number, and those of the steps to the lead."""
    return state.incumbent and state.incumbent.n, [step.n for step in state.leads]


CHAIN = replay([baseline(1), lead(2), ended(3), lead(4), ended(5), lead(6)], [])
"""Three steps from the published candidate to the lead."""


def test_before_there_is_a_lead_the_published_candidate_leads() -> None:
    """And before that nothing does."""
    state = replay([baseline(1)], [])
    assert state.lead is state.incumbent
    assert RunState().lead is None


def test_a_challenger_takes_the_lead_and_the_branch_stays() -> None:
    """It is no keep yet: patience and limits count it as any other that was judged."""
    assert numbers(CHAIN) == (1, [2, 4, 6])
    assert CHAIN.lead == Incumbent(6, "c6", 0.75, {101: 0.75}, 6)
    assert (CHAIN.counted, CHAIN.without_keep, CHAIN.since_keep_at_rung) == (5, 5, 5)
    assert (CHAIN.keeps_at_rung, CHAIN.since_lead) == (0, 0)
    assert CHAIN.by_status == {Status.BASELINE: 1, Status.LEAD: 3, Status.DISCARD: 2}


def test_what_was_judged_since_the_lead_moved_is_counted() -> None:
    """Failures and aborted ones are none of it."""
    state = CHAIN
    for n, status in (
        (7, Status.DISCARD),
        (8, Status.CRASH),
        (9, Status.ABORTED),
        (10, Status.DISCARD),
    ):
        state = state.after(ended(n, status))
    assert state.since_lead == 2
    assert state.after(lead(11)).since_lead == 0
    for move in (back(4), back(1), proven(6)):
        assert state.after_move(move).since_lead == 0


@pytest.mark.parametrize(("to", "steps"), [(4, [2, 4]), (2, [2]), (1, []), (6, [2, 4, 6])])
def test_the_lead_goes_back_to_a_step_before_it(to: int, steps: list[int]) -> None:
    """Or to the published candidate; what it leaves behind is discarded."""
    state = CHAIN.after_move(back(to))
    assert numbers(state) == (1, steps)
    left = 3 - len(steps)
    assert state.by_status.get(Status.LEAD, 0) == len(steps)
    assert state.by_status[Status.DISCARD] == 2 + left
    assert (state.without_keep, state.since_keep_at_rung) == (5, 5)
    assert Status.LEAD in state.by_status or not steps


def test_a_proven_lead_is_published_with_all_its_steps() -> None:
    """Each of them is a keep, and what waited for one starts anew."""
    failed = replace(CHAIN, climb_failed=True)
    state = failed.after_move(proven(6))
    assert numbers(state) == (6, [])
    assert state.incumbent is not None
    assert state.incumbent.is_proven
    assert state.lead is state.incumbent
    assert state.by_status == {Status.BASELINE: 1, Status.KEEP: 3, Status.DISCARD: 2}
    assert (state.keeps_at_rung, state.without_keep, state.since_keep_at_rung) == (3, 0, 0)
    assert not state.climb_failed
    assert (state.counted, state.baseline_score) == (5, 0.5)


def test_the_steps_after_what_is_proven_lead_on() -> None:
    """They stand on it."""
    state = CHAIN.after_move(proven(4))
    assert numbers(state) == (4, [6])
    assert state.by_status == {
        Status.BASELINE: 1, Status.KEEP: 2, Status.LEAD: 1, Status.DISCARD: 2
    }  # fmt: skip


def test_only_a_lead_can_be_proven() -> None:
    """Anything else is a mistake of ours."""
    with pytest.raises(AssertionError):
        CHAIN.after_move(proven(3))


@pytest.mark.parametrize("verdict", [{}, {"epoch": True}])
def test_what_is_kept_at_once_leaves_the_lead_behind(verdict: dict[str, object]) -> None:
    """As the naive rule keeps, and as another task does."""
    state = CHAIN.after(ended(7, Status.KEEP, verdict=verdict))
    assert numbers(state) == (7, [])
    assert state.by_status == {Status.BASELINE: 1, Status.DISCARD: 5, Status.KEEP: 1}
    assert state.incumbent is not None
    assert not state.incumbent.is_proven


@pytest.mark.parametrize("n", [3, 4, 6])
def test_an_override_is_published_and_lead(n: int) -> None:
    """Whatever it was, a lead or not; all leads are left behind."""
    accept = Accept(n, 6, LOW, 0.5, {101: 0.5}, "a")
    state = CHAIN.after_accept(accept)
    assert numbers(state) == (n, [])
    assert state.by_status == {Status.BASELINE: 1, Status.DISCARD: 5}
    assert (state.since_lead, state.without_keep) == (0, 0)


# -- climbs ----------------------------------------------------------------------------------------

CLIMBED = CHAIN.after(baseline(7, HIGH))


def test_a_climb_takes_the_lead_along_without_its_score() -> None:
    """Nothing is compared across rungs: both are scored anew, and what was proven is proven there."""
    assert numbers(CLIMBED) == (1, [2, 4, 6])
    assert all((step.score, step.scored_by) == (None, None) for step in CLIMBED.leads)
    assert all(step.scores_by_seed == {} for step in CLIMBED.leads)
    assert CLIMBED.by_status[Status.LEAD] == 3
    assert (CLIMBED.since_lead, CLIMBED.since_keep_at_rung) == (0, 0)
    above = CHAIN.after_move(proven(6)).after(baseline(7, HIGH, "c6"))
    assert above.incumbent is not None
    assert (above.incumbent.n, above.incumbent.scored_by) == (6, 7)
    assert not above.incumbent.is_proven


def test_a_baseline_of_the_lead_scores_the_lead_alone() -> None:
    """The baseline's score stays that of the published candidate."""
    state = CLIMBED.after(baseline(8, HIGH, "c6"))
    assert numbers(state) == (1, [2, 4, 6])
    assert state.lead is not None
    assert (state.lead.score, state.lead.scored_by) == (0.5, 8)
    assert state.lead.scores_by_seed == {101: 0.5, 138: 0.5}
    assert [step.scored_by for step in state.leads] == [None, None, 8]
    assert state.incumbent is not None
    assert (state.incumbent.scored_by, state.rung) == (7, HIGH)


@pytest.mark.parametrize("status", [Status.CRASH, Status.TIMEOUT, Status.REJECTED, Status.INVALID])
def test_a_lead_that_fails_at_the_higher_budget_leads_no_more(status: Status) -> None:
    """The published candidate could be scored there, so the run goes on from it."""
    state = CLIMBED.after(baseline(8, HIGH, "c6", status))
    assert numbers(state) == (1, [])
    assert (state.baseline_failure, state.climb_failed) == ("", False)
    assert state.by_status == {Status.BASELINE: 2, Status.DISCARD: 5, status: 1}


def test_a_baseline_of_the_lead_that_was_stopped_is_due_again() -> None:
    """It says nothing of the lead."""
    state = CLIMBED.after(baseline(8, HIGH, "c6", Status.ABORTED))
    assert state.leads == CLIMBED.leads


def test_a_failed_climb_leaves_the_lead_where_it_is() -> None:
    """It is scored at this rung, and the run stays."""
    state = CHAIN.after(baseline(7, HIGH, status=Status.CRASH))
    assert (state.leads, state.climb_failed, state.rung) == (CHAIN.leads, True, LOW)


# -- replay ----------------------------------------------------------------------------------------


def test_what_became_of_a_lead_since_does_not_change_what_it_was() -> None:
    """Its status by now is in the ledger; the move that made it so comes later in the fold."""
    events = [baseline(1), lead(2, Status.KEEP), ended(3), lead(4, Status.DISCARD), lead(5)]
    live = replay([baseline(1), lead(2), ended(3), lead(4), lead(5)], [])
    assert replay(events, []) == live
    moves = [proven(2, after=3), back(2, after=4)]
    state = replay(events, moves)
    assert numbers(state) == (2, [5])
    assert state.by_status == {
        Status.BASELINE: 1, Status.KEEP: 1, Status.DISCARD: 2, Status.LEAD: 1
    }  # fmt: skip


def test_moves_come_after_the_ending_that_they_followed() -> None:
    """In their own order where they followed the same one."""
    experiments = [baseline(1), lead(2), lead(3)]
    moves: list[LeadMove | Accept] = [back(1, after=2), proven(3, after=3), back(3, after=3)]
    events = list(in_order(experiments, moves))
    assert events == [experiments[0], experiments[1], moves[0], experiments[2], moves[1], moves[2]]


def test_a_new_start_forgives_failures_and_no_lead() -> None:
    """What failed may be tried anew; moves after the last ending of before count as ever."""
    failed = [baseline(1), lead(2), ended(3, Status.CRASH)]
    state = replay([*failed, ended(4, Status.CRASH)], [back(1, after=3)], started_after=3)
    assert (state.consecutive_failures, state.leads) == (1, ())
    state = replay(failed, [back(1, after=3)], started_after=3)
    assert (state.consecutive_failures, state.leads) == (0, ())


def test_time_is_added_up_for_what_proposals_cost() -> None:
    """The agent's by proposal; the evaluator's of all experiments; a seed's by the latest baseline."""
    state = replay(
        [
            baseline(1, seconds=Seconds(0.0, 8.0)),
            ended(2, seconds=Seconds(3.0, 5.0)),
            ended(3, Status.ABORTED, seconds=Seconds(1.0, 1.0)),
            lead(4, seconds=Seconds(2.0, 6.0)),
        ],
        [],
    )
    assert (state.agent_s, state.mean_agent_s, state.evaluator_s) == (6.0, 3.0, 20.0)
    assert state.seed_s == 4.0
    assert RunState().mean_agent_s is None
    assert state.after(baseline(5, HIGH, seconds=Seconds(0.0, 20.0))).seed_s == 10.0


def test_candidates_are_found_by_what_proposed_and_what_scored_them() -> None:
    """Steps by number; of those that are measured, by the experiment that scored them."""
    state = CLIMBED.after(baseline(8, HIGH, "c6"))
    assert [step and step.n for step in map(state.find, (1, 2, 4, 6, 3, 8))] == [
        1, 2, 4, 6, None, None
    ]  # fmt: skip
    measured = [state.lead_or_published(n) for n in (7, 8, 1, 6)]
    assert [each and each.n for each in measured] == [1, 6, None, None]
    assert state.lead_or_published(None) is None


def test_what_leads_learnt_counts_for_the_rung() -> None:
    """As of any other challenger."""
    solved = Report({"mean_solve_rate": 0.5})
    state = replay([replace(baseline(1), report=Report({"mean_solve_rate": 0.0})),
                    lead(2, report=solved)], [])  # fmt: skip
    assert (state.scored_at_rung, state.learnt_at_rung) == (1, True)
