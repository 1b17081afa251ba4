"""The page's server: in this process for its answers, as a person starts it for all else."""

import contextlib
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from starlette.testclient import TestClient

from orchestrator.store.workspace import Workspace
from orchestrator.web.answers import Answers
from orchestrator.web.app import make_app
from orchestrator.web.security import Access
from tests.web.runs import fill_hostile, workspace_at

TOKEN = "a-token-of-enough-characters-1234"
ORIGIN = "http://127.0.0.1:8765"
KEY = "sk-a-key-that-nobody-may-see"

Opened = Callable[..., TestClient]


@pytest.fixture
def opened() -> Iterator[Opened]:
    """Open the page of a workspace: with the token's cookie, or as somebody without it."""
    with contextlib.ExitStack() as stack:

        def opened(
            workspace: Workspace, *, host: str = "127.0.0.1", with_token: bool = True
        ) -> TestClient:
            access = Access(token=TOKEN, host=host, port=8765)
            app = make_app(workspace, access, Answers([TOKEN, KEY]), poll_s=0.0)
            client = stack.enter_context(TestClient(app, base_url=ORIGIN, follow_redirects=False))
            if with_token:
                assert client.get(f"/?token={TOKEN}").status_code == 303
            return client

        yield opened


@pytest.fixture
def empty(tmp_path: Path) -> Workspace:
    """A workspace in which nothing has run."""
    return workspace_at(tmp_path / "empty")


@pytest.fixture
def hostile(tmp_path: Path) -> Workspace:
    """A workspace with a run that has hostile text in every field."""
    workspace = workspace_at(tmp_path / "hostile")
    fill_hostile(workspace)
    return workspace


@dataclass(frozen=True)
class Served:
    """A server in a process of its own."""

    url: str
    """With the token."""
    process: "subprocess.Popen[str]"

    @property
    def base(self) -> str:
        return self.url.partition("/?")[0]

    @property
    def port(self) -> int:
        return int(self.base.rpartition(":")[2])


Serve = Callable[..., Served]


@pytest.fixture
def serve() -> Iterator[Serve]:
    """Start `autorl-daemon web`; it is ended after the test."""
    started: list[subprocess.Popen[str]] = []

    def serve(workspace: Workspace, *arguments: str) -> Served:
        process = subprocess.Popen(
            [sys.executable, "-m", "orchestrator", "web", "--port", "0", *arguments],
            cwd=workspace.root, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
        )  # fmt: skip
        started.append(process)
        assert process.stdout is not None
        first = process.stdout.readline()
        assert first.startswith("page: http"), first + process.stdout.read()
        return Served(first.split()[1], process)

    yield serve
    for process in started:
        process.terminate()
        process.wait(timeout=20)
        assert process.stdout is not None
        process.stdout.close()


def until(holds: Callable[[], object], timeout_s: float = 30.0) -> None:
    """Wait until something holds."""
    deadline = time.monotonic() + timeout_s
    while not holds():
        assert time.monotonic() < deadline
        time.sleep(0.05)
