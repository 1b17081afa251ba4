"""Effort, and parameters of the user's own, in both interfaces."""

import json
from pathlib import Path
from typing import Any

import pytest

from orchestrator.config.endpoints import AgentConfig, ReviewConfig
from orchestrator.config.loading import load_config
from orchestrator.core.errors import UserError
from tests.agents.openai_rig import BRIEF, HELLO, Serve, agent_at, ask, blocked
from tests.agents.streams import response
from tests.fakes import Answer, WaitingContext, refusal

ANSWER = {"chat": HELLO, "responses": Answer(body=response("hello"))}
BOTH = pytest.mark.parametrize("api", ["chat", "responses"])


@pytest.mark.parametrize(
    ("api", "sent"),
    [("chat", {"reasoning_effort": "high"}), ("responses", {"reasoning": {"effort": "high"}})],
)
def test_effort_is_sent_under_its_name(serve: Serve, api: str, sent: dict[str, Any]) -> None:
    """And not at all where it is not set."""
    server = serve(ANSWER[api], ANSWER[api])
    ask(server, api=api, effort="high")
    assert server.requests[0] | sent == server.requests[0]
    ask(server, api=api)
    assert not sent.keys() & server.requests[1].keys()


EFFORT_REFUSED = {
    "OpenAI": refusal(400, "Unsupported parameter: 'reasoning_effort' is not supported with this "
                      "model.", code="unsupported_parameter", param="reasoning_effort"),
    "its value": refusal(400, "Unsupported value: 'reasoning_effort' does not support 'high' with "
                         "this model.", code="unsupported_value", param="reasoning_effort"),
    "Ollama": refusal(400, '"gemma3:4b" does not support thinking', type="api_error"),
    "pydantic": Answer(422, {"detail": [{"type": "extra_forbidden",
                                         "loc": ["body", "reasoning_effort"],
                                         "msg": "Extra inputs are not permitted"}]}),
}  # fmt: skip


@pytest.mark.parametrize("no", EFFORT_REFUSED.values(), ids=list(EFFORT_REFUSED))
def test_a_model_that_does_not_reason_is_asked_without_effort(serve: Serve, no: Answer) -> None:
    """At once, and ever after."""
    server, context = serve(no, HELLO, HELLO), WaitingContext()
    agent = agent_at(server.url, effort="high", temperature=0.5)
    for _ in range(2):
        assert agent.propose(BRIEF, context).reply.text == "hello"
    assert [seconds for _, seconds in context.waits] == [0.0]
    for request in server.requests[1:]:
        assert sorted(request) == ["messages", "model", "temperature"]


def test_an_effort_that_is_no_word_of_the_server_is_the_users(serve: Serve) -> None:
    """A wrong word is not dropped behind the user's back."""
    no = refusal(400, 'invalid reasoning value: \'hgih\' (must be "high", "medium" or "low")')
    assert "hgih" in blocked(serve(no), effort="hgih")


EXTRA = {"top_p": 0.9, "provider": {"order": ["a", "b"]}, "seed": None, "flag": True}


@BOTH
def test_extra_parameters_are_passed_on_as_they_are(serve: Serve, api: str) -> None:
    """Any JSON, null included."""
    server = serve(ANSWER[api])
    ask(server, api=api, extra=EXTRA)
    assert server.requests[0] | EXTRA == server.requests[0]


def test_extra_parameters_win(serve: Serve) -> None:
    """Over the daemon's own, and within an object beside them."""
    server = serve(ANSWER["responses"])
    ask(
        server, api="responses", effort="high", temperature=0.5,
        extra={"temperature": 1, "reasoning": {"summary": "auto"}, "store": True},
    )  # fmt: skip
    sent = server.requests[0]
    assert (sent["temperature"], sent["store"]) == (1, True)
    assert sent["reasoning"] == {"effort": "high", "summary": "auto"}


def test_an_extra_parameter_that_is_refused_is_the_users(serve: Serve) -> None:
    """It is not dropped: the user asked for it."""
    no = refusal(400, "Unsupported parameter: 'temperature'", code="unsupported_parameter",
                 param="temperature")  # fmt: skip
    assert "temperature" in blocked(serve(no), extra={"temperature": 3})


@pytest.mark.parametrize("name", ["model", "messages", "input", "instructions", "stream"])
def test_what_the_daemon_sets_can_not_be_overridden(tmp_path: Path, name: str) -> None:
    """The line names the key and what to do."""
    config = tmp_path / "config.yaml"
    config.write_text(json.dumps({"agent": {"extra": {name: "x"}}}))
    with pytest.raises(UserError, match=rf"agent\.extra: {name} is set by the daemon"):
        load_config(config)


@pytest.mark.parametrize("value", [".nan", "[a, {b: -.inf}]"])
def test_only_json_can_be_passed_on(tmp_path: Path, value: str) -> None:
    """YAML knows infinities, which no request can carry."""
    config = tmp_path / "config.yaml"
    config.write_text(f"agent:\n  extra:\n    odd: {value}\n")
    with pytest.raises(UserError, match=r"config\.yaml.*agent\.extra.*odd"):
        load_config(config)


def test_a_reviewer_elsewhere_has_none_of_the_agents_parameters() -> None:
    """Another endpoint need not know them; another model of the same one has no fallback."""
    agent = AgentConfig(
        model="m", base_url="http://a/v1", api="responses", effort="high", extra={"top_p": 1},
        fallback_models=["n"],
    )  # fmt: skip
    same = ReviewConfig().called(agent)
    assert (same.api, same.effort, same.fallback_models) == ("responses", "high", ["n"])
    model = ReviewConfig(model="r").called(agent)
    assert (model.api, model.extra, model.fallback_models) == ("responses", {"top_p": 1}, [])
    other = ReviewConfig(base_url="http://b/v1").called(agent)
    assert (other.api, other.effort, other.extra, other.fallback_models) == ("chat", None, None, [])
