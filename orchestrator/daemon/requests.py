"""Requests of users, as functions: the command line calls them, and a web page can.

With `lead_requests.py` the only writer of requests and notes. A running daemon finds its requests
in the ledger; without one they are carried out here, under the daemon's lock.
"""

import contextlib
import os
import signal
import time
from dataclasses import dataclass

from orchestrator.config.reloading import Change, RunningConfig
from orchestrator.core.clock import now
from orchestrator.core.errors import (
    CommandFailedError,
    ConflictError,
    EditError,
    NotRunningError,
    UserError,
)
from orchestrator.core.experiments import Experiment
from orchestrator.core.records import BASELINE_AGENT, FAILED, HUMAN, Files, Status
from orchestrator.core.text import clean, one_line
from orchestrator.proposals.brief import NOTE_CHARS
from orchestrator.proposals.candidate_code import check_file
from orchestrator.proposals.reply import MAX_LESSONS_CHARS
from orchestrator.reporting.changed import config_changes, why_not_proposed
from orchestrator.reporting.run_view import read_run
from orchestrator.reporting.status import running_lanes, running_tag
from orchestrator.store.ledger import Ledger
from orchestrator.store.lock import WorkspaceLock, holder
from orchestrator.store.user_files import make_folder
from orchestrator.store.workspace import Workspace

_STOP_NOW_S = 15.0
_RELOAD_S = 10.0
_DESCRIPTION_CHARS = 200
_UNSCORED = FAILED - {Status.REJECTED}
"""What is rejected may be just what a person means to allow."""


@dataclass(frozen=True)
class Accepted:
    """The result of `accept`."""

    experiment: Experiment
    commit: str | None
    """The incumbent's new commit; None if the running daemon makes it."""


@dataclass(frozen=True)
class Reread:
    """The result of `reload`."""

    changes: list[Change]
    """How `config.yaml` differs from what the daemon worked with."""
    is_done: bool
    """Whether the daemon has taken up what it can; False if it has not answered yet."""
    settings: tuple[str, ...]
    """What was set at the start beside the file, and beats it."""


def ask(workspace: Workspace, kind: str) -> int:
    """Record `stop`, `pause` or `resume` for the running daemon; return its pid.

    Raises:
        NotRunningError: there is none.
    """
    pid = running_pid(workspace)
    with Ledger(workspace.ledger) as ledger:
        ledger.add_request(kind, None, now())
    return pid


def terminate(workspace: Workspace, *, timeout_s: float = _STOP_NOW_S) -> None:
    """End the daemon now and wait until it is gone.

    Raises:
        NotRunningError: there is none.
        CommandFailedError: it does not end within `timeout_s`.
    """
    pid = running_pid(workspace)
    with contextlib.suppress(ProcessLookupError):
        os.kill(pid, signal.SIGTERM)
    deadline = time.monotonic() + timeout_s
    while holder(workspace.lock) is not None:
        if time.monotonic() > deadline:
            raise CommandFailedError(f"pid {pid} did not end within {timeout_s:g} s: kill -9 {pid}")
        time.sleep(0.05)


def running_pid(workspace: Workspace) -> int:
    """Return the daemon's pid.

    Raises:
        NotRunningError: there is none.
    """
    pid = holder(workspace.lock)
    if pid is None:
        raise NotRunningError(f"no daemon is running in {workspace.root}")
    return pid


def in_hand(workspace: Workspace) -> list[int]:
    """Return the experiments that the running daemon has in hand, baselines left out."""
    return [
        lane["experiment"]
        for lane in running_lanes(workspace)
        if lane["experiment"] and lane["agent"] != BASELINE_AGENT
    ]


def accept(workspace: Workspace, ledger: Ledger, n: int, *, may_fail: bool = False) -> Accepted:
    """Make experiment `n` the incumbent, by the user's override.

    Args:
        workspace: where.
        ledger: of the workspace.
        n: the experiment.
        may_fail: whether it may be one that crashed, say: its baseline ends the run if it fails.

    Raises:
        UserError: there is no such experiment, or it can't be the incumbent.
        CommandFailedError: another program moved the run's branch.
    """
    experiment = ledger.experiment(n)
    if experiment is None:
        raise UserError(f"there is no finished experiment {n}: see `autorl-daemon results`")
    if ledger.files(n) is None:
        raise UserError(f"experiment {n} holds no candidate (its reply was not usable)")
    if experiment.status in _UNSCORED and not may_fail:
        raise UserError(
            f"experiment {n} ended as {experiment.status}: published, it would be evaluated first, "
            f"and the run ends if it fails again; `autorl-daemon accept {n} --yes` all the same"
        )
    if holder(workspace.lock):
        tag = running_tag(workspace)
        if tag is not None and tag != experiment.tag:
            raise UserError(f"experiment {n} is of run {experiment.tag}, and {tag} is running")
        ledger.add_request("accept", str(n), now())
        return Accepted(experiment, None)
    from orchestrator.store.branch import Branch
    from orchestrator.store.git import GitStore

    run = ledger.run(experiment.tag)
    assert run is not None
    with WorkspaceLock(workspace.lock):
        try:
            commit = Branch(run, ledger, GitStore(workspace.root)).accept(n, now())
        except ConflictError as error:
            raise CommandFailedError(str(error)) from None
    return Accepted(experiment, commit)


