"""The real programs, one turn each through the adapter; skipped where they are not installed."""

from pathlib import Path

import pytest

from orchestrator.agents.bubblewrap import examine
from orchestrator.core.errors import AgentBlockedError, EditError
from orchestrator.core.records import Tokens
from orchestrator.proposals.reply import read_reply
from tests.real_agents.moves import Edit, Hang, Move, Read, Refuse, Run, Say
from tests.real_agents.rig import EACH, EDIT, FILES, KEY, SAID, TRAIN_PY, WHOLE, WIDER, RealAgent

SANDBOXES = [
    pytest.param("auto", marks=pytest.mark.skipif(not examine().is_on, reason=examine().says)),
    pytest.param("off", marks=pytest.mark.long_form if examine().is_on else []),
]
HANG_S, EDIT_S = 20.0, 90.0
"""Time limits of a turn that does nothing, and of one that first edits, on a busy machine too."""
BREAKS = Edit(TRAIN_PY, "WIDTH = 64", "WIDTH = ((64")
LONG_RETRIES = {"opencode", "aider", "qwen"}
"""These try again by themselves for a minute and more."""


@EACH
@pytest.mark.parametrize("sandbox", SANDBOXES)
def test_whole_turn(name: str, sandbox: str, tmp_path: Path) -> None:
    """It reads, edits with its own tool, runs ./check and ends; its key arrives, its folder is gone."""
    agent = RealAgent(name, tmp_path, WHOLE, sandbox=sandbox)
    replied = agent.propose()
    agent.server.close()
    proposal = read_reply(replied.reply, FILES)
    assert (proposal.description, proposal.files.train) == ("a wider network", WIDER)
    turns = 1 if name == "aider" else 4
    cached, reasoning = (
        None if name == "aider" else 600 * turns,
        None if name in {"aider", "qwen"} else 20 * turns,
    )
    assert replied.reply.tokens == Tokens(1000 * turns, cached, 50 * turns, reasoning)
    assert all(KEY in key for key in agent.server.keys)
    assert agent.left() == []
    if name != "aider":  # whose own run of it is told to its model only if it fails
        assert any(b"ok: both files" in line for line in agent.program.lines)


@EACH
def test_check_that_fails(name: str, tmp_path: Path) -> None:
    """What ./check finds is told to the model, by aider's own test command too."""
    script: list[Move] = [Read(TRAIN_PY), BREAKS, Run("./check"), SAID]
    agent = RealAgent(name, tmp_path, script)
    agent.propose()
    agent.server.close()
    assert "syntax" in str(agent.server.asks[-1]).lower()


@EACH
def test_refusal(name: str, tmp_path: Path) -> None:
    """A turn without an edit is the experiment's failure, with what was said instead."""
    agent = RealAgent(name, tmp_path, [Say("I can't help with that.")])
    replied = agent.propose()
    agent.server.close()
    with pytest.raises(EditError, match="I can't help with that"):
        read_reply(replied.reply, FILES)


@EACH
def test_refused_key(name: str, tmp_path: Path) -> None:
    """A refused key pauses the run, and says whose it is."""
    agent = RealAgent(name, tmp_path, [Refuse(401, "the key is wrong")])
    with pytest.raises(AgentBlockedError, match="key or login is refused") as caught:
        agent.propose()
    agent.server.close()
    assert KEY not in str(caught.value)
    assert agent.context.waits == []


@EACH
def test_busy_endpoint(name: str, tmp_path: Path) -> None:
    """A busy endpoint is waited for, and its turn is made again."""
    if name in LONG_RETRIES:
        pytest.skip("its own tries take a minute and more")
    agent = RealAgent(name, tmp_path, WHOLE)
    agent.server.refuse_until = lambda: bool(agent.context.waits)
    replied = agent.propose()
    agent.server.close()
    assert read_reply(replied.reply, FILES).files.train == WIDER
    assert len(agent.context.waits) == 1


@EACH
def test_edit_outside(name: str, tmp_path: Path) -> None:
    """What it writes beside the two files does not count; outside its folder nothing arrives."""
    if name == "aider":
        pytest.skip("it runs no commands")
    writes = Run("echo x > notes.txt; echo x > ../outside.txt; echo x > ../../outside.txt")
    agent = RealAgent(name, tmp_path, [Read(TRAIN_PY), EDIT, writes, SAID])
    replied = agent.propose()
    agent.server.close()
    assert read_reply(replied.reply, FILES).files.train == WIDER
    assert list(tmp_path.rglob("outside.txt")) == []


@pytest.mark.long_form
@EACH
def test_hang_before_an_edit(name: str, tmp_path: Path) -> None:
    """Its time limit ends it with all that it started, and the experiment says so."""
    agent = RealAgent(name, tmp_path, [Hang()], timeout_s=HANG_S)
    replied = agent.propose()
    agent.server.close()
    with pytest.raises(EditError, match="not over after 20"):
        read_reply(replied.reply, FILES)
    assert agent.left() == []


@pytest.mark.long_form
@EACH
def test_hang_after_an_edit(name: str, tmp_path: Path) -> None:
    """What it edited before its time limit counts."""
    if name == "aider":
        pytest.skip("its reply is the edit")
    agent = RealAgent(name, tmp_path, [Read(TRAIN_PY), EDIT, Hang()], timeout_s=EDIT_S)
    replied = agent.propose()
    agent.server.close()
    assert read_reply(replied.reply, FILES).files.train == WIDER
