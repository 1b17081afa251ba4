"""Shared by several commands: exit codes, error messages, the chart."""

import sys
from pathlib import Path

from orchestrator.core.errors import UserError
from orchestrator.store.workspace import Workspace

DONE, FAILED, USAGE, NOT_RUNNING, INTERRUPTED = 0, 1, 2, 3, 130


def complain(error: Exception, code: int) -> int:
    """Print an error to standard error; return the exit code."""
    for line in str(error).splitlines():
        print(f"autorl-daemon: {line}", file=sys.stderr)
    return code


def draw_chart(workspace: Workspace, chart: Path, tag: str | None = None) -> None:
    """Draw a run into a file.

    Raises:
        UserError: the file has no known ending, or there is no such run.
    """
    from orchestrator.reporting.chart import draw
    from orchestrator.reporting.run_view import open_ledger, read_run

    if chart.suffix.lower() not in {".png", ".svg", ".pdf"}:
        raise UserError(f"{chart} must end in .png, .svg or .pdf")
    with open_ledger(workspace) as ledger:
        view = read_run(workspace, ledger, tag)
    chart.parent.mkdir(parents=True, exist_ok=True)
    draw(view, chart)
