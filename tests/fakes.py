"""Fakes: small classes that stand in for the outside world. Our own code is never patched."""

import re
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TypeVar

from orchestrator.errors import EvaluatorError, StopRequestedError
from orchestrator.ports import Host, Progress
from orchestrator.records import Evaluation, Files, Phase, Rung, Status

T = TypeVar("T")


class StubEvaluator:
    """An evaluator in this process: it scores by `SCORE = x` in train.py, or does what it is told.

    `DO = "crash"` gives that status, `DO = "stop"` behaves as if the run was ended meanwhile,
    `DO = "broken"` as if the evaluator itself had failed.
    """

    def __init__(self) -> None:
        self.seen: list[tuple[Files, Rung]] = []

    def evaluate(
        self, files: Files, rung: Rung, folder: str, host: Host, progress: Progress
    ) -> Evaluation:
        """Answer by the constants in the candidate."""
        self.seen.append((files, rung))
        progress({"event": "episode"})
        host.wait("", 0)
        do = _constant(files.train, "DO", '"score"').strip('"')
        if do == "stop":
            raise StopRequestedError("stopped by a test")
        if do == "broken":
            raise EvaluatorError("broken by a test")
        if do != "score":
            return Evaluation(Status(do), reason=f"told to {do}", details="Traceback: told to")
        score = float(_constant(files.train, "SCORE", "0"))
        score += rung.train_episodes * float(_constant(files.train, "PER_EPISODE", "0"))
        return Evaluation(
            None, score=score, scores_by_seed={101: score, 138: score}, max_steps=20,
            metrics={"mean_solve_rate": 0.5},
        )  # fmt: skip

    def close(self) -> None:
        """Nothing to end."""


class QuietHost:
    """A host that never waits and remembers what it was told."""

    def __init__(self) -> None:
        self.events: list[tuple[str, dict[str, object]]] = []
        self.phases: list[Phase] = []
        self.stop_after_waits: int | None = None

    def show(self, phase: Phase, **facts: object) -> None:
        """Remember the phase."""
        self.phases.append(phase)

    def log(self, event: str, level: str = "info", **facts: object) -> None:
        """Remember the event."""
        self.events.append((event, facts))

    def now(self) -> str:
        """Return always the same time."""
        return "2026-11-22T03:04:05.000Z"

    def wait(self, reason: str, seconds: float) -> None:
        """Return at once, or end the run after so many waits."""
        if seconds and self.stop_after_waits is not None:
            self.stop_after_waits -= 1
            if self.stop_after_waits < 0:
                raise StopRequestedError("stopped by a test")

    def call(self, function: Callable[[], T], timeout_s: float) -> T:
        """Call it here."""
        return function()


def _constant(source: str, name: str, default: str) -> str:
    found = re.search(rf"^{name} = (.+)$", source, re.MULTILINE)
    return found[1] if found else default


def reply(train: str | None = None, env: str | None = None, description: str = "a change") -> str:
    """Return a reply in the format of the contract."""
    parts = [f"description: {description}", "rationale: because"]
    for path, text in (("candidate/train.py", train), ("candidate/env.py", env)):
        if text is not None:
            parts.append(f"\n{path}\n````python\n{text}````")
    return "\n".join(parts) + "\n"


def write_script(folder: Path, replies: Sequence[str]) -> Path:
    """Write replies as a `scripted` agent reads them; return the folder."""
    folder.mkdir(parents=True, exist_ok=True)
    for number, text in enumerate(replies, 1):
        (folder / f"{number:04d}.md").write_text(text)
    return folder
