"""What `status` is told of the lanes in flight."""

import time

from orchestrator.core.records import Files, Phase, Rung
from orchestrator.engine.display import PAUSED_BY_USER, STOPPED_BY_USER, Waiting, live_facts
from orchestrator.engine.lane import Kind, Lane
from orchestrator.planning.state import RunState


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
