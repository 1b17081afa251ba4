"""The whole page as files: to be kept, mailed, or put on any web server. Nothing can be steered.

Each answer of the server is a script that hands over JSON: a browser lets a page on disk load
scripts beside it, and nothing else.
"""

import contextlib
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from orchestrator.core.clock import now
from orchestrator.core.errors import CommandFailedError, UserError
from orchestrator.reporting.report import make_report
from orchestrator.reporting.report_text import markdown_text
from orchestrator.store.workspace import Workspace
from orchestrator.web.answers import Answers
from orchestrator.web.asset_files import ASSETS, asset_files
from orchestrator.web.current import Current, Shown
from orchestrator.web.documents import detail, log, replay

_POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; base-uri 'none'; "
    "form-action 'none'"
)
_EPISODES = 4
"""Most episodes of a seed that are written."""
_MARK = 'data-export="yes"'


def export_page(workspace: Workspace, folder: Path, tag: str | None, answers: Answers) -> int:
    """Write the page of a run to a folder; return how many experiments it has.

    Args:
        workspace: where.
        folder: a new one, an empty one, or that of an earlier export, which is replaced.
        tag: the run; None for the last one.
        answers: writes documents without secrets.

    Raises:
        UserError: there is no such run, or the folder holds something else.
        CommandFailedError: it can't be written.
    """
    current = Current(workspace)
    picture = current.picture()
    name = tag or picture.tag
    if name is None:
        raise UserError(f"nothing has run in {workspace.root} yet: `autorl-daemon start`")
    shown = current.shown(name)
    status = picture.status if name == picture.tag else picture.status | current.run_status(name)
    try:
        _make_room(folder)
        for path, document in _documents(workspace, shown, status):
            _write(folder / "data" / f"{path}.js", path, answers.text(document))
        for asset in asset_files():
            target = folder / asset
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(ASSETS / asset, target)
        _mark(folder / "index.html")
    except OSError as error:
        raise CommandFailedError(f"{folder} can't be written: {error}") from None
    return len(shown.entries)


def _documents(
    workspace: Workspace, shown: Shown, status: dict[str, Any]
) -> Iterator[tuple[str, Any]]:
    """Yield what the page asks for, by the path under which it does."""
    rows = [entry.row for entry in shown.entries.values()]
    yield "session", {"can_act": False, "workspace": f"exported {now()}"}
    yield "status", status | {"last_event": None, "workspace": workspace.root.name}
    yield "runs", [{"tag": shown.view.run.tag, "running": False}]
    yield "chart", shown.chart()
    yield "experiments", {"rows": rows, "rungs": shown.rungs}
    yield "log", log(workspace)
    made = make_report(shown.view, is_running=status["running"])
    yield "report", {"markdown": markdown_text(made)}
    for n in shown.entries:
        document = detail(workspace, shown, n)
        yield f"experiments/{n}", document
        for seed in document["replays"]:
            for episode in range(_EPISODES):
                with contextlib.suppress(UserError):  # so many are not kept
                    kept = replay(workspace, n, seed, episode)
                    kept["episodes"] = min(kept["episodes"], _EPISODES)
                    yield f"experiments/{n}/replay/{seed}/{episode}", kept


def _make_room(folder: Path) -> None:
    """Make the folder, and empty that of an earlier export; nothing else is ever removed."""
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        index = folder / "index.html"
        if not (index.is_file() and _MARK in index.read_text(errors="replace")[:500]):
            raise UserError(f"{folder} holds something else already: name another folder")
        shutil.rmtree(folder / "data", ignore_errors=True)
    folder.mkdir(parents=True, exist_ok=True)


def _write(path: Path, name: str, text: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(f'autorl.loaded("{name}", {text});\n', encoding="utf-8")


def _mark(index: Path) -> None:
    """Have the page take its data from files, and nothing from anywhere else."""
    text = index.read_text(encoding="utf-8")
    text = text.replace("<html ", f"<html {_MARK} ", 1)
    policy = f'<meta http-equiv="Content-Security-Policy" content="{_POLICY}">'
    index.write_text(text.replace("<title>", f"{policy}\n<title>", 1), encoding="utf-8")
