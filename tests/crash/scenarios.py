"""What the daemon is killed in the middle of: six workspaces, each with one experiment to go."""

import contextlib
import json
import os
import shutil
import signal
import sqlite3
import subprocess
import sys
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

from orchestrator.cli.main import main
from orchestrator.daemon.new_workspace import initialise
from orchestrator.store.workspace import Workspace
from tests.conftest import DATA, git
from tests.fakes import reply

TAG = "t"
_CONFIG = """\
sandbox: "off"
agent: {{backend: {backend}, scripted_dir: script, model: m}}
budget: {{ladder: {ladder}, min_keeps: 1, patience: 50}}
judge: {{group_size: 2, max_evaluations: 4, reference: 8, reference_first: 8}}
"""


@dataclass(frozen=True)
class Scenario:
    """A workspace's past, and the one experiment that follows."""

    name: str
    past: tuple[str, ...] | None = ()
    """Constants of the candidates tried before, after a baseline; None: nothing has run."""
    replies: tuple[str, ...] = ()
    """Constants of the replies of the experiment, repairs included."""
    ladder: str = "[[12, 8]]"
    by_model: bool = field(default=False)
    """The replies come from an HTTP endpoint, which counts what it is asked."""


SCENARIOS = (
    Scenario("baseline", past=None),
    Scenario("keep", replies=("SCORE = 1.0",)),
    Scenario("discard", replies=("SCORE = -1.0",)),
    Scenario("crash", replies=('DO = "crash"',)),
    Scenario("repair", replies=('DO = "crash"', "SCORE = 1.0"), by_model=True),
    Scenario("rung", past=("SCORE = 1.0",), ladder="[[12, 8], [32, 8]]"),
)


class Place:
    """A folder with the workspace, the evaluator's log and what the daemons print."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.workspace = Workspace(folder / "work")
        self.root = self.workspace.root
        self.evaluations = folder / "evaluations.log"
        self.output = folder / "daemon.out"

    def copy(self, folder: Path) -> "Place":
        """Copy everything, times and links included."""
        shutil.copytree(self.folder, folder, symlinks=True)
        return Place(folder)


class Model:
    """A chat endpoint that gives the reply which comes after those the ledger has."""

    def __init__(self) -> None:
        self.replies: list[str] = []
        self.ledger: Path | None = None
        self.asked_before = 0
        self.asked = 0
        model = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                model._answer(self)

            def log_message(self, *_: object) -> None:
                """Say nothing."""

        self._http = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._http.daemon_threads = True
        self.url = f"http://127.0.0.1:{self._http.server_port}/v1"
        threading.Thread(target=self._http.serve_forever, args=(0.005,), daemon=True).start()

    def serve(self, place: Place, replies: list[str]) -> None:
        """Answer for another place from now on."""
        self.ledger, self.replies, self.asked = place.workspace.ledger, replies, 0

    def close(self) -> None:
        """Stop answering."""
        self._http.shutdown()
        self._http.server_close()

    def _answer(self, handler: BaseHTTPRequestHandler) -> None:
        handler.rfile.read(int(handler.headers["content-length"]))
        self.asked += 1
        assert self.ledger is not None
        with contextlib.closing(sqlite3.connect(f"file:{self.ledger}?mode=ro", uri=True)) as db:
            (recorded,) = db.execute("SELECT count(*) FROM attempts").fetchone()
        body: dict[str, Any] = {"error": {"message": "no key, no more", "code": "invalid_api_key"}}
        if recorded < len(self.replies):
            message = {"role": "assistant", "content": self.replies[recorded]}
            choice = {"index": 0, "message": message, "finish_reason": "stop"}
            body = {"id": "x", "object": "chat.completion", "created": 1, "model": "m",
                    "choices": [choice]}  # fmt: skip
        text = json.dumps(body).encode()
        with contextlib.suppress(OSError):
            handler.send_response(200 if "choices" in body else 401)
            handler.send_header("content-type", "application/json")
            handler.send_header("content-length", str(len(text)))
            handler.end_headers()
            handler.wfile.write(text)


@contextlib.contextmanager
def a_model() -> Iterator[Model]:
    """Yield an endpoint that lasts as long as the block."""
    model = Model()
    try:
        yield model
    finally:
        model.close()


def arrange(scenario: Scenario, folder: Path) -> Place:
    """Make the workspace as it is before the experiment, with work of the user's in progress."""
    place = Place(folder)
    folder.mkdir(parents=True)
    place.evaluations.touch()
    root = place.root
    initialise(root, None)
    (root / "framework.py").write_bytes((DATA / "stub_framework.py").read_bytes())
    backend = "openai" if scenario.by_model else "scripted"
    place.workspace.config.write_text(_CONFIG.format(backend="scripted", ladder="[[12, 8]]"))
    train = place.workspace.candidate().train
    (root / "candidate" / "train.py").write_text("SCORE = 0.0\n" + train)
    script = root / "script"
    script.mkdir()
    git(root, "add", "--all")
    git(root, "commit", "--quiet", "--message", "a stub evaluator")
    past = [] if scenario.past is None else list(scenario.past)
    for number, constants in enumerate(past, 1):
        (script / f"{number:04d}.md").write_text(_reply(constants, train))
    if scenario.past is not None:
        environment = {"AUTORL_BUDGET__MIN_KEEPS": "50"}
        assert Run(place, environment).wait() == 0, place.output.read_text()
    place.workspace.config.write_text(_CONFIG.format(backend=backend, ladder=scenario.ladder))
    for number, constants in enumerate(scenario.replies, len(past) + 1):
        (script / f"{number:04d}.md").write_text(_reply(constants, train))
    (root / "candidate" / "env.py").open("a").write("# not committed yet\n")
    (root / "staged.txt").write_text("staged")
    git(root, "add", "staged.txt")
    (root / "untracked.txt").write_text("untracked")
    return place


