"""What `status` says: from the ledger, and while a daemon runs from its heartbeat."""

import json
import os
import time
from typing import Any

import pytest

from orchestrator.config.schema import Config
from orchestrator.core.evaluations import Purpose, SeedResult
from orchestrator.core.records import Rung
from orchestrator.judging.reference import reference_seeds
from orchestrator.reporting.status import status_document
from orchestrator.reporting.terminal import activity, status_lines
from orchestrator.store.ledger import Ledger
from orchestrator.store.lock import WorkspaceLock
from orchestrator.store.workspace import Workspace

EVALUATED = {
    "experiment": 4, "agent": "openai:m", "phase": "evaluating", "description": "raise the rate",
    "progress": {"done": 3, "total": 24},
}  # fmt: skip
WAITS = EVALUATED | {"experiment": 5, "description": "lower it", "progress": None}
PROPOSED = {
    "experiment": None, "agent": "openai:m", "phase": "proposing", "description": None,
    "progress": None,
}  # fmt: skip


def live(workspace: Workspace, *lanes: dict[str, Any], **facts: object) -> None:
    """Write a heartbeat as the daemon does, with its oldest lane in the plain fields."""
    now = {"pid": os.getpid(), "tag": "t", "sandbox": "off", "beat_s": time.monotonic()}
    oldest = lanes[0] if lanes else {"phase": "planning"}
    workspace.live.write_text(json.dumps(now | oldest | {"lanes": lanes} | facts))


def status(workspace: Workspace, *, runs: bool = True) -> tuple[dict[str, Any], str]:
    """Return the document and the text, while somebody holds the lock or nobody does."""
    if not runs:
        document = status_document(workspace, Config())
    else:
        with WorkspaceLock(workspace.lock):
            document = status_document(workspace, Config())
    return document, "\n".join(status_lines(document))


def test_an_agent_that_stands_in_is_shown_with_the_reason(running: Workspace) -> None:
    """Once for all lanes of the same; with one lane too."""
    stands_in = PROPOSED | {"agent": "optuna", "stand_in": "codex is blocked (no quota)"}
    for lanes in ((stands_in,), (EVALUATED, stands_in, stands_in)):
        live(running, *lanes)
        _, text = status(running)
        assert text.count("agent     optuna, for codex is blocked (no quota)") == 1
    live(running, EVALUATED | {"stand_in": None})
    assert "agent  " not in status(running)[1]


def test_lanes_are_listed_beside_the_fields_of_the_oldest(running: Workspace) -> None:
    """`lanes` has each in its own words; a script that knows one experiment reads on as before."""
    live(running, EVALUATED, WAITS, PROPOSED)
    document, text = status(running)
    assert document["lanes"] == [EVALUATED, WAITS, PROPOSED]
    assert set(EVALUATED) == {"experiment", "agent", "phase", "description", "progress"}
    assert (document["experiment"], document["phase"]) == (4, "evaluating")
    assert document["progress"] == {"done": 3, "total": 24}
    assert (
        "now       #4 evaluating: raise the rate (3 of 24 episodes)\n"
        "now       #5 evaluating: lower it\n"
        "now       proposing: the next experiment\n"
    ) in text


def test_one_lane_is_one_line(running: Workspace) -> None:
    """As it was before there were lanes; without a number there is nothing to name yet."""
    live(running, EVALUATED)
    _, text = status(running)
    assert text.count("#4 raise the rate") == 1
    assert "#4 evaluating" not in text
    live(running, PROPOSED)
    _, text = status(running)
    assert "now " not in text


def test_a_request_that_is_being_taken_is_told_once(running: Workspace) -> None:
    """The daemon shows it before it leaves the queue: for a moment it stands in both."""
    with Ledger(running.ledger) as ledger:
        ledger.add_request("pause", None, "now")
        ledger.add_request("stop", None, "now")
    live(running, EVALUATED, asked=["pause"])
    document, _ = status(running)
    assert document["requests"] == ["pause", "stop"]


def test_a_stopped_run_has_no_lanes(running: Workspace) -> None:
    """Whatever a daemon that was killed left in its heartbeat."""
    live(running, EVALUATED)
    document, text = status(running, runs=False)
    assert (document["running"], document["lanes"], document["experiment"]) == (False, [], None)
    assert "the daemon was killed: `autorl-daemon start --tag t` resumes it" in text
    assert "raise the rate" not in text


def test_a_heartbeat_of_an_earlier_version_is_read(running: Workspace) -> None:
    """One without lanes: an empty list, and the plain fields."""
    live(running, EVALUATED)
    facts = json.loads(running.live.read_text())
    del facts["lanes"]
    running.live.write_text(json.dumps(facts))
    document, text = status(running)
    assert document["lanes"] == []
    assert "now       #4 raise the rate" in text


def test_a_torn_heartbeat_hides_nothing_of_the_ledger(running: Workspace) -> None:
    """It may be read while it is written: the rest is said."""
    running.live.write_text('{"pid": 1')
    document, _ = status(running)
    assert (document["running"], document["phase"], document["lanes"]) == (True, "stopped", [])
    assert document["experiments"] == {"baseline": 1, "keep": 1, "discard": 1}


