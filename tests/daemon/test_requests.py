"""What people ask of a run: left for the daemon that runs, else done here."""

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import replace

import pytest

from orchestrator.config.reloading import RunningConfig
from orchestrator.config.schema import Config
from orchestrator.core.errors import CommandFailedError, NotRunningError, UserError
from orchestrator.core.records import Files, Status
from orchestrator.daemon import requests
from orchestrator.proposals.brief import NOTE_CHARS
from orchestrator.proposals.candidate_code import fingerprint
from orchestrator.reporting.status import status_document
from orchestrator.reporting.terminal import status_lines
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


# Blocked, the signal waits for `sigwait`: a handler could run between two calls, and `pause` miss it.
DAEMON = """
import signal, sys
from pathlib import Path
from orchestrator.store.lock import WorkspaceLock
signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGTERM})
with WorkspaceLock(Path(sys.argv[1])):
    print("held", flush=True)
    signal.sigwait({signal.SIGTERM})
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
        stubbed.live.write_text(json.dumps({"tag": "other"}))
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


def test_what_crashed_is_published_only_if_a_person_insists(
    stubbed: Workspace, place: Place
) -> None:
    """Its baseline ends the run if it fails again, and a number is soon mistyped."""
    _, crashed, rejected = (each.n for each in place.run(Status.CRASH, Status.REJECTED))
    with pytest.raises(UserError, match=rf"ended as crash.*accept {crashed} --yes"):
        requests.accept(stubbed, place.ledger, crashed)
    assert place.ledger.accepts("t") == []
    assert requests.accept(stubbed, place.ledger, crashed, may_fail=True).commit
    assert requests.accept(stubbed, place.ledger, rejected).commit


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


def test_a_note_is_whole_or_refused(stubbed: Workspace, ledger: Ledger) -> None:
    """As long as a prompt shows it; a longer one names the limit and is not kept."""
    requests.note(stubbed, "x" * NOTE_CHARS)
    with pytest.raises(UserError, match="2001 characters, and a prompt shows 2000"):
        requests.note(stubbed, "x" * (NOTE_CHARS + 1))
    assert ledger.notes() == ["x" * NOTE_CHARS]


def test_a_deleted_note_is_no_longer_shown(stubbed: Workspace, ledger: Ledger) -> None:
    """The others keep their numbers; what is not there can't be deleted."""
    for text in ("one", "two", "three"):
        requests.note(stubbed, text)
    requests.delete_note(stubbed, 2)
    assert [(note.id, note.text) for note in ledger.numbered_notes()] == [(1, "one"), (3, "three")]
    for number in (2, 9):
        with pytest.raises(UserError, match=f"no note {number}"):
            requests.delete_note(stubbed, number)


def edit(workspace: Workspace, text: str) -> None:
    (workspace.root / "candidate" / "train.py").write_text(text)


def test_an_edited_candidate_is_proposed_for_its_run(stubbed: Workspace, place: Place) -> None:
    """Once, with what it is; a start that finds it waiting goes on with it."""
    train = stubbed.candidate().train
    edit(stubbed, "EXTRA = 1\n" + train)
    assert requests.propose(stubbed, "  an idea\nof mine ") == "t"
    (waiting,) = place.ledger.proposals("t")
    assert (waiting.description, waiting.files) == ("an idea of mine", stubbed.candidate())
    lines = status_lines(status_document(stubbed, Config()))
    assert "asked for propose, at the next start" in lines
    with pytest.raises(UserError, match="proposed already"):
        requests.propose(stubbed)
    assert requests.propose(stubbed, tag="t", again=True) == "t"
    assert len(place.ledger.proposals("t")) == 1
    edit(stubbed, "EXTRA = 2\n" + train)
    requests.propose(stubbed)
    assert place.ledger.proposals("t")[1].description == "a person's edit of candidate/"


