"""What is read from the workspace for a single answer."""

import contextlib
import json
from typing import Any

from orchestrator.core.errors import UserError
from orchestrator.core.text import clean
from orchestrator.daemon.program_file import read_program
from orchestrator.proposals.brief import NOTE_CHARS
from orchestrator.proposals.reply import MAX_LESSONS_CHARS
from orchestrator.reporting.log_file import log_lines
from orchestrator.reporting.run_view import find_experiment
from orchestrator.reporting.status import running_tag
from orchestrator.store.ledger import Ledger
from orchestrator.store.workspace import Workspace
from orchestrator.web.current import Shown
from orchestrator.web.experiment import experiment_document
from orchestrator.web.replays import replay_document

_LOG_LINES = 200


def runs(workspace: Workspace) -> list[dict[str, Any]]:
    """Return the runs of a workspace, the latest first: `autorl-daemon runs` says more of each."""
    if not workspace.ledger.exists():
        return []
    running = running_tag(workspace)
    with Ledger(workspace.ledger) as ledger:
        found = ledger.runs()[::-1]
    return [
        {"tag": run.tag, "started_at": run.created_at, "running": run.tag == running}
        for run in found
    ]


def tag_of(workspace: Workspace, n: int) -> str:
    """Return the run of an experiment. Raises `UserError` if there is no such experiment."""
    if workspace.ledger.exists():
        with Ledger(workspace.ledger) as ledger:
            if (experiment := ledger.experiment(n)) is not None:
                return experiment.tag
    raise UserError(f"there is no finished experiment {n}")


def detail(workspace: Workspace, shown: Shown, n: int) -> dict[str, Any]:
    """Return all that is known of one experiment."""
    with Ledger(workspace.ledger) as ledger:
        return experiment_document(workspace, ledger, shown, n)


def replay(workspace: Workspace, n: int, seed: int, episode: int) -> dict[str, Any]:
    """Return one episode of an experiment. Raises `UserError` if there is none."""
    if not workspace.ledger.exists():
        raise UserError(f"there is no finished experiment {n}")
    with Ledger(workspace.ledger) as ledger:
        experiment = find_experiment(ledger, n)
    return replay_document(workspace, experiment, seed, episode)


def notebook(workspace: Workspace, tag: str | None) -> dict[str, Any]:
    """Return what the agent is told besides the record: notes, lessons and the brief."""
    document: dict[str, Any] = {
        "notes": [], "lessons": None, "program": None,
        "note_chars": NOTE_CHARS, "lessons_chars": MAX_LESSONS_CHARS,
    }  # fmt: skip
    with contextlib.suppress(UserError):
        document["program"] = read_program(workspace)
    if workspace.ledger.exists():
        with Ledger(workspace.ledger) as ledger:
            document["notes"] = [
                {"id": note.id, "text": note.text, "created_at": note.created_at}
                for note in ledger.numbered_notes()
            ]
            if tag is not None and (lessons := ledger.lessons(tag)):
                document["lessons"] = {
                    "text": lessons.text, "author": lessons.author,
                    "after": lessons.after_n, "created_at": lessons.created_at,
                }  # fmt: skip
    return document


def log(workspace: Workspace) -> list[dict[str, Any]]:
    """Return the last entries of the log, the oldest first."""
    if not workspace.daemon_log.exists():
        return []
    entries = []
    for line in log_lines(workspace.daemon_log, _LOG_LINES):
        try:
            entry = json.loads(line)
        except (ValueError, RecursionError):  # perhaps a last line that a full disk cut
            continue
        if isinstance(entry, dict):
            facts = {str(k): clean(str(v), 500) for k, v in entry.items() if v is not None}
            entries.append(facts)
    return entries
