"""The model endpoint goes away and comes back, under a whole daemon."""

import datetime as dt
import math
import os
import socket
import time

import pytest

from orchestrator.store.workspace import Workspace
from tests.conftest import Cli
from tests.fakes import Answer, ChatServer, completion, refusal, reply
from tests.reliability.helpers import configure, keeps, status, wait_until

LONGEST_FIRST_PAUSE_S = 8.0
REFUSED_S = 120.0 if os.environ.get("TESTS_LONG") else 15.0


@pytest.fixture
def port() -> int:
    """A port at which nobody listens."""
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        return int(unused.getsockname()[1])


def better(workspace: Workspace) -> Answer:
    """Return an answer with an edit that will be kept."""
    train = workspace.candidate().train.removeprefix("SCORE = 0.0\n")
    return completion(reply(f"SCORE = 1\n{train}"))


def start(workspace: Workspace, cli: Cli, port: int) -> None:
    url = f"http://127.0.0.1:{port}/v1"
    configure(workspace, f"agent: {{backend: openai, model: m, base_url: '{url}', max_repairs: 0}}")
    assert cli("start", "--tag", "t", "--max-experiments", "1", cwd=workspace.root).returncode == 0


def test_an_endpoint_that_is_down_is_waited_for(stubbed: Workspace, cli: Cli, port: int) -> None:
    """Status says why and when the next try is; no experiment is used up; it goes on in time."""
    start(stubbed, cli, port)
    waiting = wait_until(stubbed, lambda s: s["phase"] == "waiting")
    assert "Connection" in waiting["reason"]
    next_try = dt.datetime.fromisoformat(waiting["next_try_at"])
    assert abs((next_try - dt.datetime.now(dt.UTC)).total_seconds()) < LONGEST_FIRST_PAUSE_S
    wait_until(stubbed, lambda s: s["next_try_at"] not in {None, waiting["next_try_at"]})
    assert status(stubbed)["experiments"] == {"baseline": 1}
    server = ChatServer(better(stubbed), port=port)
    returned = time.monotonic()
    ended = wait_until(stubbed, lambda s: keeps(s) == 1)
    server.close()
    assert time.monotonic() - returned < LONGEST_FIRST_PAUSE_S
    assert ended["experiments"] == {"baseline": 1, "keep": 1}
    assert len(server.requests) == 1


@pytest.mark.long
@pytest.mark.long_form
def test_an_endpoint_that_is_down_for_long_is_found_when_it_returns(
    stubbed: Workspace, cli: Cli, port: int
) -> None:
    """Refused for a good while, with the pauses of every run: back at work within one of them."""
    start(stubbed, cli, port)
    began = time.monotonic()
    tries = set()
    while time.monotonic() - began < REFUSED_S:
        waiting = wait_until(stubbed, lambda s: s["phase"] == "waiting")
        tries.add(waiting["next_try_at"])
        assert waiting["experiments"] == {"baseline": 1}
        time.sleep(0.5)
    server = ChatServer(better(stubbed), port=port)
    due = dt.datetime.fromisoformat(status(stubbed)["next_try_at"])
    left_s = (due - dt.datetime.now(dt.UTC)).total_seconds()
    assert left_s <= 2 * REFUSED_S  # a pause is at most double what all before it came to
    ended = wait_until(stubbed, lambda s: keeps(s) == 1, timeout_s=left_s + 10)
    server.close()
    assert ended["experiments"] == {"baseline": 1, "keep": 1}
    assert len(server.requests) == 1
    assert 3 <= len(tries) <= math.log2(REFUSED_S) + 2  # each pause is about double the one before


def test_stop_does_not_wait_for_an_endpoint_that_is_down(
    stubbed: Workspace, cli: Cli, port: int
) -> None:
    """Nobody knows when it is back: what waits for it ends at once, and leaves no trace."""
    start(stubbed, cli, port)
    wait_until(stubbed, lambda s: s["phase"] == "waiting")
    cli("stop", cwd=stubbed.root)
    ended = wait_until(stubbed, lambda s: not s["running"], timeout_s=LONGEST_FIRST_PAUSE_S)
    assert ended["stop_reason"] == "stopped by the user"
    assert ended["experiments"] == {"baseline": 1}


def test_stop_ends_a_question_that_comes_to_nothing(
    stubbed: Workspace, cli: Cli, port: int
) -> None:
    """Asked for while the server still thinks: once it fails, nobody waits for the next try."""
    server = ChatServer(Answer(503, delay_s=3), *[refusal(503)] * 50, port=port)
    start(stubbed, cli, port)
    wait_until(stubbed, lambda s: s["phase"] == "proposing" and server.requests)
    cli("stop", cwd=stubbed.root)
    ended = wait_until(stubbed, lambda s: not s["running"], timeout_s=10)
    server.close()
    assert ended["experiments"] == {"baseline": 1}
    assert len(server.requests) == 1


@pytest.mark.long
def test_broken_replies_use_up_no_experiment(stubbed: Workspace, cli: Cli, port: int) -> None:
    """A body that is cut off after the edit, HTML, and no choices: none of them is an edit."""
    good = better(stubbed)
    body = {"choices": []}
    server = ChatServer(
        Answer(body=good.body, cut_at=-2), Answer(body="<html>busy</html>"), Answer(body=body),
        good, port=port,
    )  # fmt: skip
    start(stubbed, cli, port)
    ended = wait_until(stubbed, lambda s: s["stop_reason"] and not s["running"], timeout_s=40)
    server.close()
    assert ended["experiments"] == {"baseline": 1, "keep": 1}
    assert len(server.requests) == 4


def test_a_key_that_is_refused_pauses_after_one_call(
    stubbed: Workspace, cli: Cli, port: int
) -> None:
    """What cannot heal is asked once; the line says what to do; resume asks again."""
    server = ChatServer(refusal(401, "wrong key"), better(stubbed), port=port)
    start(stubbed, cli, port)
    paused = wait_until(stubbed, lambda s: s["phase"] == "paused")
    assert "$OPENAI_API_KEY" in paused["reason"]
    time.sleep(1.5)
    assert len(server.requests) == 1
    assert status(stubbed)["experiments"] == {"baseline": 1}
    cli("resume", cwd=stubbed.root)
    wait_until(stubbed, lambda s: keeps(s) == 1)
    server.close()
