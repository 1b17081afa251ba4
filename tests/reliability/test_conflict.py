"""Somebody else moves, makes or deletes the run's branch."""

from pathlib import Path

import pytest

from orchestrator.reporting.terminal import status_lines
from orchestrator.store.workspace import Workspace
from tests.conftest import Cli, git
from tests.reliability.helpers import assert_whole, keeps, script, status, wait_until

REF = "refs/heads/autorl/t"


@pytest.mark.parametrize("how", ["moved", "deleted"])
def test_a_branch_that_somebody_moves_pauses_the_run(
    stubbed: Workspace, tmp_path: Path, cli: Cli, how: str
) -> None:
    """A conflict: nothing is overwritten; what status says to do is done, and the run goes on."""
    script(stubbed, tmp_path / "script", sleep_s=0.3)
    cli("start", "--tag", "t", cwd=stubbed.root)
    wait_until(stubbed, lambda s: keeps(s) >= 1)
    if how == "moved":
        stranger = git(stubbed.root, "commit-tree", "HEAD^{tree}", "-p", "HEAD", "-m", "stranger")
        git(stubbed.root, "update-ref", REF, stranger)
    else:
        stranger = ""
        git(stubbed.root, "update-ref", "-d", REF)
    paused = wait_until(stubbed, lambda s: s["phase"] == "paused")
    assert paused["reason"].startswith(f"conflict: {REF} was moved by somebody else")
    assert git(stubbed.root, "for-each-ref", "--format=%(objectname)", REF) == stranger
    assert status(stubbed)["experiments"] == paused["experiments"]
    (line,) = [line for line in status_lines(paused) if "conflict" in line]
    assert "`autorl-daemon resume`" in line
    cure = paused["reason"].split("`")[1]
    assert cure.startswith("git update-ref")
    if how == "moved":
        # Resumed too early it stays paused, and overwrites nothing.
        cli("resume", cwd=stubbed.root)
        again = wait_until(stubbed, lambda s: not s["requests"] and s["phase"] == "paused")
        assert again["reason"].startswith("conflict")
        assert git(stubbed.root, "rev-parse", REF) == stranger
    git(stubbed.root, *cure.split()[1:])
    cli("resume", cwd=stubbed.root)
    wait_until(stubbed, lambda s: keeps(s) >= keeps(paused) + 1)
    cli("stop", "--now", cwd=stubbed.root)
    assert_whole(stubbed)


def test_a_branch_moved_while_nothing_runs_pauses_the_next_start(
    stubbed: Workspace, tmp_path: Path, cli: Cli
) -> None:
    """A start finds the branch elsewhere: it pauses before it spends anything."""
    script(stubbed, tmp_path / "script", sleep_s=0)
    cli("start", "--foreground", "--tag", "t", "--max-experiments", "2", cwd=stubbed.root)
    ours = git(stubbed.root, "rev-parse", REF)
    git(stubbed.root, "update-ref", REF, git(stubbed.root, "rev-parse", "HEAD"))
    cli("start", "--tag", "t", cwd=stubbed.root)
    paused = wait_until(stubbed, lambda s: s["phase"] == "paused")
    assert keeps(paused) == 2
    git(stubbed.root, "update-ref", REF, ours)
    cli("resume", cwd=stubbed.root)
    wait_until(stubbed, lambda s: keeps(s) >= 4)
