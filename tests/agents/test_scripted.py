"""Replies read from a folder."""

from dataclasses import replace
from pathlib import Path

import pytest

from orchestrator.agents.scripted import ScriptedAgent
from orchestrator.core.errors import AgentFinishedError, UserError
from orchestrator.core.records import Attempt, Files, Reply, Rung
from orchestrator.proposals.brief import Brief
from tests.fakes import write_script

BRIEF = Brief(ordinal=1, program="", files=Files("", ""), rung=Rung(12, 8), lead=1)
FAILED = Attempt("reply", "error")


def test_replies_come_in_order(tmp_path: Path) -> None:
    """The k-th experiment gets the k-th file, as it is."""
    agent = ScriptedAgent(write_script(tmp_path, ["one", "two\n"]))
    replies = [agent.propose(replace(BRIEF, ordinal=n)) for n in (1, 2)]
    assert replies == [Reply("one"), Reply("two\n")]


def test_same_experiment_gets_the_same_reply(tmp_path: Path) -> None:
    """An experiment that is asked for again, after a restart, gets its reply again."""
    folder = write_script(tmp_path, ["one", "two"])
    for _ in range(2):
        assert ScriptedAgent(folder).propose(replace(BRIEF, ordinal=2)) == Reply("two")


@pytest.mark.parametrize("ordinal", [3, 4, 12345])
def test_script_ends(tmp_path: Path, ordinal: int) -> None:
    """After the last file the run ends with the contract's words."""
    agent = ScriptedAgent(write_script(tmp_path, ["one", "two"]))
    with pytest.raises(AgentFinishedError, match=r"^script ended$"):
        agent.propose(replace(BRIEF, ordinal=ordinal))


def test_empty_folder_ends_at_once(tmp_path: Path) -> None:
    """A folder without replies is a script of length zero."""
    with pytest.raises(AgentFinishedError, match=r"^script ended$"):
        ScriptedAgent(tmp_path).propose(BRIEF)


def test_repairs_have_their_own_files(tmp_path: Path) -> None:
    """A repair turn is answered by its own file, where there is one."""
    agent = ScriptedAgent(write_script(tmp_path, ["one", "two"]))
    once = replace(BRIEF, attempts=[FAILED])
    assert agent.propose(once) is None
    (tmp_path / "0001.repair-1.md").write_text("better")
    assert agent.propose(once) == Reply("better")
    assert agent.propose(replace(BRIEF, attempts=[FAILED, FAILED])) is None


def test_requests_to_see_code_have_their_own_files(tmp_path: Path) -> None:
    """What follows a request is no repair, and repairs are numbered without it."""
    (tmp_path / "0001.md").write_text("show: #1")
    (tmp_path / "0001.show-1.md").write_text("worse")
    (tmp_path / "0001.repair-1.md").write_text("better")
    agent = ScriptedAgent(tmp_path)
    shown, failed = Attempt("show: #1", shows=(1,)), Attempt("worse", "why")
    assert agent.propose(replace(BRIEF, attempts=(shown,))) == Reply("worse")
    assert agent.propose(replace(BRIEF, attempts=(shown, failed))) == Reply("better")
    assert agent.propose(replace(BRIEF, attempts=(shown, shown))) is None


def test_no_text_is_a_reply_too(tmp_path: Path) -> None:
    """A file that is not UTF-8 is a reply like another: what is wrong with it, the check will say."""
    (tmp_path / "0001.md").write_bytes(b"\xff\xfe")
    assert ScriptedAgent(tmp_path).propose(BRIEF) == Reply("\ufffd\ufffd")


@pytest.mark.parametrize("name", ["missing", "file.md"])
def test_folder_must_exist(tmp_path: Path, name: str) -> None:
    """A folder that is none is the user's to put right, and the line names the key."""
    (tmp_path / "file.md").write_text("x")
    with pytest.raises(UserError, match=rf"agent\.scripted_dir .*{name} is not a folder"):
        ScriptedAgent(tmp_path / name)
