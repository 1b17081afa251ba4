"""Requests of users, as functions: the command line calls them, and a web page can.

The only writer of requests and notes. A running daemon finds its requests in the ledger; without
one they are carried out here, under the daemon's lock.
"""

import contextlib
import os
import signal
import time
from dataclasses import dataclass

from orchestrator.core.clock import now
from orchestrator.core.errors import (
    CommandFailedError,
    ConflictError,
    NotRunningError,
    UserError,
)
from orchestrator.core.experiments import Experiment
from orchestrator.store.ledger import Ledger
from orchestrator.store.lock import WorkspaceLock, holder
from orchestrator.store.workspace import Workspace

_STOP_NOW_S = 15.0


@dataclass(frozen=True)
class Accepted:
    """The result of `accept`."""

    experiment: Experiment
    commit: str | None
    """The incumbent's new commit; None if the running daemon makes it."""


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


def accept(workspace: Workspace, ledger: Ledger, n: int) -> Accepted:
    """Make experiment `n` the incumbent, by the user's override.

    Raises:
        UserError: there is no such experiment, or it can't be the incumbent.
        CommandFailedError: another program moved the run's branch.
    """
    experiment = ledger.experiment(n)
    if experiment is None:
        raise UserError(f"there is no finished experiment {n}: see `autorl-daemon results`")
    if ledger.files(n) is None:
        raise UserError(f"experiment {n} holds no candidate (its reply was not usable)")
    if holder(workspace.lock):
        last = ledger.last_run()
        if last is not None and last.tag != experiment.tag:
            raise UserError(f"experiment {n} is of run {experiment.tag}, and {last.tag} is running")
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
        UserError: it is empty.
    """
    if not text.strip():
        raise UserError("the note is empty")
    workspace.state.mkdir(mode=0o700, exist_ok=True)
    with Ledger(workspace.ledger) as ledger:
        ledger.add_note(text.strip(), now())
