"""A run whose agent is a program of the user's: real daemon, real processes, and a kill."""

import json
import os
import signal
import sys
import time
import uuid
from pathlib import Path

import pytest

from orchestrator.store.workspace import Workspace
from tests.agents.program_rig import MARK, PATIENCE_S, gone, marked
from tests.conftest import Cli, git
from tests.e2e.test_as_a_person import status, wait_for

AGENT = """\
import os, pathlib, re, subprocess, sys, time
turns = pathlib.Path({turns!r})
turns.open("a").write("x")
turn = len(turns.read_text())
train = pathlib.Path("candidate/train.py")
score = float(re.search(r"^SCORE = (.+)$", train.read_text(), re.MULTILINE)[1])
if turn == {hangs}:
    subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"], start_new_session=True)
    time.sleep(600)
if turn == {nothing}:
    print("I could not think of anything.")
    sys.exit()
train.write_text(re.sub(r"^SCORE = .+$", f"SCORE = {{score + 0.1:.1f}}", train.read_text(), flags=re.M))
print(f"description: {{score + 0.1:.1f}}, in turn {{turn}}")
"""


@pytest.fixture
def programmed(stubbed: Workspace, tmp_path: Path) -> Workspace:
    """A workspace whose agent is a program in it, which hangs in its third turn."""
    code = AGENT.format(turns=str(tmp_path / "turns"), hangs=3, nothing=5)
    (stubbed.root / "agent.py").write_text(code)
    (stubbed.root / "config.yaml").write_text(
        (stubbed.root / "config.yaml").read_text().replace("  backend: auto", "  backend: command")
    )
    return stubbed


def start(cli: Cli, root: Path, mark: str, *more: str) -> None:
    command = json.dumps([sys.executable, "-I", "./agent.py"])
    started = cli(
        "start", "--tag", "t", "--max-experiments", "6", "--set", f"agent.command={command}",
        "--set", f"agent.env=[{MARK}]", "--set", "agent.sandbox=off", *more, cwd=root,
        PROGRAM_MARK=mark,
    )  # fmt: skip
    assert started.returncode == 0, started.stderr


def test_a_kill_in_the_middle_of_a_turn_loses_nothing(
    programmed: Workspace, cli: Cli, tmp_path: Path
) -> None:
    """Nothing that the program started is left, and the run goes on with the same experiment."""
    root = programmed.root
    mark = uuid.uuid4().hex
    start(cli, root, mark, "--set", "engine.lanes=1")
    running = wait_for(cli, root, lambda s: len(s["experiments"]) >= 2)
    deadline = time.monotonic() + PATIENCE_S
    while len((tmp_path / "turns").read_text()) < 3 or len(marked(mark)) < 4:
        assert time.monotonic() < deadline
        time.sleep(0.05)
    assert len(list((root / ".autorl" / "agents").glob("turn-*"))) == 1
    os.kill(running["pid"], signal.SIGKILL)
    assert gone(mark)
    wait_for(cli, root, lambda s: not s["running"])

    start(cli, root, mark, "--set", "engine.lanes=1")
    ended = wait_for(cli, root, lambda s: not s["running"] and s["stop_reason"])
    assert ended["stop_reason"] == "limits.experiments reached (6 of 6)"
    rows = json.loads(cli("results", "--json", cwd=root).stdout)
    assert [row["experiment"] for row in rows] == [1, 2, 3, 4, 5, 6, 7]
    assert {row["agent"] for row in rows[1:]} == {"command"}
    said = [row["description"] for row in rows[1:]]
    assert said[:3] == ["0.1, in turn 1", "0.2, in turn 2", "0.3, in turn 4"]
    assert said[3] == "0.4, in turn 6"  # the repair of a turn without an edit
    folder = root / "logs" / "experiments" / "5"
    assert "changed nothing: I could not think" in (folder / "reply.md").read_text()
    assert "Your last change could not be used" in (folder / "prompt.repair-1.md").read_text()
    assert git(root, "show", "autorl/t:candidate/train.py").startswith("SCORE = 0.")
    prompt = (root / "logs" / "experiments" / "2" / "prompt.md").read_text()
    assert "./check" in prompt
    assert "<!-- notebook.md -->" in prompt
    assert list((root / ".autorl" / "agents").glob("turn-*")) == []
    assert gone(mark)
    assert status(cli, root)["agent"] == "command"
