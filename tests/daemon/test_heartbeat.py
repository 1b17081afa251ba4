"""The file by which a daemon shows that it is alive, and what it is doing."""

import dis
import json
import os
import sys
from collections.abc import Callable
from pathlib import Path
from types import FrameType
from typing import Any

import pytest

from orchestrator.core.experiments import StopKind, StopReason
from orchestrator.daemon.heartbeat import Heartbeat


class Lines:
    """A log that keeps its lines."""

    def __init__(self) -> None:
        self.lines: list[tuple[str, str, dict[str, object]]] = []

    def info(self, event: str, **facts: object) -> None:
        self.lines.append(("info", event, facts))

    def error(self, event: str, **facts: object) -> None:
        self.lines.append(("error", event, facts))


@pytest.fixture
def heartbeat(tmp_path: Path) -> Heartbeat:
    return Heartbeat(tmp_path / "live.json", Lines(), tag="t", sandbox="off")


def live(tmp_path: Path) -> dict[str, Any]:
    facts: dict[str, Any] = json.loads((tmp_path / "live.json").read_text())
    return facts


def test_what_is_new_is_shown_at_once(heartbeat: Heartbeat, tmp_path: Path) -> None:
    """Who runs, and what; earlier facts stay."""
    lanes = [{"experiment": 3, "phase": "evaluating"}, {"experiment": None, "phase": "proposing"}]
    heartbeat.show({"phase": "evaluating", "lanes": lanes})
    facts = live(tmp_path)
    assert (facts["pid"], facts["tag"], facts["sandbox"]) == (os.getpid(), "t", "off")
    assert (facts["phase"], facts["lanes"]) == ("evaluating", lanes)
    heartbeat.show({"phase": "paused"})
    assert (live(tmp_path)["phase"], live(tmp_path)["lanes"]) == ("paused", lanes)


def test_a_heartbeat_is_not_written_more_often_than_it_is_needed(
    heartbeat: Heartbeat, tmp_path: Path
) -> None:
    """The same facts again, or a beat, within a second: the file is as it was."""
    heartbeat.show({"phase": "evaluating"})
    written = (tmp_path / "live.json").read_bytes()
    heartbeat.show({"phase": "evaluating"})
    heartbeat.beat()
    assert (tmp_path / "live.json").read_bytes() == written
    heartbeat._written_s -= 1.0  # as if that was a second ago
    heartbeat.beat()
    assert live(tmp_path)["beat_s"] > json.loads(written)["beat_s"]


def test_a_shorter_state_leaves_nothing_of_a_longer_one(
    heartbeat: Heartbeat, tmp_path: Path
) -> None:
    """The file is written over in place, and ends where its content does."""
    heartbeat.show({"description": "x" * 10_000})
    heartbeat.show({"description": "short"})
    assert live(tmp_path)["description"] == "short"
    assert (tmp_path / "live.json").stat().st_size == 4096


def test_waiting_ends_with_news(heartbeat: Heartbeat, tmp_path: Path) -> None:
    """A readable descriptor ends the wait; without one it ends in time, and the daemon lives on."""
    read, write = os.pipe()
    try:
        os.write(write, b"x")
        heartbeat.wait([read], 3600.0)
        heartbeat.wait([], 0.0)
    finally:
        os.close(read)
        os.close(write)
    assert live(tmp_path)["heartbeat_at"]


def test_the_wish_to_end_reaches_what_must_hurry(heartbeat: Heartbeat) -> None:
    """The reason is there to read, and what else has to know is called."""
    called: list[str] = []
    assert heartbeat.end_asked() is None
    heartbeat.call_on_end(lambda: called.append("hurry"))
    assert called == []
    reason = StopReason(StopKind.TERMINATED, "stopped at once (SIGTERM)")
    heartbeat.end_now(reason)
    assert heartbeat.end_asked() is reason
    assert called == ["hurry"]


def test_a_wish_to_end_that_came_first_is_not_lost(heartbeat: Heartbeat) -> None:
    """A signal between the start and the registration of what must hurry reaches it."""
    called: list[str] = []
    heartbeat.end_now(StopReason(StopKind.TERMINATED, "stopped at once (SIGTERM)"))
    heartbeat.call_on_end(lambda: called.append("hurry"))
    assert called == ["hurry"]


def test_no_wish_to_reload_is_lost(heartbeat: Heartbeat) -> None:
    """A signal that comes at any step of the question is told, by this answer or by the next."""
    question = Heartbeat.reload_asked.__code__
    steps = [step.offset for step in dis.get_instructions(question)]
    for offset in steps:
        came = False

        def signalled(
            frame: FrameType, event: str, argument: object, at: int = offset
        ) -> Callable[..., object]:
            nonlocal came
            frame.f_trace_opcodes = True
            if event == "opcode" and frame.f_code is question and frame.f_lasti == at and not came:
                came = True
                heartbeat.reload()
            return signalled

        before = sys.gettrace()
        sys.settrace(signalled)
        try:
            asked = heartbeat.reload_asked()
        finally:
            sys.settrace(before)
        assert came == (asked or heartbeat.reload_asked()), f"lost at {offset}"
        assert not heartbeat.reload_asked()


def test_log_lines_have_their_level_and_facts(tmp_path: Path) -> None:
    """`info` unless it is said."""
    log = Lines()
    heartbeat = Heartbeat(tmp_path / "live.json", log, tag="t", sandbox="off")
    heartbeat.log("run started", lanes=2)
    heartbeat.log("crashed", level="error", reason="bug")
    assert log.lines == [
        ("info", "run started", {"lanes": 2}),
        ("error", "crashed", {"reason": "bug"}),
    ]
