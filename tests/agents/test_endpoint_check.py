"""The tiny call of a start, against real HTTP servers on loopback."""

import re
from collections.abc import Callable, Iterator
from dataclasses import replace

import pytest

from orchestrator.agents.endpoint_check import EndpointState, check_endpoint, find_out
from orchestrator.config.endpoints import AgentConfig, Prices
from tests.agents.streams import response
from tests.fakes import Answer, ChatServer, completion, refusal

Serve = Callable[..., ChatServer]


@pytest.fixture
def serve() -> Iterator[Serve]:
    """Start servers that are closed afterwards."""
    servers: list[ChatServer] = []

    def start(check: Answer | None = None, models: Answer | None = None) -> ChatServer:
        servers.append(ChatServer(check=check, models=models))
        return servers[-1]

    yield start
    for server in servers:
        server.close()


def found(server: ChatServer, **options: object) -> EndpointState:
    known = {"model": "m", "base_url": server.url} | options
    return find_out(AgentConfig(**known))  # type: ignore[arg-type]


def test_an_endpoint_that_answers_is_fine(serve: Serve) -> None:
    """One call of a few tokens, whose count and cost are told; the run's limits don't change it."""
    usage = {"prompt_tokens": 12, "completion_tokens": 1}
    server = serve(completion("OK", usage=usage))
    state = found(server, prices=Prices(input=1.0, output=2.0), max_output_tokens=9000)
    assert state == EndpointState("ok", f"m answers at {server.url}, 13 tokens, $0.000014")
    [request] = server.checks
    assert request["max_completion_tokens"] == 16


@pytest.mark.parametrize("finish", ["length", "content_filter"])
def test_how_the_tiny_reply_ends_is_no_matter(serve: Serve, finish: str) -> None:
    """A model that thinks first is cut off within its first tokens."""
    assert found(serve(completion("", finish))).state == "ok"


def test_a_model_that_takes_no_output_limit_is_asked_without(serve: Serve) -> None:
    """A server of its own is not refused for a parameter that only the tiny call has."""
    unknown = refusal(400, "Unrecognized request argument supplied: max_completion_tokens")
    server = serve(unknown)
    state = found(server)
    assert len(server.checks) == 2
    assert "max_tokens" in server.checks[1]
    assert state.state == "note"


def test_the_temperature_is_tried_too(serve: Serve) -> None:
    """A model that takes none is found at the start, not after the baseline."""
    server = serve(refusal(400, "temperature: a value above 1 is not for this model"))
    state = found(server, temperature=1.5)
    assert server.checks[0]["temperature"] == 1.5
    assert "temperature: a value above 1" in state.says


@pytest.mark.parametrize(
    ("answer", "says"),
    [(refusal(401, "wrong"), r"refuses the key in \$OPENAI_API_KEY"),
     (refusal(402, "Insufficient Balance"), "quota or credit"),
     (refusal(403, "no"), r"\$OPENAI_API_KEY"),
     (Answer(200, {"error": {"message": "No auth credentials found", "code": 401}}), "the key in")],
)  # fmt: skip
def test_what_a_person_must_mend_is_bad(
    serve: Serve, monkeypatch: pytest.MonkeyPatch, answer: Answer, says: str
) -> None:
    """Key, credit, permission: said before the run, with the cure, by one call."""
    monkeypatch.setenv("OPENAI_API_KEY", "sk-secret-123")
    server = serve(answer)
    state = found(server)
    assert state.state == "bad"
    assert re.search(says, state.says)
    assert len(server.checks) == 1


@pytest.mark.parametrize(
    "body",
    [
        "<html>Log in</html>",
        'data: {"choices": [{"delta": {"content": "OK"}}]}\n\ndata: [DONE]\n\n',
        {"type": "message", "role": "assistant", "content": [{"type": "text", "text": "OK"}]},
        {"model": "m", "message": {"role": "assistant", "content": "OK"}, "done": True},
        {"object": "response", "status": "completed", "error": None, "output": []},
        "OK",
        [],
    ],
    ids=["page", "stream", "anthropic", "ollama", "responses", "text", "list"],
)
def test_an_address_of_no_chat_api_is_bad(serve: Serve, body: object) -> None:
    """A whole answer that is none of a chat: no wait makes one of it."""
    state = found(serve(Answer(200, body)))
    assert state.state == "bad"
    assert "answers, but not as a chat API (agent.base_url)" in state.says


@pytest.mark.parametrize("error", ["Unexpected endpoint or method. (POST /chat/completions)",
                                   "Not Found"])  # fmt: skip
def test_an_address_without_its_path_is_bad(serve: Serve, error: str) -> None:
    """Said with 200 too, as LM Studio does."""
    state = found(serve(Answer(200, {"error": error})))
    assert state.state == "bad"
    assert "agent.base_url" in state.says