def replies(scenario: Scenario, place: Place) -> list[str]:
    """Return the texts of the experiment's replies, for a model to give."""
    files = sorted((place.root / "script").iterdir())
    return [file.read_text() for file in files][-len(scenario.replies) :]


def _reply(constants: str, train: str) -> str:
    return reply(f"{constants}\n{train}", description=f"try {constants}")


def daemon(place: Place, environment: dict[str, str]) -> int:
    """Be the daemon, in a forked process: what `autorl-daemon start --foreground` runs."""
    os.setsid()
    os.chdir(place.root)
    output = os.open(place.output, os.O_WRONLY | os.O_CREAT | os.O_APPEND)
    for descriptor in (1, 2):
        os.dup2(output, descriptor)
    sys.stdout = sys.stderr = os.fdopen(output, "w", buffering=1)
    signal.signal(signal.SIGINT, signal.default_int_handler)
    for name in [n for n in os.environ if n.startswith(("AUTORL_", "OPENAI_", "GIT_"))]:
        del os.environ[name]
    os.environ |= {"GIT_CONFIG_GLOBAL": "/dev/null", "GIT_CONFIG_NOSYSTEM": "1"} | environment
    return main(["start", "--foreground", "--tag", TAG])


class Run:
    """A daemon in a forked process: warm, so that no interpreter has to start."""

    def __init__(self, place: Place, environment: dict[str, str]) -> None:
        self.pid = os.fork()
        if self.pid == 0:
            code = 70
            try:
                code = daemon(place, environment)
            finally:
                os._exit(code)

    def wait(self, timeout_s: float = 60) -> int:
        """Return its exit code, -9 if it had to be killed for taking too long."""
        watchdog = threading.Timer(timeout_s, os.kill, (self.pid, signal.SIGKILL))
        watchdog.start()
        try:
            return os.waitstatus_to_exitcode(os.waitpid(self.pid, 0)[1])
        finally:
            watchdog.cancel()


def imports() -> None:
    """Load what the daemon loads late, once for all forks."""
    import git.cmd
    import openai.resources.chat
    import structlog
    import tenacity

    del git, openai, structlog, tenacity
    subprocess.run(["git", "--version"], capture_output=True, check=True)
