"""The agent in a child process, against a real HTTP server on loopback."""

import json
import os
import select
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from orchestrator.agents.process import ProcessAgent
from orchestrator.config.endpoints import AgentConfig
from orchestrator.core.experiments import Experiment
from orchestrator.core.records import Files, Rung, Status, Tokens
from orchestrator.proposals.agent_events import AgentBlocked, AgentEvent, AgentWaits, Replied
from orchestrator.proposals.brief import Brief
from orchestrator.proposals.prompt import build_messages
from tests.fakes import ChatServer, completion, refusal

KEY = "sk-top-secret-0123456789"
BRIEF = Brief(
    ordinal=1, program="Find the key.", files=Files("e = 1\n", "t = 1\n"), rung=Rung(12, 8), lead=1
)  # fmt: skip
PATIENCE_S = 30.0
SILENT = replace(completion("late"), delay_s=60)

Make = Callable[..., ProcessAgent]


@pytest.fixture
def make(monkeypatch: pytest.MonkeyPatch) -> Iterator[Make]:
    """Make agents with a key in the environment, which are closed afterwards."""
    monkeypatch.setenv("OPENAI_API_KEY", KEY)
    agents: list[ProcessAgent] = []

    def start(
        url: str, *, pauses_s: tuple[float, ...] = (0.0, 0.0, 0.0), **options: float
    ) -> ProcessAgent:
        config = AgentConfig(**{"model": "m", "base_url": url} | options)  # type: ignore[arg-type]
        agents.append(ProcessAgent(config, "openai:m", pauses_s=pauses_s))
        return agents[-1]

    yield start
    for agent in agents:
        agent.close()


def children(parent: int | None = None) -> set[int]:
    """Return the children of a process (this one) that live or are not reaped."""
    parent = parent or os.getpid()
    file = Path(f"/proc/{parent}/task/{parent}/children")
    return {int(word) for word in file.read_text().split()}


def next_events(agent: ProcessAgent) -> list[tuple[str, AgentEvent]]:
    """Wait as the engine does, by descriptors and timeout alone, until there is news."""
    deadline = time.monotonic() + PATIENCE_S
    while time.monotonic() < deadline:
        due_s = agent.timeout_s()
        left_s = deadline - time.monotonic()
        select.select(list(agent.descriptors()), [], [], left_s if due_s is None else due_s)
        if events := agent.poll():
            return list(events)
    raise AssertionError("no news")


def until(agent: ProcessAgent, holds: Callable[[], bool]) -> None:
    """Poll until something holds elsewhere; the agent must have no news meanwhile."""
    deadline = time.monotonic() + PATIENCE_S
    while not holds():
        assert time.monotonic() < deadline
        assert agent.poll() == []
        time.sleep(0.01)


def last_event(agent: ProcessAgent, waits: list[AgentWaits]) -> tuple[str, AgentEvent]:
    """Collect waits until something else happens; return that."""
    while True:
        for key, event in next_events(agent):
            if not isinstance(event, AgentWaits):
                return key, event
            waits.append(event)


def replied(agent: ProcessAgent) -> Replied:
    [(_, event)] = next_events(agent)
    assert isinstance(event, Replied)
    return event


def test_a_reply_comes_with_what_was_sent(serve: Callable[..., ChatServer], make: Make) -> None:
    """Text, tokens and the chat arrive; the key reaches the server, as the daemon has it."""
    server = serve(completion("hello", usage={"prompt_tokens": 9, "completion_tokens": 3}))
    agent = make(server.url)
    assert agent.name == "openai:m"
    agent.ask("7", BRIEF)
    assert agent.timeout_s() is None
    [(key, event)] = next_events(agent)
    assert isinstance(event, Replied)
    assert key == "7"
    assert (event.reply.text, event.reply.tokens) == ("hello", Tokens(9, None, 3, None))
    assert event.sent == tuple(build_messages(BRIEF, context_tokens=64_000))
    assert server.headers[0]["authorization"] == f"Bearer {KEY}"


