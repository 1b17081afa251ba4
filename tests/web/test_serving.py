"""The server as a person starts it: where it listens, and what does not bring it down."""

import contextlib
import http.client
import json
import resource
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from orchestrator.core.records import Status
from orchestrator.store.ledger import Ledger
from orchestrator.store.workspace import Workspace
from tests.conftest import Cli
from tests.web.conftest import Serve, Served, until
from tests.web.runs import add, begin


def get(served: Served, path: str, **headers: str) -> tuple[int, str]:
    connection = http.client.HTTPConnection("127.0.0.1", served.port, timeout=20)
    with contextlib.closing(connection):
        connection.request("GET", path, headers=headers)
        answer = connection.getresponse()
        return answer.status, answer.read().decode()


class Follower:
    """Reads the event stream in a thread."""

    def __init__(self, served: Served, last: str | None = None) -> None:
        self.events: list[dict[str, Any]] = []
        self._connection = http.client.HTTPConnection("127.0.0.1", served.port, timeout=60)
        self._connection.request(
            "GET", "/api/events", headers={"Last-Event-ID": last} if last else {}
        )
        self.answer = self._connection.getresponse()
        self._thread = threading.Thread(target=self._read, daemon=True)
        self._thread.start()

    def _read(self) -> None:
        event: dict[str, Any] = {}
        with contextlib.suppress(OSError, ValueError, AttributeError, http.client.HTTPException):
            for line in self.answer:
                name, _, value = line.decode().rstrip("\n").partition(": ")
                if name:
                    event[name] = value
                elif event:
                    self.events.append(event)
                    event = {}

    def kinds(self) -> list[str]:
        return [event["event"] for event in self.events if "event" in event]

    def close(self) -> None:
        self._connection.close()


@pytest.fixture
def ran(empty: Workspace) -> Workspace:
    """A run with its baseline."""
    with Ledger(empty.ledger) as ledger:
        begin(ledger, "t")
        add(ledger, "t", is_baseline=True, status=Status.BASELINE, score=0.5)
    return empty


@pytest.fixture
def many_files() -> Iterator[None]:
    """Let this process open the connections of the attack."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (min(4096, hard), hard))
    yield
    resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


def test_events_tell_what_has_changed_and_resume(serve: Serve, ran: Workspace) -> None:
    """Somebody who was away gets what was missed; of another server's events, all anew."""
    served = serve(ran)
    first = Follower(served)
    until(lambda: "hello" in first.kinds())
    with Ledger(ran.ledger) as ledger:
        n = add(ledger, "t", status=Status.KEEP, score=0.75, parent=f"{1:040x}")
    until(lambda: "experiments" in first.kinds() and "status" in first.kinds())
    told = next(event for event in first.events if event.get("event") == "experiments")
    assert json.loads(told["data"]) == {"tag": "t", "numbers": [1, n]}
    last = first.events[-1]["id"]
    other = Follower(served)  # somebody looks on, so that changes are noticed
    first.close()
    with Ledger(ran.ledger) as ledger:
        ledger.add_note("a note", "2026-11-27T20:00:02.000Z")
    until(lambda: "notebook" in other.kinds())
    again = Follower(served, last)
    until(lambda: "hello" in again.kinds())
    assert again.kinds() == ["notebook", "hello"]
    strange = Follower(served, "0badcafe-1")
    until(lambda: strange.events)
    assert strange.kinds() == ["reset"]
    for follower in (other, again, strange):
        follower.close()


def test_ctrl_c_ends_it_with_viewers_and_leaves_the_run(serve: Serve, ran: Workspace) -> None:
    """Within seconds, exit code 0, open streams or not."""
    served = serve(ran)
    follower = Follower(served)
    until(lambda: follower.events)
    served.process.send_signal(signal.SIGINT)
    assert served.process.wait(timeout=20) == 0


