"""What a brief says of other lanes, and of moves of the lead."""

from orchestrator.core.experiments import Accept, Experiment, LeadMove, MoveKind
from orchestrator.core.records import Files, Rung, Status
from orchestrator.engine.briefing import in_flight, move_asides
from orchestrator.engine.lane import Kind, Lane


def lane(kind: Kind = Kind.CHALLENGE, n: int | None = None, description: str = "") -> Lane:
    return Lane(kind, Rung(12, 8), "a", "now", Files("", ""), "c", n=n, description=description)


def test_what_others_evaluate_and_that_others_propose_is_told() -> None:
    """Baselines and references are no proposals; nobody is told of itself."""
    mine, proposing = lane(), lane()
    evaluated = lane(n=25, description="a wider\nnetwork")
    baseline = lane(Kind.BASELINE, n=24, description="the baseline at 32/8")
    assert in_flight(mine, [mine, baseline]) == ()
    told = in_flight(mine, [evaluated, mine, proposing, baseline])
    assert told[0] == "#25 is being evaluated: a wider network"
    assert told[1].startswith("Another proposal is being made now from the same record")
    assert in_flight(mine, [mine, proposing, lane(n=26)])[0].startswith("2 other proposals are")


def ended(n: int, status: Status = Status.DISCARD, *, led: bool = False) -> Experiment:
    verdict = {"lead": True} if led else {}
    return Experiment(n, "t", False, status, Rung(12, 8), "a", verdict=verdict, ended=n)


def move(kind: MoveKind, n: int, after_ended: int) -> LeadMove:
    return LeadMove(kind, n, after_ended, "proven" if kind is MoveKind.PROMOTION else "it fell")


def test_moves_of_the_lead_are_told_with_what_they_proved_or_undid() -> None:
    """In their places; by the record alone, whatever became of the leads since."""
    history = [
        ended(2, Status.KEEP, led=True), ended(3, Status.KEEP, led=True), ended(4),
        ended(5, led=True), ended(6, led=True), ended(7, Status.LEAD, led=True),
    ]  # fmt: skip
    moves = [
        move(MoveKind.PROMOTION, 3, 4), move(MoveKind.ROLLBACK, 3, 6),
        Accept(4, 7, Rung(12, 8), None, {}, "c"), move(MoveKind.ROLLBACK, 4, 7),
    ]  # fmt: skip
    asides = move_asides(history, moves)
    assert [(aside.after_ended, aside.text) for aside in asides] == [
        (4, "the lead #3 is proven; it is published now, with the steps to it: #2"),
        (6, "the lead went back to #3: it fell. No gain, and undone in the files: #5, #6."),
        (7, "the human accepted #4: it is published, and leads from here on"),
        (7, "the lead went back to #4: it fell."),
    ]
    assert [aside.is_accept for aside in asides] == [False, False, True, False]