def test_nothing_runs_before_the_first_question(make: Make) -> None:
    """An agent that is only made, for its checks, starts no process."""
    before = children()
    agent = make("http://127.0.0.1:9/v1")
    assert agent.poll() == []
    assert children() == before


def test_no_call_waits_for_the_child(serve: Callable[..., ChatServer], make: Make) -> None:
    """A brief far larger than a pipe is sent bit by bit, while the child is still starting."""
    server = serve(completion("hello"))
    agent = make(server.url)
    history = tuple(
        Experiment(n, "t", False, Status.DISCARD, Rung(12, 8), "openai:m", details="x" * 8000)
        for n in range(1, 301)
    )
    agent.ask("7", replace(BRIEF, history=history))
    assert "#300 " in replied(agent).sent[1].content


def test_one_child_serves_one_proposal_after_another(
    serve: Callable[..., ChatServer], make: Make
) -> None:
    """It is kept and used again: no other process is started."""
    before = children()
    agent = make(serve(completion("one"), completion("two")).url)
    agent.ask("1", BRIEF)
    assert replied(agent).reply.text == "one"
    [child] = children() - before
    agent.ask("2", BRIEF)
    assert replied(agent).reply.text == "two"
    assert children() - before == {child}


def test_two_proposals_at_once(serve: Callable[..., ChatServer], make: Make) -> None:
    """Each has a child of its own, and the answers come with their keys, in any order."""
    released = threading.Event()
    slow = replace(completion("slow"), held_by=released)
    server = serve(slow, completion("quick"))
    before = children()
    agent = make(server.url)
    agent.ask("first", BRIEF)
    until(agent, lambda: len(server.requests) == 1)
    agent.ask("second", BRIEF)
    [(key, event)] = next_events(agent)
    assert isinstance(event, Replied)
    assert (key, event.reply.text) == ("second", "quick")
    released.set()
    [(key, event)] = next_events(agent)
    assert isinstance(event, Replied)
    assert (key, event.reply.text) == ("first", "slow")
    assert len(children() - before) == 2


def test_a_pause_is_told_and_made(serve: Callable[..., ChatServer], make: Make) -> None:
    """Overload is waited out in the child; the daemon hears why and for how long."""
    busy = replace(refusal(429, "slow down"), headers={"Retry-After": "0.3"})
    agent = make(serve(busy, completion("hello")).url)
    asked = time.monotonic()
    agent.ask("7", BRIEF)
    [(key, event)] = next_events(agent)
    assert (key, event) == ("7", AgentWaits("HTTP 429: slow down", 0.3))
    assert replied(agent).reply.text == "hello"
    assert time.monotonic() - asked > 0.3


def test_a_silent_server_is_given_up(serve: Callable[..., ChatServer], make: Make) -> None:
    """The configured time bounds a call as a whole, trickle as it may, and the next try follows."""
    trickling = replace(completion("late"), trickle_s=0.2)
    agent = make(serve(trickling, completion("hello")).url, timeout_s=0.5)
    agent.ask("7", BRIEF)
    [(_, event)] = next_events(agent)
    assert isinstance(event, AgentWaits)
    assert event.reason == "no answer within 0.5 s"
    assert replied(agent).reply.text == "hello"


def test_a_refused_key_blocks(serve: Callable[..., ChatServer], make: Make) -> None:
    """A person must act: the line says on what and never holds the key; then it goes on."""
    server = serve(refusal(401, f"wrong key {KEY}"), completion("hello"))
    agent = make(server.url)
    agent.ask("7", BRIEF)
    [(key, event)] = next_events(agent)
    assert key == "7"
    assert isinstance(event, AgentBlocked)
    assert "refuses the key in $OPENAI_API_KEY" in event.reason
    assert KEY not in event.reason
    agent.ask("7", BRIEF)
    assert replied(agent).reply.text == "hello"


