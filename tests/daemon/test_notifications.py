"""Notifications: what is worth a message, each way of sending it, and that no failure is in the way."""

import http.server
import json
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from orchestrator.config.notify import NotifyConfig
from orchestrator.config.reloading import RunningConfig
from orchestrator.config.schema import Config
from orchestrator.core.experiments import Experiment
from orchestrator.core.records import Files, Rung, Status
from orchestrator.daemon.notifications import Message, Notifier, message_of
from orchestrator.daemon.notify_job import tell
from orchestrator.store.ledger import Ledger
from orchestrator.store.runs import Run

WHEN = "2026-11-22T00:00:00Z"
MESSAGE = Message("paused", "t: paused", "no credit")


class Hook(http.server.ThreadingHTTPServer):
    """A webhook on loopback: what it got, and the status it answers with."""

    def __init__(self) -> None:
        self.got: list[dict[str, Any]] = []
        self.status = 200
        super().__init__(("127.0.0.1", 0), _Handler)

    @property
    def url(self) -> str:
        """Its address."""
        return f"http://127.0.0.1:{self.server_address[1]}/hook?token=s3cret"


class _Handler(http.server.BaseHTTPRequestHandler):
    server: Hook

    def do_POST(self) -> None:
        """Take a message."""
        length = int(self.headers["Content-Length"])
        self.server.got.append(json.loads(self.rfile.read(length)))
        self.send_response(self.server.status)
        self.end_headers()

    def log_message(self, *_: object) -> None:
        """Say nothing."""


@pytest.fixture
def hook() -> Iterator[Hook]:
    """A webhook that serves."""
    with Hook() as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        yield server
        server.shutdown()
        thread.join()


@pytest.fixture
def ledger(tmp_path: Path) -> Iterator[Ledger]:
    """A run with a limit of ten experiments."""
    with Ledger(tmp_path / "ledger.sqlite") as ledger:
        ledger.create_run(Run("t", "p" * 40, {}, WHEN))
        config = Config.model_validate({"limits": {"experiments": 10}})
        ledger.set_config("t", RunningConfig(config).as_json())
        yield ledger


class Log:
    """What was logged."""

    def __init__(self) -> None:
        self.lines: list[tuple[str, dict[str, object]]] = []

    def __call__(self, event: str, level: str = "info", **facts: object) -> None:
        """Take a line."""
        del level
        self.lines.append((event, facts))


def writer(file: Path) -> list[str]:
    """Return a command that appends its standard input to a file."""
    code = "import sys; open(sys.argv[1], 'a').write(sys.stdin.read())"
    return [sys.executable, "-c", code, str(file)]


@pytest.mark.parametrize(
    ("event", "facts", "kind"),
    [
        ("experiment finished", {"experiment": 3, "status": "keep", "description": "d"}, "keep"),
        ("experiment finished", {"experiment": 3, "status": "discard"}, None),
        ("lead proven", {"experiment": 3, "gain": 0.1, "standard_error": 0.01}, "keep"),
        ("climbed", {"rung": "32/8", "reason": "x"}, "climbed"),
        ("paused", {"reason": "no credit"}, "paused"),
        ("run stopped", {"reason": "limits.hours reached"}, "stopped"),
        ("evaluating", {"experiment": 3}, None),
    ],
)
def test_which_lines_are_worth_a_message(
    event: str, facts: dict[str, Any], kind: str | None
) -> None:
    """Keeps, climbs, pauses and the end; nothing else."""
    message = message_of(event, facts, "t")
    assert (message.kind if message else None) == kind


def test_a_webhook_gets_json(hook: Hook) -> None:
    """With the names that chat services read."""
    assert tell(NotifyConfig(webhook=hook.url), MESSAGE) == [("webhook", None)]
    (got,) = hook.got
    assert (got["text"], got["kind"]) == ("t: paused: no credit", "paused")


