"""A scripted run over the stub evaluator, started and watched as a person would."""

import json
import os
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest

from orchestrator.config.schema import Config
from orchestrator.reporting.status import status_document
from orchestrator.store.ledger import Ledger
from orchestrator.store.workspace import Workspace
from tests.conftest import git
from tests.fakes import reply, write_script

Status = dict[str, Any]


def lacking(reason: str) -> None:
    """Skip a test for what this system has not; in CI it must have it."""
    if os.environ.get("TESTS_MUST_NOT_SKIP"):
        pytest.fail(f"CI must have it: {reason}")
    pytest.skip(reason)


def script(
    workspace: Workspace, folder: Path, *, count: int = 40, sleep_s: float = 0.2, **more: Any
) -> None:
    """Have the run propose ever better candidates; each evaluation takes `sleep_s`."""
    train = workspace.candidate().train.removeprefix("SCORE = 0.0\n")
    lines = "".join(f"{name} = {json.dumps(value)}\n" for name, value in more.items())
    replies = [
        reply(f"SCORE = {n}\nSLEEP_S = {sleep_s}\n{lines}{train}") for n in range(1, count + 1)
    ]
    write_script(folder, replies)
    configure(workspace, f"agent: {{backend: scripted, scripted_dir: {folder}}}")


def configure(workspace: Workspace, *lines: str) -> None:
    """Write the config: nothing of the stub's needs to be confined, and what is better is kept."""
    text = ["sandbox: off", "judge: {rule: naive}", "budget: {ladder: [[12, 8]]}", *lines]
    workspace.config.write_text("\n".join(text) + "\n")


def status(workspace: Workspace) -> Status:
    """Return what `status --json` prints."""
    return status_document(workspace, Config())


def wait_until(
    workspace: Workspace, condition: Callable[[Status], object], timeout_s: float = 30
) -> Status:
    """Poll `status` until a condition holds; return it."""
    deadline = time.monotonic() + timeout_s
    while not condition(document := status(workspace)):
        assert time.monotonic() < deadline, f"not within {timeout_s} s: {document}"
        time.sleep(0.05)
    return document


def keeps(document: Status) -> int:
    """Return how many experiments were kept."""
    return int(document["experiments"].get("keep", 0))


def assert_whole(workspace: Workspace, tag: str = "t") -> Sequence[int]:
    """Nothing lost, nothing twice: the k-th keep is the k-th reply, and the branch has it."""
    with Ledger(workspace.ledger) as ledger:
        experiments = list(ledger.experiments(tag))
        assert ledger.open_experiments(tag) == []
    kept = [e for e in experiments if e.status == "keep"]
    assert [e.score for e in kept] == list(range(1, len(kept) + 1))
    numbers = [e.n for e in experiments]
    assert numbers == list(range(1, len(numbers) + 1))
    assert git(workspace.root, "rev-parse", f"autorl/{tag}") == kept[-1].commit
    for experiment in kept:
        ref = f"refs/autorl/experiments/{experiment.n}"
        assert git(workspace.root, "rev-parse", ref) == experiment.commit
    assert git(workspace.root, "fsck", "--strict") == ""
    return numbers