def test_what_needs_no_evaluation_is_not_proposed(stubbed: Workspace, place: Place) -> None:
    """A candidate that the run has or that can't be read; a run that has no baseline."""
    train = stubbed.candidate().train
    n = place.begin()
    known = place.ledger.experiment(3)
    assert known is not None
    same = Files(stubbed.candidate().env, train)
    place.ledger.finish(replace(known, n=n), same, fingerprint(same))
    for text, why in ((train, f"tried already, in experiment {n} .discard."),
                      ("# only a comment\n" + train, f"tried already, in experiment {n}"),
                      ("def broken(:\n", "can't be evaluated: candidate/train.py line 1"),
                      ("x = 1\n", "lacks build_policy, training_overrides")):  # fmt: skip
        edit(stubbed, text)
        with pytest.raises(UserError, match=why):
            requests.propose(stubbed)
    (stubbed.root / "candidate" / "env.py").write_text("env = 1\n\ndef create_env(): ...\n")
    edit(stubbed, train)
    with pytest.raises(UserError, match="run new has not begun"):
        requests.propose(stubbed, tag="new")
    place.ledger.create_run(Run("new", "p" * 40, {}, WHEN))
    with pytest.raises(UserError, match="run new has no baseline yet"):
        requests.propose(stubbed, tag="new")
    assert place.ledger.proposals("t") == []


def test_the_incumbents_and_the_baselines_code_are_unchanged(
    stubbed: Workspace, place: Place
) -> None:
    """Said as such, whatever else was kept since."""
    same = stubbed.candidate()
    n = place.begin()
    kept = place.ledger.experiment(2)
    assert kept is not None
    place.ledger.finish(replace(kept, n=n), same, fingerprint(same))
    with pytest.raises(UserError, match=f"unchanged: its code is that of experiment {n}"):
        requests.propose(stubbed)
    (stubbed.root / "candidate" / "train.py").write_text("# a comment\n" + same.train)
    with pytest.raises(UserError, match="unchanged"):
        requests.propose(stubbed)


def test_nothing_is_proposed_before_the_first_run(starter: Workspace) -> None:
    """The first start begins with the working tree's candidate."""
    with pytest.raises(UserError, match="nothing has run here yet"):
        requests.propose(starter)


LIMITED = Config.model_validate({"limits": {"tokens": 9}})


def test_a_reload_needs_a_daemon_and_a_file_that_can_be_used(
    stubbed: Workspace, place: Place
) -> None:
    """Nothing is asked for otherwise; one that nobody answers is told from one that is obeyed."""
    with pytest.raises(NotRunningError):
        requests.reload(stubbed)
    place.ledger.set_config("t", RunningConfig(LIMITED, ("limits.tokens=9",)).as_json())
    with WorkspaceLock(stubbed.lock):
        stubbed.config.write_text("limits: {hours: never}\n")
        with pytest.raises(UserError, match=r"limits\.hours"):
            requests.reload(stubbed)
        assert asked(place.ledger) == []
        stubbed.config.write_text("limits: {hours: 3}\n")
        reread = requests.reload(stubbed, timeout_s=0.0)
        assert [change.key for change in reread.changes] == ["limits.hours"]
        assert (reread.is_done, reread.settings) == (False, ("limits.tokens=9",))
        assert asked(place.ledger) == [("reload", None)]


def test_what_the_daemon_has_in_hand_is_known(stubbed: Workspace, place: Place) -> None:
    """Experiments with a number; a baseline and a proposal not answered yet are none."""
    lanes = [
        {"experiment": 4, "agent": "scripted"},
        {"experiment": 5, "agent": "none"},
        {"experiment": None, "agent": "scripted"},
    ]
    stubbed.live.write_text(json.dumps({"lanes": lanes}))
    assert requests.in_hand(stubbed) == []
    with WorkspaceLock(stubbed.lock):
        assert requests.in_hand(stubbed) == [4]


def test_a_note_can_be_the_first_thing_in_a_workspace(starter: Workspace) -> None:
    """Before any run there is no ledger yet: it is made."""
    starter.state.rmdir()
    requests.note(starter, "be bold")
    with Ledger(starter.ledger) as ledger:
        assert list(ledger.notes()) == ["be bold"]
