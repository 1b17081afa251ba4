"""What several commands need: exit codes, messages, and reaching the daemon that runs."""

import contextlib
import os
import signal
import sys
import time
from pathlib import Path

from orchestrator.core.errors import CommandFailedError, NotRunningError, UserError
from orchestrator.store.workspace import Workspace

DONE, FAILED, USAGE, NOT_RUNNING, INTERRUPTED = 0, 1, 2, 3, 130
_STOP_NOW_S = 15.0


def complain(error: Exception, code: int) -> int:
    """Say what went wrong on standard error; return the exit code."""
    for line in str(error).splitlines():
        print(f"autorl-daemon: {line}", file=sys.stderr)
    return code


def draw_chart(workspace: Workspace, chart: Path, tag: str | None = None) -> None:
    """Draw a run into a file.

    Raises:
        UserError: the file's name says no known form, or there is no such run.
    """
    from orchestrator.reporting.chart import draw
    from orchestrator.reporting.run_view import open_ledger, read_run

    if chart.suffix.lower() not in {".png", ".svg", ".pdf"}:
        raise UserError(f"{chart} must end in .png, .svg or .pdf")
    with open_ledger(workspace) as ledger:
        view = read_run(workspace, ledger, tag)
    chart.parent.mkdir(parents=True, exist_ok=True)
    draw(view, chart)


def terminate(workspace: Workspace) -> None:
    """End the daemon now and wait until it is gone."""
    from orchestrator.store.lock import holder

    pid = running_pid(workspace)
    with contextlib.suppress(ProcessLookupError):
        os.kill(pid, signal.SIGTERM)
    deadline = time.monotonic() + _STOP_NOW_S
    while holder(workspace.lock) is not None:
        if time.monotonic() > deadline:
            raise CommandFailedError(
                f"pid {pid} did not end within {_STOP_NOW_S:g} s: kill -9 {pid}"
            )
        time.sleep(0.05)


def running_pid(workspace: Workspace) -> int:
    """Return the daemon's pid.

    Raises:
        NotRunningError: none runs.
    """
    from orchestrator.store.lock import holder

    pid = holder(workspace.lock)
    if pid is None:
        raise NotRunningError(f"no daemon is running in {workspace.root}")
    return pid