def test_a_taken_port_and_a_foreign_address_are_said(
    serve: Serve, cli: Cli, ran: Workspace
) -> None:
    """One line with the cure; without --port the next free one is taken."""
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        refused = cli("web", "--port", str(port), cwd=ran.root)
        assert (refused.returncode, len(refused.stderr.splitlines())) == (2, 1)
        assert "--port" in refused.stderr
    foreign = cli("web", "--host", "no.such.name.invalid", cwd=ran.root)
    assert (foreign.returncode, len(foreign.stderr.splitlines())) == (2, 1)
    assert cli("web", "--tag", "t", cwd=ran.root).returncode == 2


@pytest.mark.parametrize("missing", ["starlette", "uvicorn"])
def test_without_its_libraries_it_names_the_cure(ran: Workspace, missing: str) -> None:
    """They are an extra: whoever never opens the page need not have them."""
    code = (
        f"import sys; sys.modules[{missing!r}] = None\n"
        "from orchestrator.cli.main import main; sys.exit(main(['web']))"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=ran.root, capture_output=True, text=True
    )
    assert (done.returncode, len(done.stderr.splitlines())) == (2, 1)
    assert f"needs {missing}: `pip install 'autorl-daemon[web]'`" in done.stderr


def test_off_loopback_it_warns(serve: Serve, ran: Workspace) -> None:
    """Whoever reads the network reads the token."""
    served = serve(ran, "--host", "0.0.0.0")
    assert served.process.stdout is not None
    assert "Ctrl-C" in served.process.stdout.readline()
    assert "ssh tunnel" in served.process.stdout.readline()
    assert get(served, "/api/status")[0] == 401


def test_a_thousand_connections_do_not_stop_it(
    serve: Serve, ran: Workspace, many_files: None
) -> None:
    """Those over the bound are refused; silent ones are closed; then it answers as before."""
    served = serve(ran)
    assert get(served, "/api/session")[0] == 200
    with contextlib.ExitStack() as stack:
        for _ in range(1000):
            with contextlib.suppress(OSError):
                stack.enter_context(socket.create_connection(("127.0.0.1", served.port), timeout=2))
        until(lambda: descriptors(served) < 300)
        until(lambda: answers(served), timeout_s=40)
    assert served.process.poll() is None


def descriptors(served: Served) -> int:
    return len(list(Path(f"/proc/{served.process.pid}/fd").iterdir()))


def answers(served: Served) -> bool:
    with contextlib.suppress(OSError, http.client.HTTPException):
        return get(served, "/api/session")[0] == 200
    return False


def test_slow_clients_hold_nobody_up(serve: Serve, ran: Workspace) -> None:
    """One sends its request byte by byte, one reads nothing of what it asked for."""
    served = serve(ran)
    with contextlib.ExitStack() as stack:
        for _ in range(20):
            slow = stack.enter_context(socket.create_connection(("127.0.0.1", served.port)))
            slow.sendall(b"GET /api/status HTTP/1.1\r\nHost: 127")
            deaf = stack.enter_context(socket.create_connection(("127.0.0.1", served.port)))
            for _ in range(20):
                deaf.sendall(b"GET /vendor/uplot.js HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n")
        began = time.monotonic()
        assert get(served, "/api/status")[0] == 200
        assert time.monotonic() - began < 10


@pytest.mark.parametrize(
    "sent",
    [b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + b"\x00" * 100, b"GET / HTTP/9.9\r\n\r\n", b"A" * 100_000,
     b"GET / HTTP/1.1\r\nHost: 127.0.0.1\r\n" + b"X: y\r\n" * 5000 + b"\r\n",
     b"POST /api/actions/note HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Length: 99999999999\r\n\r\n"],
    ids=["tls", "version", "letters", "headers", "length"],
)  # fmt: skip
def test_what_is_no_request(serve: Serve, ran: Workspace, sent: bytes) -> None:
    """Refused, or answered as far as it is one; the next request is answered."""
    served = serve(ran)
    with (
        socket.create_connection(("127.0.0.1", served.port), timeout=20) as strange,
        contextlib.suppress(OSError),
    ):
        strange.sendall(sent)
        head = strange.recv(100)
        assert head == b"" or head.startswith((b"HTTP/1.1 4", b"HTTP/1.1 200"))
    assert get(served, "/api/session")[0] == 200
