"""`report`: the morning's summary of a run."""

import argparse
from pathlib import Path

from orchestrator.cli import pager
from orchestrator.cli.common import DONE
from orchestrator.core.errors import UserError
from orchestrator.store.workspace import Workspace, find_workspace


def report(args: argparse.Namespace) -> int:
    """Print a run's summary: what is better, whether it is proven, what it cost, what now."""
    from orchestrator.reporting.chart import image_of
    from orchestrator.reporting.report import make_report
    from orchestrator.reporting.report_html import html_page
    from orchestrator.reporting.report_text import markdown_text
    from orchestrator.reporting.run_view import open_ledger, read_run
    from orchestrator.reporting.status import running_tag

    workspace = find_workspace(args.workspace)
    if args.html is None and args.markdown is None:
        pager.show(report_text(workspace, args.tag), is_paged=args.pager)
        return DONE
    with open_ledger(workspace) as ledger:
        view = read_run(workspace, ledger, args.tag)
        made = make_report(view, is_running=running_tag(workspace) == view.run.tag)
    if args.html is not None:
        _write(args.html, html_page(made, image_of(view, "png")))
    if args.markdown is not None:
        _write(args.markdown, markdown_text(made))
    return DONE


def report_text(workspace: Workspace, tag: str | None = None) -> str:
    """Return the report of a run, by default the last one, as a terminal shows it."""
    from orchestrator.reporting.report import make_report
    from orchestrator.reporting.report_text import terminal_text
    from orchestrator.reporting.run_view import open_ledger, read_run
    from orchestrator.reporting.status import running_tag

    with open_ledger(workspace) as ledger:
        view = read_run(workspace, ledger, tag)
        return terminal_text(make_report(view, is_running=running_tag(workspace) == view.run.tag))


def _write(path: Path, text: str) -> None:
    """Write a file, whole or not at all, and name it."""
    from orchestrator.store.user_files import write_whole

    if path.is_dir():
        raise UserError(f"{path} is a folder: name a file")
    if not path.absolute().parent.is_dir():
        raise UserError(f"there is no folder {path.absolute().parent}: make it first")
    write_whole(path, text.encode())
    print(path)
