"""A candidate that kills the daemon each time it is evaluated: the run gets past it."""

from pathlib import Path

from orchestrator.engine.openings import MOST_RESUMES
from orchestrator.store.ledger import Ledger
from orchestrator.store.workspace import Workspace
from tests.conftest import Cli
from tests.reliability.helpers import keeps, script, status, wait_until

DEADLY = 'DO = "kill the daemon"\n'


def start(workspace: Workspace, cli: Cli) -> int:
    done = cli("start", "--foreground", "--tag", "t", cwd=workspace.root)
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
