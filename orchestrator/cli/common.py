"""Shared by several commands: exit codes, error messages, the chart."""

import io
import shlex
import sys
from pathlib import Path

from orchestrator.core.errors import UserError
from orchestrator.core.text import clean
from orchestrator.store.workspace import Workspace

DONE, FAILED, USAGE, NOT_RUNNING, INTERRUPTED = 0, 1, 2, 3, 130


def whole_number(text: str, least: int = 1) -> int:
    """Return a number that a person wrote, of at least `least` (1 or 0).

    Raises:
        UserError: it is none, or larger than any there is.
    """
    if not (text.isascii() and text.isdigit()) or len(text) > 15 or int(text) < least:
        what = "a positive number" if least else "a whole number from 0"
        raise UserError(f"must be {what}, not {text[:40]!r}")
    return int(text)


def complain(error: Exception, code: int) -> int:
    """Print an error to standard error; return the exit code."""
    for line in clean(str(error)).splitlines():
        print(f"autorl-daemon: {line}", file=sys.stderr)
    return code


def show_anything() -> None:
    """From now on write `?` for what the terminal's encoding does not have."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="replace")


def draw_chart(workspace: Workspace, chart: Path, tag: str | None = None) -> None:
    """Draw a run into a file.

    Raises:
        UserError: the file has no known ending, its folder is missing, or there is no such run.
    """
    from orchestrator.reporting.chart import draw
    from orchestrator.reporting.run_view import open_ledger, read_run

    if chart.suffix.lower() not in {".png", ".svg", ".pdf"}:
        raise UserError(f"{chart} must end in .png, .svg or .pdf")
    if chart.parent == workspace.logs:
        chart.parent.mkdir(exist_ok=True)
    if not chart.parent.exists():
        folder = shlex.quote(str(chart.parent))
        raise UserError(f"there is no folder {folder}: make it first (`mkdir -p {folder}`)")
    if chart.is_dir():
        raise UserError(f"{chart} is a folder: name a file")
    with open_ledger(workspace) as ledger:
        view = read_run(workspace, ledger, tag)
    draw(view, chart)
