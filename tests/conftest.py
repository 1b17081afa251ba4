"""Shared fixtures: workspaces with real git, and the command line as a person calls it."""

import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from orchestrator.daemon.new_workspace import initialise
from orchestrator.store.workspace import Workspace

REPOSITORY = Path(__file__).parent.parent
DATA = Path(__file__).parent / "data"

Cli = Callable[..., "subprocess.CompletedProcess[str]"]


@pytest.fixture(autouse=True)
def _plain_environment(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """No test sees the developer's keys, settings or git configuration."""
    for name in list(os.environ):
        if name.startswith(("AUTORL_", "OPENAI_", "GIT_")):
            monkeypatch.delenv(name)
    monkeypatch.setenv("GIT_CONFIG_GLOBAL", str(tmp_path / "no-gitconfig"))
    monkeypatch.setenv("GIT_CONFIG_NOSYSTEM", "1")


def git(folder: Path, *arguments: str) -> str:
    """Run git as the user would; return what it prints."""
    identity = ["-c", "user.name=Test", "-c", "user.email=test@localhost"]
    done = subprocess.run(
        ["git", *identity, *arguments], cwd=folder, capture_output=True, text=True, check=True
    )
    return done.stdout.strip()


@pytest.fixture
def starter(tmp_path: Path) -> Workspace:
    """A fresh workspace with the real evaluator and the starter canvas."""
    initialise(tmp_path / "workspace", None)
    return Workspace(tmp_path / "workspace")


@pytest.fixture
def stubbed(starter: Workspace) -> Workspace:
    """A workspace whose evaluator obeys constants in the candidate (see `stub_framework.py`)."""
    (starter.root / "framework.py").write_bytes((DATA / "stub_framework.py").read_bytes())
    train = starter.root / "candidate" / "train.py"
    train.write_text("SCORE = 0.0\n" + train.read_text())
    git(starter.root, "commit", "--all", "--message", "a stub evaluator")
    return starter


@pytest.fixture
def cli(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Cli]:
    """Call `autorl-daemon` in a process of its own; daemons left running are ended."""
    folders: set[Path] = set()

    def call(
        *arguments: str, cwd: Path, timeout_s: float = 60, **environment: str
    ) -> subprocess.CompletedProcess[str]:
        folders.add(cwd)
        return subprocess.run(
            [sys.executable, "-m", "orchestrator", *arguments],
            cwd=cwd,
            capture_output=True,
            text=True,
            check=False,
            timeout=timeout_s,
            env=os.environ | environment,
        )

    yield call
    for folder in folders:
        if folder.is_dir():
            call("stop", "--now", cwd=folder)
