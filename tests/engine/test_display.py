"""What `status` is told of the lanes in flight."""

import time

from orchestrator.core.evaluations import Measurement
from orchestrator.core.experiments import LeadMove, MoveKind
from orchestrator.core.records import Files, Phase, Rung
from orchestrator.engine.display import (
    PAUSED_BY_USER,
    STOPPED_BY_USER,
    Waiting,
    live_facts,
    move_facts,
)
from orchestrator.engine.lane import Kind, Lane, Session
from orchestrator.planning.state import Incumbent, RunState
from orchestrator.store.log import plain


def facts(
    *lanes: Lane,
    paused: str | None = None,
    stops: bool = False,
    waiting: Waiting | None = None,
) -> dict[str, object]:
    ending = STOPPED_BY_USER if stops else None
    now_s = time.monotonic()
    return live_facts(lanes, RunState(), now_s=now_s, paused=paused, ending=ending, waiting=waiting)


def lane(phase: Phase = Phase.EVALUATING) -> Lane:
    return Lane(Kind.CHALLENGE, Rung(12, 8), "scripted", "", Files("", ""), "", phase=phase)


def test_who_waits_is_shown_with_the_next_try() -> None:
    """Until its time is up; then the lane is at work again."""
    waiting = lane(Phase.WAITING)
    waiting.reason, waiting.asked = "no answer", 0
    waiting.next_try_at = "2026-11-22T03:04:05.000Z"
    waiting.waits_until = time.monotonic() + 60
    assert facts(waiting)["next_try_at"] == "2026-11-22T03:04:05.000Z"
    waiting.waits_until = time.monotonic() - 1
    shown = facts(waiting)
    assert (shown["phase"], shown["next_try_at"]) == ("proposing", None)


def test_what_the_whole_run_waits_out_is_shown_with_the_next_try() -> None:
    """A full disk, say: over what the lanes do."""
    shown = facts(lane(), waiting=Waiting("a full disk", "2026-11-22T03:04:05.000Z"))
    assert (shown["phase"], shown["reason"]) == ("waiting", "a full disk")
    assert shown["next_try_at"] == "2026-11-22T03:04:05.000Z"


def test_requests_are_shown_while_something_is_in_flight() -> None:
    """They are obeyed once it has ended; a pause of the daemon's own is nobody's request."""
    assert facts(lane(), paused=PAUSED_BY_USER, stops=True)["asked"] == ["pause", "stop"]
    assert facts(lane(), paused="a conflict")["asked"] == []
    assert facts(paused=PAUSED_BY_USER)["asked"] == []


def test_progress_names_the_seed_and_its_episode() -> None:
    """Beside the sum over all seeds; once the screen is passed, the further seeds count too."""
    trained = lane()
    trained.session = Session(Measurement(Rung(12, 8), (101, 138), (1_000_000,)), 0.0)
    for seed in (101, 138, 138):
        trained.session.count_episode(seed)
    shown = facts(trained)
    assert shown["kind"] == "challenge"
    assert shown["progress"] == {
        "done": 3, "total": 24, "seed": 138, "episode": 2, "episodes": 12, "seeds_done": 0,
        "seeds": 2,
    }  # fmt: skip
    trained.session.seeds_done = 2
    assert trained.progress() == shown["progress"] | {"total": 36, "seeds_done": 2, "seeds": 3}


def test_moves_of_the_lead_are_logged_with_figures() -> None:
    """What it proved, or undid, as numbers in JSON, and as one line for people."""
    first, two, three = (Incumbent(n, f"c{n}", 0.5, {}, n) for n in (1, 2, 3))
    state = RunState(incumbent=first, leads=(two, three))
    proven = LeadMove(
        MoveKind.PROMOTION, 3, 5, "proven against #1: +0.9300 ± 0.0700 over 4 and 12 fresh seeds",
        0.93, 0.07, 4,
    )  # fmt: skip
    facts = move_facts(proven, state, state.after_move(proven))
    assert facts == {
        "experiment": 3, "steps": [2, 3], "gain": 0.93, "standard_error": 0.07, "seeds": 4,
        "reason": proven.reason,
    }  # fmt: skip
    entry = {"timestamp": "2026-11-22T05:00:00Z", "level": "info", "event": "lead proven"}
    assert plain(entry | facts).endswith(
        "lead proven #3  steps=[2, 3]  gain=0.93  standard_error=0.07  seeds=4  "
        "reason=proven against #1: +0.9300 ± 0.0700 over 4 and 12 fresh seeds"
    )
    back = LeadMove(MoveKind.ROLLBACK, 2, 5, "the lead disappointed", -0.1, 0.05, 3)
    facts = move_facts(back, state, state.after_move(back))
    assert (facts["experiment"], facts["undone"]) == (2, [3])