def note(workspace: Workspace, text: str) -> None:
    """Add a note for the agent, for every prompt from now on.

    Raises:
        UserError: it is empty, or longer than a prompt shows.
    """
    text = clean(text, len(text)).strip()
    if not text:
        raise UserError("the note is empty")
    if len(text) > NOTE_CHARS:
        raise UserError(
            f"the note has {len(text)} characters, and a prompt shows {NOTE_CHARS}: shorten it, "
            "or write it into program.md"
        )
    make_folder(workspace.state, private=True)
    with Ledger(workspace.ledger) as ledger:
        ledger.add_note(text, now())


def delete_note(workspace: Workspace, number: int) -> None:
    """Leave a note out of all prompts from now on; the ledger keeps it.

    Raises:
        UserError: there is no such note.
    """
    if workspace.ledger.exists():
        with Ledger(workspace.ledger) as ledger:
            if ledger.delete_note(number, now()):
                return
    raise UserError(f"there is no note {number}: see `autorl-daemon note --list`")


def edit_lessons(workspace: Workspace, text: str) -> None:
    """Put a human's lessons in place of those of the last run, or of the one that runs.

    Raises:
        UserError: nothing has run here, or the text is longer than a prompt shows.
    """
    text = clean(text, len(text)).strip()
    if len(text) > MAX_LESSONS_CHARS:
        raise UserError(
            f"the lessons have {len(text)} characters, and a prompt shows {MAX_LESSONS_CHARS}: "
            "shorten them, or write them into program.md"
        )
    if not workspace.ledger.exists():
        raise UserError(f"nothing has run in {workspace.root} yet: `autorl-daemon start`")
    with Ledger(workspace.ledger) as ledger:
        view = read_run(workspace, ledger, running_tag(workspace))
        ledger.add_lessons(view.run.tag, text, HUMAN, now())


def propose(
    workspace: Workspace,
    description: str = "",
    tag: str | None = None,
    *,
    again: bool = False,
    files: Files | None = None,
) -> str:
    """Have a candidate judged as an experiment; return the run it is for.

    A running daemon evaluates it next; without one, the next start of the run does.

    Args:
        workspace: whose `candidate/` it is.
        description: what it tries; empty for a default.
        tag: the run; None for the one that runs, else the last one.
        again: the same candidate may be waiting already, and is not added once more.
        files: the candidate; None for the one in the working tree.

    Raises:
        UserError: there is no run, the candidate can't be used, or the run has its code already.
    """
    files = files or workspace.candidate()
    try:
        for path, text in files.by_path().items():
            check_file(path, text, has_world=workspace.has_world)
    except EditError as error:
        raise UserError(f"the candidate can't be evaluated: {error}") from None
    if not workspace.ledger.exists():
        raise UserError("nothing has run here yet: `autorl-daemon start` begins with candidate/")
    with Ledger(workspace.ledger) as ledger:
        if tag is not None and ledger.run(tag) is None:
            raise UserError(f"run {tag} has not begun: its baseline is candidate/ as it is")
        view = read_run(workspace, ledger, tag or running_tag(workspace))
        if again and files in [proposal.files for proposal in ledger.proposals(view.run.tag)]:
            return view.run.tag
        if view.state.incumbent is None:
            raise UserError(
                f"run {view.run.tag} has no baseline yet: the next `start --tag {view.run.tag}` "
                "takes candidate/ as it is"
            )
        if why := why_not_proposed(ledger, view.run.tag, files, view.state):
            raise UserError(why)
        text = one_line(description, _DESCRIPTION_CHARS) or "a person's edit of candidate/"
        ledger.add_proposal(view.run.tag, text, files, now())
    return view.run.tag


def reload(workspace: Workspace, *, timeout_s: float = _RELOAD_S) -> Reread:
    """Have the running daemon reread `config.yaml`, and wait for that up to `timeout_s`.

    Raises:
        NotRunningError: there is no daemon.
        UserError: the file can't be used; the daemon goes on with what it has.
    """
    running_pid(workspace)
    with Ledger(workspace.ledger) as ledger:
        view = read_run(workspace, ledger, running_tag(workspace))
        found = config_changes(workspace, view.run, view.state.rung)
        before = RunningConfig.from_json(view.run.config)
        settings = (*before.settings, *before.environment) if before else ()
        ledger.add_request("reload", None, now())
        deadline = time.monotonic() + timeout_s
        while any(request.kind == "reload" for request in ledger.requests()):
            if time.monotonic() > deadline or holder(workspace.lock) is None:
                return Reread(found, is_done=False, settings=settings)
            time.sleep(0.05)
        run = ledger.run(view.run.tag)
    running = RunningConfig.from_json(run.config) if run else None
    if running is not None and running.problem:
        raise UserError(running.problem)
    return Reread(found, is_done=True, settings=settings)
