"""`demo`: a workspace from an example, the daemon in the background, and a live view of it."""

import shlex
import shutil
import sys
import time
from pathlib import Path

from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn

from orchestrator.config.loading import load_config
from orchestrator.core.errors import CommandFailedError
from orchestrator.core.experiments import Experiment
from orchestrator.core.text import harmless
from orchestrator.daemon.templates import template_root
from orchestrator.reporting.run_view import open_ledger, read_run, sentence
from orchestrator.reporting.status import status_document
from orchestrator.reporting.tables import style_of
from orchestrator.reporting.terminal import activity
from orchestrator.store.ledger import Ledger
from orchestrator.store.workspace import Workspace

DEFAULT_EXAMPLE = "keydoor"
_POLL_S = 0.2


def demo_folder(example: str) -> Path:
    """Return a folder that does not exist yet: beside the checkout, else in the current folder."""
    root = template_root()
    beside = root.parent if (root / "pyproject.toml").is_file() else Path.cwd()
    parent = beside if _is_writable(beside) else Path.cwd()
    for number in range(1, 1000):
        folder = parent / f"autorl-demo-{example}{f'-{number}' if number > 1 else ''}"
        if not folder.exists():
            return folder
    raise CommandFailedError(f"there are too many demos in {parent}: remove some")


def watch(workspace: Workspace, console: Console) -> None:
    """Print a line for each ending until the daemon stops; a progress bar on a terminal."""
    shown = 0
    bar = Progress(
        TextColumn("  {task.description}"),
        BarColumn(bar_width=10),
        TextColumn("{task.percentage:>3.0f} %"),
        TimeElapsedColumn(),
        console=console,
        transient=True,
    )
    task = bar.add_task("starting the evaluator", total=None)
    current = None
    config = load_config(workspace.config)
    with bar if console.is_terminal else _Silent():
        while True:
            state = status_document(workspace, config)
            for experiment in _finished_since(workspace, shown):
                line = styled(experiment, config.evaluator.seed_count)
                console.print(
                    line, no_wrap=True, soft_wrap=not console.is_terminal,
                    overflow="ellipsis" if console.is_terminal else "ignore",
                )  # fmt: skip
                shown = experiment.ended
            if not state["running"]:
                return
            progress = state["progress"] or {}
            if state["experiment"] != current:  # a clock of its own for each experiment
                bar.reset(task)
                current = state["experiment"]
            bar.update(
                task,
                description=_escaped(activity(state)),
                completed=progress.get("done", 0),
                total=progress.get("total"),
            )
            time.sleep(_POLL_S)


def styled(experiment: Experiment, seed_count: int | None = None) -> str:
    """Return the experiment's line in its status's colour (rich markup)."""
    colour = style_of(experiment.status)
    return f"[{colour}]{_escaped(sentence(experiment, seed_count))}[/]"


def places(workspace: Workspace, chart: Path) -> list[str]:
    """Return the last lines of a demo: where everything is, and what to try."""
    with open_ledger(workspace) as ledger:
        tag = read_run(workspace, ledger).run.tag
    folder = shlex.quote(str(workspace.root))
    lines = [
        f"branch:    autorl/{tag} in {workspace.root}",
        f"chart:     {chart}",
        f"log:       {workspace.daemon_log}",
        f"next:      cd {folder} and try `{command()} results`, `show N --diff`, "
        "`report --html FILE`",
    ]
    return harmless(lines)


def command() -> str:
    """Return how a shell finds this program: by its path where no environment is active."""
    installed = Path(sys.executable).with_name("autorl-daemon")
    if shutil.which("autorl-daemon") or not installed.exists():
        return "autorl-daemon"
    return shlex.quote(str(installed))


class _Silent:
    """Replaces the progress bar where there is no terminal."""

    def __enter__(self) -> None:
        return None

    def __exit__(self, *exception: object) -> None:
        return None


def _finished_since(workspace: Workspace, ended: int) -> list[Experiment]:
    """Return the experiments after this place in the order of endings, in that order."""
    if not workspace.ledger.exists():
        return []
    with Ledger(workspace.ledger) as ledger:
        finished = [experiment for experiment in ledger.experiments() if experiment.ended > ended]
    return sorted(finished, key=lambda experiment: experiment.ended)


def _escaped(text: str) -> str:
    return text.replace("[", "\\[")


def _is_writable(folder: Path) -> bool:
    import os

    return os.access(folder, os.W_OK)
