"""What differs between a workspace and its run: the candidate, and the configuration."""

from collections.abc import Iterator

import pytest

from orchestrator.config.reloading import RunningConfig
from orchestrator.config.schema import Config
from orchestrator.core.records import Files, Rung, Status
from orchestrator.reporting.changed import config_changes, edited
from orchestrator.reporting.status import status_document
from orchestrator.reporting.terminal import status_lines
from orchestrator.store.ledger import Ledger
from orchestrator.store.lock import WorkspaceLock
from orchestrator.store.runs import Run
from orchestrator.store.workspace import Workspace
from tests.store.conftest import WHEN, begin, finished


@pytest.fixture
def ledger(stubbed: Workspace) -> Iterator[Ledger]:
    """A run whose baseline is the working tree's candidate."""
    stubbed.state.mkdir(exist_ok=True)
    with Ledger(stubbed.ledger) as ledger:
        ledger.create_run(Run("t", "p" * 40, {}, WHEN))
        n = begin(ledger)
        baseline = finished(n, is_baseline=True, status=Status.BASELINE, score=0.0)
        ledger.finish(baseline, stubbed.candidate(), None)
        yield ledger


def is_edited(workspace: Workspace, ledger: Ledger) -> bool:
    run = ledger.run("t")
    assert run is not None
    return edited(workspace, ledger, run)


def edit(workspace: Workspace, text: str) -> None:
    train = workspace.root / "candidate" / "train.py"
    train.write_text(text + train.read_text())


def test_a_candidate_as_the_run_began_with_it_is_not_edited(
    stubbed: Workspace, ledger: Ledger
) -> None:
    """The daemon leaves the working tree alone, whatever it keeps."""
    n = begin(ledger)
    ledger.finish(finished(n, status=Status.KEEP), Files("env = 1\n", "train = 2\n"), None)
    assert not is_edited(stubbed, ledger)


def test_an_edit_by_hand_is_said(stubbed: Workspace, ledger: Ledger) -> None:
    """By `status`, with both cures; of a run without a baseline it is none: it begins with it."""
    edit(stubbed, "EXTRA = 1\n")
    assert is_edited(stubbed, ledger)
    document = status_document(stubbed, Config())
    assert document["candidate_edited"] is True
    (line,) = [line for line in status_lines(document) if line.startswith("edited")]
    assert "autorl-daemon propose" in line
    assert "--tag" in line
    ledger.create_run(Run("new", "p" * 40, {}, WHEN))
    run = ledger.run("new")
    assert run is not None
    assert not edited(stubbed, ledger, run)


def test_what_the_run_knows_is_no_edit(stubbed: Workspace, ledger: Ledger) -> None:
    """An experiment's files that were written back, and a candidate that was proposed."""
    edit(stubbed, "EXTRA = 1\n")
    n = begin(ledger)
    ledger.finish(finished(n), stubbed.candidate(), None)
    assert not is_edited(stubbed, ledger)
    edit(stubbed, "EXTRA = 2\n")
    assert is_edited(stubbed, ledger)
    ledger.add_proposal("t", "x", stubbed.candidate(), WHEN)
    assert not is_edited(stubbed, ledger)


def test_a_candidate_that_does_not_parse_is_edited(stubbed: Workspace, ledger: Ledger) -> None:
    """It need not be right to be said; a missing file is named elsewhere."""
    edit(stubbed, "def broken(:\n")
    assert is_edited(stubbed, ledger)
    (stubbed.root / "candidate" / "train.py").unlink()
    assert not is_edited(stubbed, ledger)


def test_a_changed_configuration_is_found(stubbed: Workspace, ledger: Ledger) -> None:
    """Beside what `--set` has set, which the file does not change."""
    stubbed.config.write_text("limits: {hours: 1}\n")
    first = Config.model_validate({"limits": {"hours": 1, "experiments": 7}})
    running = RunningConfig(first, ("limits.experiments=7",))
    ledger.set_config("t", running.as_json())
    run = ledger.run("t")
    assert run is not None
    assert config_changes(stubbed, run, Rung(12, 8)) == []
    stubbed.config.write_text("limits: {hours: 2, experiments: 9}\n")
    assert [change.key for change in config_changes(stubbed, run, None)] == ["limits.hours"]


def test_status_says_of_each_change_what_takes_it_up(stubbed: Workspace, ledger: Ledger) -> None:
    """A reload, a restart, or nothing: then the run can't be resumed until it is put back."""
    ledger.set_config("t", RunningConfig(Config()).as_json())
    stubbed.config.write_text(
        "evaluator: {seed_count: 3, slots: 2}\nlimits: {hours: 2, experiments: 9}\n"
    )
    with WorkspaceLock(stubbed.lock):
        document = status_document(stubbed, Config())
    assert document["config_changed"] == list(document["config_cures"])
    lines = [line[10:] for line in status_lines(document) if line.startswith("config")]
    assert sorted(lines) == [
        "changed in config.yaml: evaluator.seed_count: this run keeps 2: put it back, or the run "
        "can't be resumed (`start --tag NEW` begins another)",
        "changed in config.yaml: evaluator.slots: needs `autorl-daemon stop`, then `start`",
        "changed in config.yaml: limits.experiments, limits.hours: `autorl-daemon reload` takes "
        "the change up",
    ]
