"""One change judged by a whole daemon: real training, a fresh run whose baseline is the file before.

Used by what measures the rules on known proposals: `tests/transcripts` and `tests/rulers`.
"""

import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from orchestrator.core.records import Files
from orchestrator.daemon.new_workspace import initialise
from orchestrator.store.ledger import Ledger
from orchestrator.store.workspace import Workspace
from tests.conftest import REPOSITORY
from tests.fakes import reply, write_script


@dataclass(frozen=True)
class Task:
    """Where a change is judged: an example's configuration, or the empty canvas, and its brief."""

    example: str | None
    rung: tuple[int, int] = (12, 8)
    program: str | None = None
    """The brief; None for the example's own."""
    settings: tuple[str, ...] = ()
    """Further settings, `key=value`."""


@dataclass(frozen=True)
class Judged:
    """What became of a change."""

    row: Mapping[str, Any]
    """As `results --json` has it."""
    verdict: Mapping[str, Any]
    """Its statistics, as the ledger has them."""
    incumbent: int
    """The experiment that is published now; 1 is the candidate before."""

    @property
    def status(self) -> str:
        return str(self.row["status"])

    @property
    def reason(self) -> str:
        return str(self.row["reason"])

    @property
    def is_adopted(self) -> bool:
        """Does the run go on from it: does it lead, or is it published?"""
        return self.incumbent != 1 or bool(self.verdict.get("lead"))


def judge(
    task: Task, before: Files, after: Files, description: str, rationale: str = "because"
) -> Judged:
    """Run a daemon from one candidate with one proposal, the other candidate."""
    with tempfile.TemporaryDirectory(prefix="judged-") as scratch:
        root = Path(scratch) / "workspace"
        initialise(root, task.example)
        for path, text in before.by_path().items():
            (root / path).write_text(text, encoding="utf-8")
        if task.program is not None:
            (root / "program.md").write_text(task.program, encoding="utf-8")
        text = reply(after.train, after.env, description).replace("because", rationale, 1)
        script = write_script(Path(scratch) / "script", [text])
        settings = [
            "agent.backend=scripted", f"agent.scripted_dir={script}",
            f"budget.ladder=[[{task.rung[0]}, {task.rung[1]}]]", *task.settings,
        ]  # fmt: skip
        _run(root, "start", "--foreground", "--no-check", "--max-experiments", "1", *_set(settings))
        rows = json.loads(_run(root, "results", "--json"))
        status = json.loads(_run(root, "status", "--json", codes=(0, 3)))
        (row,) = [row for row in rows if row["status"] != "baseline"]
        with Ledger(Workspace(root).ledger) as ledger:
            experiment = ledger.experiment(row["experiment"])
            assert experiment is not None
    return Judged(row, experiment.verdict, status["incumbent"])


def _set(settings: Sequence[str]) -> list[str]:
    return [part for setting in settings for part in ("--set", setting)]


def _run(root: Path, *arguments: str, codes: Sequence[int] = (0,)) -> str:
    environment = os.environ | {"PYTHONPATH": str(REPOSITORY)}
    command = [sys.executable, "-P", "-m", "orchestrator", *arguments]
    done = subprocess.run(
        command, cwd=root, env=environment, capture_output=True, text=True, check=False
    )
    if done.returncode not in codes:
        raise RuntimeError(f"{arguments} ended with {done.returncode}: {done.stderr[-2000:]}")
    return done.stdout
