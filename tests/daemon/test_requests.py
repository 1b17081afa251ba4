"""What people ask of a run: left for the daemon that runs, else done here."""

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import replace

import pytest

from orchestrator.core.errors import CommandFailedError, NotRunningError, UserError
from orchestrator.core.records import Status
from orchestrator.daemon import requests
from orchestrator.store.git import GitStore
from orchestrator.store.ledger import Ledger
from orchestrator.store.lock import WorkspaceLock, holder
from orchestrator.store.runs import Run
from orchestrator.store.workspace import Workspace
from tests.conftest import git
from tests.store.conftest import WHEN
from tests.store.test_branch import Place


@pytest.fixture
def ledger(stubbed: Workspace) -> Iterator[Ledger]:
    stubbed.state.mkdir(exist_ok=True)
    with Ledger(stubbed.ledger) as ledger:
        yield ledger


@pytest.fixture
def place(stubbed: Workspace, ledger: Ledger) -> Place:
    """A workspace with a run: a baseline, a keep and a discard."""
    ledger.create_run(Run("t", GitStore(stubbed.root).head(), {}, WHEN))
    place = Place(stubbed.root, ledger)
    place.run(Status.KEEP, Status.DISCARD)
    return place


def asked(ledger: Ledger) -> list[tuple[str, str | None]]:
    return [(request.kind, request.argument) for request in ledger.requests()]


@pytest.mark.parametrize("kind", ["stop", "pause", "resume"])
def test_a_wish_is_left_for_the_running_daemon(
    stubbed: Workspace, ledger: Ledger, kind: str
) -> None:
    """In the ledger, and whom it is for is told; without a daemon there is nobody to ask."""
    with pytest.raises(NotRunningError, match="no daemon is running in"):
        requests.ask(stubbed, kind)
    assert asked(ledger) == []
    with WorkspaceLock(stubbed.lock):
        assert requests.ask(stubbed, kind) == os.getpid()
    assert asked(ledger) == [(kind, None)]


DAEMON = """
import signal, sys
from pathlib import Path
from orchestrator.store.lock import WorkspaceLock
signal.signal(signal.SIGTERM, lambda *_: sys.exit())
with WorkspaceLock(Path(sys.argv[1])):
    print("held", flush=True)
    signal.pause()
"""


def test_terminate_returns_when_the_lock_is_free(stubbed: Workspace, ledger: Ledger) -> None:
    """The daemon is told by a signal, and waited for; a second time there is none."""
    with subprocess.Popen(
        [sys.executable, "-c", DAEMON, str(stubbed.lock)], stdout=subprocess.PIPE, text=True
    ) as daemon:
        assert daemon.stdout is not None
        assert daemon.stdout.readline() == "held\n"
        assert requests.running_pid(stubbed) == daemon.pid
        requests.terminate(stubbed)
        assert holder(stubbed.lock) is None
    assert daemon.returncode == 0
    with pytest.raises(NotRunningError):
        requests.terminate(stubbed)


def test_a_daemon_that_does_not_end_is_named(stubbed: Workspace, ledger: Ledger) -> None:
    """With what kills it for sure."""
    handler = signal.signal(signal.SIGTERM, signal.SIG_IGN)
    try:
        with (
            WorkspaceLock(stubbed.lock),
            pytest.raises(CommandFailedError, match=f"kill -9 {os.getpid()}"),
        ):
            requests.terminate(stubbed, timeout_s=0.1)
    finally:
        signal.signal(signal.SIGTERM, handler)


def test_accept_without_a_daemon_is_done_here(stubbed: Workspace, place: Place) -> None:
    """The discarded one becomes the incumbent, with a commit on top of the branch."""
    before = place.at()
    accepted = requests.accept(stubbed, place.ledger, 3)
    assert accepted.experiment.n == 3
    assert accepted.commit == place.at() == place.tip()
    assert git(stubbed.root, "rev-parse", f"{accepted.commit}~1") == before
    assert git(stubbed.root, "show", "autorl/t:candidate/train.py") == "train = 3"
    assert holder(stubbed.lock) is None
    assert asked(place.ledger) == []


def test_accept_is_left_for_the_daemon_of_that_run(stubbed: Workspace, place: Place) -> None:
    """It alone moves the branch while it runs; one of another run can't."""
    before = place.at()
    with WorkspaceLock(stubbed.lock):
        assert requests.accept(stubbed, place.ledger, 3).commit is None
        assert asked(place.ledger) == [("accept", "3")]
        assert place.at() == before
        place.ledger.create_run(Run("other", place.parent(), {}, "2026-11-23T00:00:00Z"))
        place.ledger.begin(
            "other", is_baseline=True, rung=place.ledger.experiment(1).rung, agent="a",  # type: ignore[union-attr]
            parent=place.parent(), when="2026-11-23T00:00:00Z",
        )  # fmt: skip
        with pytest.raises(UserError, match="experiment 3 is of run t, and other is running"):
            requests.accept(stubbed, place.ledger, 3)


def test_what_can_not_be_accepted_is_refused(stubbed: Workspace, place: Place) -> None:
    """One that is not there, one without a candidate, the incumbent itself; nothing is written."""
    n = place.begin()
    crashed = place.ledger.experiment(3)
    assert crashed is not None
    place.ledger.finish(replace(crashed, n=n, commit=None), None, None)
    for number, why in ((99, "no finished experiment 99"), (n, "holds no candidate"),
                        (2, "the incumbent already")):  # fmt: skip
        with pytest.raises(UserError, match=why):
            requests.accept(stubbed, place.ledger, number)
    assert place.ledger.accepts("t") == []


def test_a_branch_that_somebody_moved_is_left_alone(stubbed: Workspace, place: Place) -> None:
    """A failed command, which says where the branch should be."""
    git(stubbed.root, "update-ref", "refs/heads/autorl/t", "main")
    with pytest.raises(CommandFailedError, match="not at the incumbent's"):
        requests.accept(stubbed, place.ledger, 3)
    assert place.ledger.accepts("t") == []


def test_a_note_is_kept_for_the_prompts(stubbed: Workspace, ledger: Ledger) -> None:
    """With or without a daemon; one of blanks alone is the user's mistake."""
    requests.note(stubbed, "  be bold\n")
    assert list(ledger.notes()) == ["be bold"]
    with pytest.raises(UserError, match="empty"):
        requests.note(stubbed, " \n")


def test_a_note_can_be_the_first_thing_in_a_workspace(starter: Workspace) -> None:
    """Before any run there is no ledger yet: it is made."""
    starter.state.rmdir()
    requests.note(starter, "be bold")
    with Ledger(starter.ledger) as ledger:
        assert list(ledger.notes()) == ["be bold"]