def test_an_address_may_stand_in_the_environment(hook: Hook) -> None:
    """Where it is a secret; an unset variable is named."""
    config = NotifyConfig(webhook="$HOOK")
    assert tell(config, MESSAGE, {"HOOK": hook.url}) == [("webhook", None)]
    ((_, why),) = tell(config, MESSAGE, {})
    assert why == "the variable HOOK is not set"


def test_each_failure_is_said_without_secrets(hook: Hook, tmp_path: Path) -> None:
    """One way that fails doesn't keep another from telling."""
    hook.status = 500
    config = NotifyConfig(webhook=hook.url, command=writer(tmp_path / "told"))
    results = dict(tell(config, MESSAGE))
    assert results["command"] is None
    assert "500" in (results["webhook"] or "")
    assert "s3cret" not in str(results)
    assert (tmp_path / "told").read_text() == "t: paused\nno credit\n"


@pytest.mark.parametrize(
    ("call", "says"),
    [
        (["/no/such/program"], "No such file"),
        ([sys.executable, "-c", "raise SystemExit('no mail here')"], "no mail here"),
    ],
)
def test_a_command_that_fails_is_said(call: list[str], says: str) -> None:
    """Not there, or with its own last words."""
    ((_, why),) = tell(NotifyConfig(command=call), MESSAGE)
    assert says in (why or "")


def test_messages_of_a_kind_are_not_sent_too_often(ledger: Ledger, tmp_path: Path) -> None:
    """What comes too soon is counted in the next; the end is always told."""
    log, told = Log(), tmp_path / "told"
    config = NotifyConfig(command=writer(told), min_interval_s=60.0)
    notifier = Notifier(config, ledger, "t", log)
    for number in range(3):
        notifier.heard("paused", {"reason": f"reason {number}"})
    notifier.heard("run stopped", {"reason": "enough"})
    notifier.close()
    assert sorted(told.read_text().splitlines()) == [
        "enough",
        "reason 0",
        "t: paused",
        "t: stopped",
    ]
    assert log.lines == []


def test_a_failure_is_logged_and_nothing_more(ledger: Ledger) -> None:
    """By a process of its own, so the daemon never waits for it."""
    log = Log()
    config = NotifyConfig(command=[sys.executable, "-c", "import time; time.sleep(0.3); exit('x')"])
    notifier = Notifier(config, ledger, "t", log)
    started_s = time.monotonic()
    notifier.heard("paused", {"reason": "why"})
    assert time.monotonic() - started_s < 0.25
    notifier.close()
    ((event, facts),) = log.lines
    assert event == "notification failed"
    assert "exit code 1" in str(facts["reason"])


def test_a_limit_that_is_near_is_told_once(ledger: Ledger, tmp_path: Path) -> None:
    """At nine of ten experiments."""
    told = tmp_path / "told"
    config = NotifyConfig(command=writer(told), events=["limit_near"])
    notifier = Notifier(config, ledger, "t", Log())
    for _ in range(11):
        n = ledger.begin(
            "t", is_baseline=False, rung=Rung(12, 8), agent="a", parent="p" * 40, when=WHEN
        )
        ended = Experiment(
            n=n, tag="t", is_baseline=False, status=Status.CRASH, rung=Rung(12, 8), agent="a",
            reason="why not",
        )  # fmt: skip
        ledger.finish(ended, Files("env = 1\n", "train = 1\n"), None)
        notifier.heard("experiment finished", {"experiment": n, "status": "crash"})
    notifier.close()
    assert told.read_text() == "t: a limit is near\nlimits.experiments: 9 of 10\n"


def test_a_reread_configuration_is_taken_up(ledger: Ledger, tmp_path: Path) -> None:
    """Who is told may change while the run goes on."""
    told = tmp_path / "told"
    notifier = Notifier(NotifyConfig(), ledger, "t", Log())
    notifier.heard("paused", {"reason": "unheard"})
    config = Config.model_validate({"notify": {"command": writer(told)}})
    ledger.set_config("t", RunningConfig(config).as_json())
    notifier.heard("configuration reread", {})
    notifier.heard("paused", {"reason": "heard"})
    notifier.close()
    assert told.read_text() == "t: paused\nheard\n"
