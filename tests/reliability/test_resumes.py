"""A candidate that kills the daemon each time it is evaluated: the run gets past it."""

from pathlib import Path

import pytest

from orchestrator.engine.openings import MOST_RESUMES
from orchestrator.store.ledger import Ledger
from orchestrator.store.workspace import Workspace
from tests.conftest import Cli
from tests.reliability.helpers import keeps, script, status, wait_until

DEADLY = 'DO = "kill the daemon"\n'


def start(workspace: Workspace, cli: Cli, *more: str) -> int:
    done = cli("start", "--foreground", "--tag", "t", *more, cwd=workspace.root)
    return done.returncode


def test_a_candidate_that_kills_every_daemon_is_given_up(
    stubbed: Workspace, tmp_path: Path, cli: Cli
) -> None:
    """It is resumed three times, then recorded as aborted, and the run goes on with the next one."""
    script(stubbed, tmp_path / "script", count=2, sleep_s=0)
    first = tmp_path / "script" / "0001.md"
    first.write_text(first.read_text().replace("SCORE = 1\n", DEADLY))
    for _ in range(1 + MOST_RESUMES):
        assert start(stubbed, cli) == -9
        assert status(stubbed)["experiments"] == {"baseline": 1}
    assert start(stubbed, cli) == 0
    assert status(stubbed)["experiments"] == {"baseline": 1, "aborted": 1, "keep": 1}
    with Ledger(stubbed.ledger) as ledger:
        aborted = ledger.experiment(2)
        assert aborted is not None
        assert "the daemon died 4 times in this experiment" in aborted.reason
        assert len(ledger.replies(2)) == 1


@pytest.mark.parametrize("slots", [1, 2])
def test_what_is_in_flight_with_a_deadly_candidate_is_not_given_up(
    stubbed: Workspace, tmp_path: Path, cli: Cli, slots: int
) -> None:
    """Nobody knows which one killed the daemon: they are taken up one by one, until it is found."""
    script(stubbed, tmp_path / "script", count=3, sleep_s=0.5)
    first = tmp_path / "script" / "0001.md"
    first.write_text(first.read_text().replace("SCORE = 1\n", DEADLY))
    lanes = ["--set", "engine.lanes=3", "--set", f"evaluator.slots={slots}"]
    starts = 0
    while (code := start(stubbed, cli, *lanes)) == -9:
        starts += 1
        assert starts <= 2 + MOST_RESUMES
    assert code == 0
    with Ledger(stubbed.ledger) as ledger:
        ends = {e.description: e.status for e in ledger.experiments("t")}
        given_up = [e.reason for e in ledger.experiments("t") if e.status == "aborted"]
    assert len(given_up) == 1, ends
    assert "the daemon died" in given_up[0]
    assert status(stubbed)["best_score"] == 3


def test_a_baseline_that_kills_every_daemon_pauses_the_run(
    stubbed: Workspace, tmp_path: Path, cli: Cli
) -> None:
    """Nothing can go on without it: after three resumes a person is told, and may have it tried."""
    script(stubbed, tmp_path / "script", count=1, sleep_s=0)
    train = stubbed.root / "candidate" / "train.py"
    train.write_text(DEADLY + train.read_text())
    for _ in range(1 + MOST_RESUMES):
        assert start(stubbed, cli) == -9
    assert cli("start", "--tag", "t", cwd=stubbed.root).returncode == 0
    paused = wait_until(stubbed, lambda s: s["phase"] == "paused")
    assert "a baseline" in paused["reason"]
    assert "autorl-daemon resume" in paused["reason"]
    assert paused["experiments"] == {"aborted": 1}
    cli("resume", cwd=stubbed.root)
    wait_until(stubbed, lambda s: not s["running"])  # it was tried again, and killed again


def test_a_machine_that_fails_now_and_then_costs_no_experiment(
    stubbed: Workspace, tmp_path: Path, cli: Cli
) -> None:
    """Two starts that die in one experiment are no verdict on it: the third one finishes it."""
    script(stubbed, tmp_path / "script", count=1, sleep_s=0)
    flag = tmp_path / "deadly"
    framework = stubbed.root / "framework.py"
    framework.write_text(
        framework.read_text().replace(
            'do = constant(source, "DO", "score")\n',
            f'do = "kill the daemon" if os.path.exists("{flag}") and "SCORE = 1" in source else '
            '"score"\n',
        )
    )
    flag.touch()
    assert [start(stubbed, cli) for _ in range(2)] == [-9, -9]
    flag.unlink()
    assert start(stubbed, cli) == 0
    assert keeps(status(stubbed)) == 1