def listed(*names: object) -> Answer:
    return Answer(body={"object": "list", "data": [{"id": name} for name in names]})


def test_an_unknown_model_comes_with_the_nearest_names(serve: Serve) -> None:
    """Where the endpoint tells which it has."""
    unknown = refusal(404, "The model `qwen3-code` does not exist", code="model_not_found")
    server = serve(unknown, listed("qwen3-coder", "llama", 7, None))
    state = found(server, model="qwen3-code")
    assert state.state == "bad"
    assert state.says.endswith("; did you mean qwen3-coder?")
    assert found(serve(unknown, listed("a", "b")), model="zzz").says.endswith("; it has a, b")
    assert "did you mean" not in found(serve(unknown)).says


@pytest.mark.parametrize(
    "answer",
    [refusal(503, "Loading model"), refusal(429, "slow down"), Answer(200, b"{"),
     Answer(200, b""), Answer(200, {"choices": []}), Answer(200, {"error": "x"}),
     Answer(200, "Service temporarily unavailable"),
     refusal(400, "roles must alternate"), refusal(400, "max_tokens: too many tokens wished")],
)  # fmt: skip
def test_what_may_pass_is_a_note(serve: Serve, answer: Answer) -> None:
    """The start goes on, after one call: the run waits, or finds out itself."""
    server = serve(answer)
    assert found(server).state == "note"
    assert len(server.checks) == 1


def test_a_network_that_is_down_is_a_note(serve: Serve) -> None:
    """A start offline goes on, and the line has the cause."""
    server = serve()
    server.close()
    state = found(server)
    assert state.state == "note"
    assert "refused; the run waits for it" in state.says


def test_settings_that_no_client_can_be_made_with_are_bad(
    serve: Serve, monkeypatch: pytest.MonkeyPatch
) -> None:
    """They end no process with a traceback."""
    monkeypatch.setenv("ALL_PROXY", "socks://127.0.0.1:1")
    assert found(serve()).says.startswith("$ALL_PROXY")


@pytest.mark.system
def test_the_check_has_a_process_of_its_own(serve: Serve, monkeypatch: pytest.MonkeyPatch) -> None:
    """The daemon loads no HTTP library for it; key and address get there."""
    monkeypatch.setenv("OPENAI_API_KEY", "sk-secret-123")
    server = serve()
    state = check_endpoint(AgentConfig(model="m", base_url=server.url))
    assert state == EndpointState("ok", f"m answers at {server.url}")
    assert len(server.checks) == 1


@pytest.mark.system
def test_a_silent_endpoint_is_left_in_time(serve: Serve, monkeypatch: pytest.MonkeyPatch) -> None:
    """Ten seconds, then the start goes on."""
    monkeypatch.setenv("OPENAI_API_KEY", "sk-secret-123")
    server = serve(replace(completion("late"), delay_s=60))
    state = check_endpoint(AgentConfig(model="m", base_url=server.url))
    assert state == EndpointState("note", "no answer within 10 s; the run waits for it")


def test_a_model_that_is_there_answers_for_one_that_is_not(serve: Serve) -> None:
    """A start goes on with a fallback model, and says what the first one lacks."""
    for no in (refusal(404, "no", code="model_not_found"), refusal(402, "Insufficient credits")):
        server = serve()
        server.script([no, completion("OK")])
        state = found(server, fallback_models=["n"])
        assert state.state == "note"
        assert "n answers at" in state.says
        server.script([no, no])
        assert found(server, fallback_models=["n"]).state == "bad"
    server = serve(refusal(401, "Incorrect API key provided"))
    assert found(server, fallback_models=["n"]).state == "bad"
    assert len(server.checks) == 1


def test_every_parameter_may_be_refused(serve: Serve) -> None:
    """One try for each of them: a model that takes none is fine."""
    names = ["temperature", "reasoning_effort", "stream_options", "stream"]
    names += ["max_completion_tokens", "max_tokens"]
    refused = [refusal(400, f"Unsupported parameter: '{name}'", param=name) for name in names]
    server = serve()
    server.script([*refused, completion("OK")])
    state = found(server, temperature=0.5, effort="high", silence_s=5.0)
    assert state.state == "ok"
    assert sorted(server.checks[-1]) == ["messages", "model"]


def test_responses_are_tried_as_such(serve: Serve) -> None:
    """With the smallest limit that it takes."""
    server = serve(Answer(body=response("OK")))
    assert found(server, api="responses").state == "ok"
    [request] = server.checks
    assert (server.paths, request["max_output_tokens"]) == (["/v1/responses"], 16)
