"""Whole daemons whose model streams, speaks the other interface, or is another one than was asked."""

from typing import Any

import pytest

from orchestrator.store.ledger import Ledger
from orchestrator.store.workspace import Workspace
from tests.agents.streams import chat_stream, response, response_stream, streamed
from tests.conftest import Cli
from tests.fakes import ChatServer, refusal, reply
from tests.reliability.helpers import configure, keeps, wait_until


def better(workspace: Workspace) -> str:
    """Return a reply with an edit that will be kept."""
    train = workspace.candidate().train.removeprefix("SCORE = 0.0\n")
    return reply(f"SCORE = 1\n{train}")


@pytest.mark.parametrize("api", ["chat", "responses"])
def test_a_proposal_may_stream(stubbed: Workspace, cli: Cli, api: str) -> None:
    """One that broke off is asked for again, and uses up no experiment; the counts are recorded."""
    text = better(stubbed)
    events = chat_stream(text) if api == "chat" else response_stream(response(text))
    server = ChatServer(streamed(events[:-3]), streamed(events), review=None)
    configure(
        stubbed,
        f"agent: {{backend: openai, model: m, base_url: '{server.url}', api: {api}, silence_s: 5}}",
        "review: {enabled: off}",
    )
    cli("start", "--tag", "t", "--max-experiments", "1", "--no-check", cwd=stubbed.root)
    ended = wait_until(stubbed, lambda s: keeps(s) == 1 and not s["running"], timeout_s=60)
    server.close()
    assert ended["experiments"] == {"baseline": 1, "keep": 1}
    assert [request["stream"] for request in server.requests] == [True, True]
    assert ended["tokens"]["input"] == 100


def test_the_record_says_which_model_answered(stubbed: Workspace, cli: Cli) -> None:
    """The first one is unknown, from the start on; the run goes on with the next."""
    gone = refusal(404, "The model `a` does not exist", code="model_not_found")
    server = ChatServer(gone, streamed(chat_stream(better(stubbed))), review=None)
    configure(
        stubbed,
        f"agent: {{backend: openai, model: a, fallback_models: [b], base_url: '{server.url}', "
        "silence_s: 5}",
        "review: {enabled: off}",
    )
    cli("start", "--tag", "t", "--max-experiments", "1", "--no-check", cwd=stubbed.root)
    wait_until(stubbed, lambda s: keeps(s) == 1 and not s["running"], timeout_s=60)
    server.close()
    assert [request["model"] for request in server.requests] == ["a", "b"]
    with Ledger(stubbed.ledger) as ledger:
        agents: list[Any] = [e.agent for e in ledger.experiments("t") if not e.is_baseline]
    assert agents == ["openai:b"]
    said = cli("logs", "--json", cwd=stubbed.root).stdout
    assert "asking b, for a can't answer" in said
