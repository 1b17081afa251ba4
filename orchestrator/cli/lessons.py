"""The command on what a run has taught."""

import argparse
import os
import shlex
import subprocess
import sys
import tempfile
from pathlib import Path

from orchestrator.cli.common import DONE
from orchestrator.core.clock import local_with_zone
from orchestrator.core.errors import CommandFailedError, UserError
from orchestrator.core.experiments import Lessons
from orchestrator.core.text import harmless
from orchestrator.store.workspace import Workspace, find_workspace


def lessons(args: argparse.Namespace) -> int:
    """Print what the agent has written down of what works; `--edit` writes it anew."""
    from orchestrator.daemon import requests

    workspace = find_workspace(args.workspace)
    known = _read(workspace)
    if args.edit is None:
        if known is None or not known.text:
            print("no lessons yet: the agent writes them down now and then (agent.lessons_every)")
            return DONE
        when = local_with_zone(known.created_at)
        print(f"by {known.author} after #{known.after_n}, {when}", file=sys.stderr)
        print("\n".join(harmless(known.text.split("\n"))))
        return DONE
    before = known.text if known else ""
    text = sys.stdin.read() if args.edit == "-" else _edited(before)
    if text.strip() == before.strip():
        print("nothing was changed")
        return DONE
    requests.edit_lessons(workspace, text)
    print("noted: the agent sees these lessons from its next prompt on")
    return DONE


def _read(workspace: Workspace) -> Lessons | None:
    """Return the lessons of the run that runs, else of the last one."""
    from orchestrator.reporting.run_view import open_ledger
    from orchestrator.reporting.status import running_tag

    with open_ledger(workspace) as ledger:
        run = ledger.last_run()
        tag = running_tag(workspace) or (run.tag if run else None)
        return ledger.lessons(tag) if tag is not None else None


def _edited(text: str) -> str:
    """Return the text once a person has edited it in their editor.

    Raises:
        UserError: no editor is set.
        CommandFailedError: the editor can't be run, or failed.
    """
    editor = os.environ.get("VISUAL") or os.environ.get("EDITOR")
    if not editor:
        raise UserError("$EDITOR is not set: set it, or give the text on standard input with -")
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "lessons.md"
        file.write_text(text + "\n" if text else "", encoding="utf-8")
        try:
            done = subprocess.run([*shlex.split(editor), str(file)], check=False)
        except OSError as error:
            raise CommandFailedError(f"{editor} can't be run: {error}") from None
        if done.returncode:
            raise CommandFailedError(f"{editor} failed ({done.returncode}): nothing was changed")
        return file.read_text(encoding="utf-8", errors="replace")
