"""A person as the agent, of a whole daemon: replies are written beside prompts, over a restart too."""

from pathlib import Path

from orchestrator.store.workspace import Workspace
from tests.conftest import Cli
from tests.fakes import reply
from tests.reliability.helpers import configure, keeps, status, wait_until


def better(workspace: Workspace, score: int) -> str:
    """Return a reply with an edit that will be kept."""
    train = workspace.candidate().train.removeprefix("SCORE = 0.0\n")
    return reply(f"SCORE = {score}\n{train}")


def waits_for(workspace: Workspace, name: str) -> Path:
    """Wait until `status` names a reply's file; return it, with its prompt beside it."""
    waiting = wait_until(workspace, lambda s: s["phase"] == "waiting" and name in s["reason"])
    assert waiting["reason"] == f"waiting for answers/{name}.reply.md"
    assert waiting["next_try_at"] is None
    folder = workspace.root / "answers"
    assert (folder / f"{name}.prompt.md").is_file()
    return folder / f"{name}.reply.md"


def test_whoever_writes_the_reply_is_the_agent(stubbed: Workspace, cli: Cli) -> None:
    """A reply that is no good gets a repair turn; a restart takes what was written meanwhile."""
    configure(stubbed, "agent: {backend: manual, manual_dir: answers}\nengine: {lanes: 1}")
    start = ("start", "--tag", "t", "--max-experiments", "2")
    begun = cli(*start, cwd=stubbed.root)
    assert begun.returncode == 0, begun.stderr
    first = waits_for(stubbed, "0001")
    assert "waiting for answers/0001.reply.md\n" in cli("status", cwd=stubbed.root).stdout
    first.write_text("I have no idea.")
    repair = waits_for(stubbed, "0001.repair-1")
    assert "I have no idea." in repair.with_name("0001.repair-1.prompt.md").read_text()
    repair.write_text(better(stubbed, 1))
    second = waits_for(stubbed, "0002")
    assert keeps(status(stubbed)) == 1
    cli("stop", cwd=stubbed.root)
    stopped = wait_until(stubbed, lambda s: not s["running"], timeout_s=10)
    assert stopped["experiments"] == {"baseline": 1, "keep": 1}
    second.write_text(better(stubbed, 2))
    assert cli(*start, cwd=stubbed.root).returncode == 0
    ended = wait_until(stubbed, lambda s: keeps(s) == 2 and not s["running"], timeout_s=60)
    assert ended["experiments"] == {"baseline": 1, "keep": 2}


def test_another_run_begins_with_an_empty_folder(stubbed: Workspace, cli: Cli) -> None:
    """The replies of the former one are no answers to its prompts."""
    configure(stubbed, "agent: {backend: manual, manual_dir: answers}\nengine: {lanes: 1}")
    cli("start", "--tag", "a", "--max-experiments", "1", cwd=stubbed.root)
    waits_for(stubbed, "0001").write_text(better(stubbed, 1))
    wait_until(stubbed, lambda s: keeps(s) == 1 and not s["running"])
    cli("start", "--tag", "b", "--max-experiments", "1", cwd=stubbed.root)
    assert not waits_for(stubbed, "0001").exists()
    assert (stubbed.root / "answers" / "a" / "0001.reply.md").is_file()
