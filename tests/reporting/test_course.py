"""How the published candidate and the lead moved, and what became of those that led."""

from orchestrator.core.experiments import Accept, Experiment, LeadMove, MoveKind
from orchestrator.core.records import Rung, Status
from orchestrator.planning.state import replay
from orchestrator.reporting.course import Step, course

LOW, HIGH = Rung(12, 8), Rung(32, 8)


def experiment(
    n: int, status: Status, score: float | None, *, ended: int = 0, rung: Rung = LOW,
    led: bool = False,
) -> Experiment:  # fmt: skip
    is_baseline = status is Status.BASELINE
    verdict = {"lead": True} if led or status is Status.LEAD else {}
    return Experiment(
        n, "t", is_baseline, status, rung, "a", score=score, ended=ended or n, verdict=verdict,
        commit=f"c{n}",
    )  # fmt: skip


def accept(n: int, after_ended: int, score: float | None, rung: Rung = LOW) -> Accept:
    return Accept(n, after_ended, rung, score, {}, "c" * 40, created_at="then")


def move(kind: MoveKind, n: int, after_ended: int) -> LeadMove:
    return LeadMove(kind, n, after_ended, f"why {n}", 0.2, 0.05, 4, created_at="then")


RUN = [
    experiment(1, Status.BASELINE, 0.1),
    experiment(2, Status.KEEP, 0.5),
    experiment(3, Status.DISCARD, 0.4),
    experiment(4, Status.DISCARD, None),
    experiment(5, Status.CRASH, None),
]
LED = [
    experiment(1, Status.BASELINE, 0.1),
    experiment(2, Status.KEEP, 0.5, led=True),
    experiment(3, Status.DISCARD, 0.4),
    experiment(4, Status.KEEP, 0.6, led=True),
    experiment(5, Status.DISCARD, 0.7, led=True),
    experiment(6, Status.DISCARD, 0.3),
    experiment(7, Status.LEAD, 0.8),
]
MOVES = [move(MoveKind.PROMOTION, 4, 4), move(MoveKind.ROLLBACK, 4, 6)]


def test_an_accept_is_a_step_where_it_took_effect() -> None:
    """Beside the last experiment that had ended by then, not beside its own."""
    assert course(RUN, [accept(3, 5, 0.4)]).published == [
        Step(1, 0.1, LOW, 1), Step(2, 0.5, LOW, 2), Step(3, 0.4, LOW, 5, is_accept=True),
    ]  # fmt: skip
    later = [*RUN, experiment(6, Status.KEEP, 0.6)]
    steps = course(later, [accept(3, 4, 0.4)]).published
    assert [(step.n, step.at) for step in steps] == [(1, 1), (2, 2), (3, 4), (6, 6)]


def test_what_has_no_score_at_the_budget_waits_for_its_baseline() -> None:
    """An accept of a stopped discard, or of an experiment at another budget, has no step."""
    accepts = [accept(4, 5, None), accept(3, 5, 0.4, HIGH)]
    assert [step.n for step in course(RUN, accepts).published] == [1, 2]
    assert course([], [accept(3, 0, 0.4)]).published == []
    scored = [*RUN, experiment(6, Status.BASELINE, 0.45)]
    assert [step.n for step in course(scored, accepts).published] == [1, 2, 6]


def test_a_keep_that_ended_late_is_drawn_beside_the_one_before() -> None:
    """With lanes the higher number may end first; the line never goes back."""
    run = [
        RUN[0],
        experiment(3, Status.KEEP, 0.5, ended=2),
        experiment(2, Status.KEEP, 0.6, ended=3),
    ]
    assert [(step.n, step.at) for step in course(run, ()).published] == [(1, 1), (3, 3), (2, 3)]


def test_the_lead_moves_ahead_of_what_is_published() -> None:
    """Step by step with challengers, back by a rollback; a trial publishes where it stands."""
    moved = course(LED, MOVES)
    assert moved.published == [
        Step(1, 0.1, LOW, 1), Step(4, 0.6, LOW, 4, move=MoveKind.PROMOTION),
    ]  # fmt: skip
    assert moved.leads == [
        Step(1, 0.1, LOW, 1), Step(2, 0.5, LOW, 2), Step(4, 0.6, LOW, 4), Step(5, 0.7, LOW, 5),
        Step(4, 0.6, LOW, 6, move=MoveKind.ROLLBACK), Step(7, 0.8, LOW, 7),
    ]  # fmt: skip
    state = replay(LED, MOVES)
    assert state.incumbent is not None
    assert state.lead is not None
    assert (state.incumbent.n, state.lead.n) == (moved.published[-1].n, moved.leads[-1].n)


def test_what_became_of_leads() -> None:
    """All steps of a proven lead are proven; what the lead left is told with the reason."""
    outcomes = course(LED, MOVES).outcomes
    assert {n: (each.is_proven, each.reason) for n, each in outcomes.items()} == {
        2: (True, "why 4"), 4: (True, "why 4"), 5: (False, "why 4"),
    }  # fmt: skip
    accepted = course(LED, [*MOVES, accept(3, 7, 0.4)]).outcomes[7]
    assert (accepted.is_proven, accepted.reason, accepted.when) == (
        False,
        "you accepted #3",
        "then",
    )
    kept = course([*LED, experiment(8, Status.KEEP, 0.9)], MOVES).outcomes[7]
    assert kept.reason == "#8 was published"


def test_a_lead_that_fails_after_a_climb_leads_no_more() -> None:
    """The published candidate is scored there; the lead's own baseline fails."""
    failed = experiment(9, Status.CRASH, None, rung=HIGH)
    failed = Experiment(
        9, "t", True, Status.CRASH, HIGH, "a", ended=9, commit="c7", verdict=failed.verdict
    )
    climbed = [*LED, experiment(8, Status.BASELINE, 0.2, rung=HIGH), failed]
    moved = course(climbed, MOVES)
    assert moved.outcomes[7].reason == "it failed at 32/8 (#9)"
    assert moved.published[-1] == Step(8, 0.2, HIGH, 8)