def test_settings_that_no_client_can_be_made_with_block(
    serve: Callable[..., ChatServer], make: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What a start would have refused pauses a run, again after each `resume`; no child dies of it."""
    monkeypatch.setenv("SSL_CERT_FILE", "/no/such/file")
    agent = make(serve(completion("hello")).url)
    for number in range(2):
        agent.ask(f"{number}", BRIEF)
        [(_, event)] = next_events(agent)
        assert event == AgentBlocked(
            "$SSL_CERT_FILE names no file: '/no/such/file'; correct or unset it"
        )


def test_a_child_that_is_killed_is_followed_by_another(
    serve: Callable[..., ChatServer], make: Make
) -> None:
    """The same proposal is asked of a fresh child, after a pause that is told."""
    server = serve(SILENT, completion("hello"))
    before = children()
    agent = make(server.url, pauses_s=(0.2, 0.2, 0.2))
    agent.ask("7", BRIEF)
    until(agent, lambda: len(server.requests) == 1)
    [child] = children() - before
    os.kill(child, signal.SIGKILL)
    [(key, event)] = next_events(agent)
    died = "the agent's process died, and a fresh one follows: signal 9 (Killed)"
    assert (key, event) == ("7", AgentWaits(died, 0.2, may_be_billed=True))
    due_s = agent.timeout_s()
    assert due_s is not None
    assert 0 <= due_s <= 0.2
    assert replied(agent).reply.text == "hello"
    assert agent.timeout_s() is None
    assert child not in children()


def test_an_idle_child_that_is_killed_is_no_news(
    serve: Callable[..., ChatServer], make: Make
) -> None:
    """Nobody waits for it; the next proposal gets a fresh one."""
    before = children()
    agent = make(serve(completion("one"), completion("two")).url)
    agent.ask("1", BRIEF)
    replied(agent)
    [child] = children() - before
    os.kill(child, signal.SIGKILL)
    until(agent, lambda: child not in children())
    agent.ask("2", BRIEF)
    assert replied(agent).reply.text == "two"


def broken_library(folder: Path, monkeypatch: pytest.MonkeyPatch, source: str) -> None:
    """Let children import an `openai` of ours."""
    (folder / "openai.py").write_text(source)
    path = os.environ.get("PYTHONPATH", "")
    monkeypatch.setenv("PYTHONPATH", f"{folder}{os.pathsep}{path}")


BROKEN = {
    "at its start": ("raise ImportError('half an update')",
                     "ImportError: half an update (openai.py, line 1)"),
    "silently": ("import os\nos._exit(3)", "exit code 3"),
    "no message": ("import os, sys\nfor fd in range(3, 9):\n    try: os.write(fd, b'hello\\n')\n"
                   "    except OSError: pass\nimport time\ntime.sleep(60)", "hello"),
    "by a bug": (
        "class OpenAIError(Exception): ...\nclass APIError(OpenAIError): ...\n"
        "class APIStatusError(APIError): ...\nclass OpenAI:\n    def __init__(self, **_): ...\n"
        "    def close(self): ...\n"
        f"    def post(self, *_, **__): raise RuntimeError('a bug with {KEY}')\n",
        "RuntimeError: a bug with [key] (openai.py, line 7)",
    ),
}  # fmt: skip


@pytest.mark.parametrize(("source", "said"), BROKEN.values(), ids=list(BROKEN))
def test_children_that_keep_dying_block_the_agent(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, make: Make, source: str, said: str
) -> None:
    """Three fresh ones after growing pauses, then a person is asked, with the last line they said."""
    broken_library(tmp_path, monkeypatch, source)
    before = children()
    agent = make("http://127.0.0.1:9/v1", pauses_s=(0.0, 0.01, 0.02))
    agent.ask("7", BRIEF)
    waits: list[AgentWaits] = []
    event = last_event(agent, waits)
    assert event == (
        "7",
        AgentBlocked(f"the agent's process died 4 times: {said}", may_be_billed=True),
    )
    assert [wait.seconds for wait in waits] == [0.0, 0.01, 0.02]
    told = f"the agent's process died, and a fresh one follows: {said}"
    assert [wait.reason for wait in waits] == [told] * 3
    until(agent, lambda: children() == before)
    assert agent.timeout_s() is None


def test_what_a_library_prints_is_no_message(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, make: Make
) -> None:
    """Print statements anywhere in the child do not reach the daemon as events."""
    body = json.dumps(completion("hello").body)
    source = BROKEN["by a bug"][0].replace(
        f"raise RuntimeError('a bug with {KEY}')",
        "return print('noise', flush=True) or Answer()",
    ) + (f"class Answer:\n    status_code, headers, content = 200, {{}}, {body.encode()!r}\n")
    broken_library(tmp_path, monkeypatch, source)
    agent = make("http://127.0.0.1:9/v1")
    agent.ask("7", BRIEF)
    assert replied(agent).reply.text == "hello"


def test_cancel_leaves_no_process(serve: Callable[..., ChatServer], make: Make) -> None:
    """A proposal in flight ends with its child; the other goes on; an unknown key is nothing."""
    server = serve(SILENT, replace(completion("hello"), delay_s=1.0))
    before = children()
    agent = make(server.url)
    agent.ask("1", BRIEF)
    until(agent, lambda: len(server.requests) == 1)
    [first] = children() - before
    agent.ask("2", BRIEF)
    agent.cancel("1")
    agent.cancel("unknown")
    [(key, event)] = next_events(agent)
    assert isinstance(event, Replied)
    assert (key, event.reply.text) == ("2", "hello")
    until(agent, lambda: first not in children())
    assert len(children() - before) == 1


def test_cancel_forgets_a_retry(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, make: Make
) -> None:
    """A proposal that is cancelled while a fresh child is waited for gets none."""
    broken_library(tmp_path, monkeypatch, "raise ImportError('half an update')")
    agent = make("http://127.0.0.1:9/v1", pauses_s=(60.0,))
    agent.ask("7", BRIEF)
    [(_, event)] = next_events(agent)
    assert isinstance(event, AgentWaits)
    agent.cancel("7")
    assert agent.timeout_s() is None


def test_close_ends_every_child(serve: Callable[..., ChatServer], make: Make) -> None:
    """Those at work, idle or still starting: none is left, not as a zombie either."""
    server = serve(completion("hello"), SILENT)
    before = children()
    agent = make(server.url)
    agent.ask("1", BRIEF)
    replied(agent)
    agent.ask("2", BRIEF)
    until(agent, lambda: len(server.requests) == 2)
    agent.ask("3", BRIEF)
    assert len(children() - before) == 2
    agent.close()
    assert children() == before


DAEMON = """
import sys, time
from orchestrator.agents.process import ProcessAgent
from orchestrator.config.endpoints import AgentConfig
from orchestrator.core.records import Files, Rung
from orchestrator.proposals.brief import Brief

agent = ProcessAgent(AgentConfig(model="m", base_url=sys.argv[1]), "openai:m")
agent.ask("1", Brief(1, "", Files("", ""), Rung(12, 8), 1))
while True:
    agent.poll()
    time.sleep(0.01)
"""


def test_a_child_dies_with_the_daemon(serve: Callable[..., ChatServer]) -> None:
    """A daemon that is killed leaves no child behind that calls a model."""
    server = serve(SILENT)
    with subprocess.Popen([sys.executable, "-c", DAEMON, server.url]) as daemon:
        deadline = time.monotonic() + PATIENCE_S
        while not server.requests and time.monotonic() < deadline:
            time.sleep(0.01)
        [child] = children(daemon.pid)
        daemon.kill()
    while Path(f"/proc/{child}").exists() and time.monotonic() < deadline:
        time.sleep(0.01)
    assert not Path(f"/proc/{child}").exists()
