"""The kept runs (`tests/data/runs/`), and their reports as this version writes them."""

import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

from tests.conftest import DATA

RUNS = DATA / "runs"
_OPTIONS = {"txt": (), "md": ("--markdown", "report.md"), "html": ("--html", "report.html")}
_WIDTH = "100"


def workspace_of(name: str, place: Path) -> Path:
    """Put a kept run into a folder: all that a report needs is a ledger."""
    (place / ".autorl").mkdir(parents=True, mode=0o700)
    shutil.copy(RUNS / f"{name}.sqlite", place / ".autorl" / "ledger.sqlite")
    shutil.copy(Path(__file__).parents[2] / "config.yaml", place)
    return place


def written(place: Path, kind: str) -> str:
    """Return a run's report as `txt`, `md` or `html`, by a command line of its own, in UTC."""
    environment = os.environ | {"TZ": "UTC", "COLUMNS": _WIDTH, "NO_COLOR": "1"}
    command = [sys.executable, "-m", "orchestrator", "--workspace", str(place), "report"]
    done = subprocess.run(
        [*command, *(str(place / o) if "." in o else o for o in _OPTIONS[kind])],
        check=True, capture_output=True, text=True, env=environment,
    )  # fmt: skip
    return done.stdout if kind == "txt" else (place / f"report.{kind}").read_text(encoding="utf-8")


def report_of(name: str) -> dict[str, str]:
    """Return a kept run's report as a terminal shows it and as Markdown, by kind."""
    with tempfile.TemporaryDirectory() as folder:
        place = workspace_of(name, Path(folder))
        return {kind: written(place, kind) for kind in ("txt", "md")}