def test_a_pause_and_what_it_waits_for_is_told(running: Workspace) -> None:
    """Why, until when, what goes on from there, and what people have asked for meanwhile."""
    live(running, phase="paused", reason="HTTP 401: bad key", next_try_at="12:00")
    with Ledger(running.ledger) as ledger:
        ledger.add_request("stop", None, "now")
    document, text = status(running)
    assert document["requests"] == ["stop"]
    assert "HTTP 401: bad key, next try 12:00; `autorl-daemon resume` continues" in text
    assert "asked for stop, after what is in flight" in text


def test_a_silent_daemon_is_hung(running: Workspace) -> None:
    """Thirty seconds without a heartbeat; the cure is named."""
    live(running, EVALUATED, beat_s=time.monotonic() - 29, heartbeat_at="11:59")
    assert not status(running)[0]["hung"]
    live(running, EVALUATED, beat_s=time.monotonic() - 31, heartbeat_at="11:59")
    document, text = status(running)
    assert document["hung"]
    assert f"HUNG: no heartbeat since 11:59; if it stays so, `kill -9 {os.getpid()}`" in text


def test_nothing_has_run_yet(stubbed: Workspace) -> None:
    """Every field is there, without a value."""
    document, text = status(stubbed, runs=False)
    assert document["lanes"] == []
    assert document["tokens"] == dict.fromkeys(["input", "cached", "output", "reasoning"])
    assert "nothing has run here yet" in text


@pytest.mark.parametrize(
    ("facts", "says"),
    [
        ({"kind": "baseline", "experiment": 1}, "measuring the baseline: seed 2 of 8, episode 6 of 12"),
        ({"kind": "reference", "experiment": 4}, "measuring #4 anew: seed 2 of 8, episode 6 of 12"),
        ({"kind": "challenge"}, "experiment 5: training seed 138, episode 6 of 12"),
        ({"kind": "challenge", "episode": 12}, "experiment 5: evaluating seed 138"),
        ({"kind": "challenge", "episode": None}, "experiment 5: starting"),
        ({"kind": "challenge", "seeds_done": 8, "experiment": 6},
         "experiment 6: training seed 138, episode 6 of 12"),
        ({"kind": "baseline", "seeds_done": 8}, "measuring the baseline: seed 8 of 8, episode 6 of 12"),
        ({"kind": None, "progress": {"done": 3, "total": 24}}, "experiment 5: evaluating"),
        ({"experiment": None, "phase": "proposing"}, "asking the agent for the next experiment"),
        ({"reason": "no answer"}, "no answer"),
    ],
)  # fmt: skip
def test_the_demos_bar_says_what_is_measured(facts: dict[str, Any], says: str) -> None:
    """Which candidate, seed and episode, short enough for 80 columns with the bar beside it."""
    progress: dict[str, Any] = {
        "done": 18, "total": 96, "seed": 138, "episode": 6, "episodes": 12, "seeds_done": 1,
        "seeds": 8,
    }  # fmt: skip
    progress |= {key: fact for key, fact in facts.items() if key in progress}
    plain = {"phase": "evaluating", "reason": None, "kind": "challenge", "experiment": 5}
    assert activity(plain | {"progress": progress} | facts) == says
    assert len(says) <= 52


def test_equal_seeds_at_full_solve_rate_are_noted_but_prove_nothing(running: Workspace) -> None:
    """`status` says that perhaps nothing is left to gain, without an interval of width zero."""
    seeds = [
        SeedResult(seed, 1.0, 1.0, purpose=Purpose.REFERENCE) for seed in reference_seeds(2, 8)
    ]
    with Ledger(running.ledger) as ledger:
        for seed in seeds:
            ledger.save_seed(2, Rung(12, 8), seed)
    document, text = status(running, runs=False)
    assert document["saturated"] is True
    assert "perhaps nothing is left to gain at this budget (not proven" in text
    assert "published #2: 1.0000 on every seed (kept, 8 seeds)" in text
    with Ledger(running.ledger) as ledger:
        other = SeedResult(reference_seeds(2, 9)[-1], 0.9, 1.0, purpose=Purpose.REFERENCE)
        ledger.save_seed(2, Rung(12, 8), other)
    document, text = status(running, runs=False)
    assert document["saturated"] is False
    assert "left to gain" not in text
    assert "published #2: 0.9889 ± 0.0256 (kept, 9 seeds)" in text


def test_a_moved_workspace_is_told_and_goes_on(running: Workspace) -> None:
    """Where it was is shown until the next start takes note, and the record is all there."""
    with Ledger(running.ledger) as ledger:
        ledger.set_home(running.root)
    assert "moved     from" not in status(running, runs=False)[1]
    moved = Workspace(running.root.rename(running.root.with_name("else where")))
    document, text = status(moved, runs=False)
    assert document["moved_from"] == str(running.root)
    assert f"moved     from {running.root}: the next start takes note" in text
    assert document["experiments"] == {"baseline": 1, "keep": 1, "discard": 1}
    assert "it still writes there" in status(moved)[1]
    link = running.root.with_name("link")
    link.symlink_to(moved.root)
    with Ledger(moved.ledger) as ledger:
        ledger.set_home(link)
    assert status(moved, runs=False)[0]["moved_from"] is None


def test_a_world_of_the_users_own_is_named(running: Workspace) -> None:
    """What the run began with, and before any run what is there."""
    running.task.mkdir()
    (running.task / "world.py").write_text("")
    document, text = status(running)
    assert document["world"] is False
    assert "task/world.py" not in text
    running.ledger.unlink()
    document, text = status(running, runs=False)
    assert document["world"] is True
    assert "task      the world in task/world.py, which no candidate can touch" in text
