"""Settings that do nothing are named at the start."""

import pytest

from orchestrator.agents.unused_keys import unused_keys
from orchestrator.config.endpoints import AgentConfig
from orchestrator.config.schema import Config

MODEL = {"backend": "openai", "model": "m", "base_url": "http://127.0.0.1:9/v1"}


def named(agent: dict[str, object], **sections: object) -> list[str]:
    lines = unused_keys(Config.model_validate({"agent": agent} | sections))
    return [line.split()[1].removeprefix("agent.") for line in lines]


@pytest.mark.parametrize(
    ("agent", "unused"),
    [
        ({"backend": "codex", "model": "m", "effort": "high", "args": ["-x"]}, []),
        (
            {
                "backend": "codex",
                "temperature": 0.5,
                "extra": {"top_p": 1},
                "fallback_models": ["n"],
            },
            ["fallback_models", "extra", "temperature"],
        ),
        ({"backend": "gemini", "effort": "high"}, ["effort"]),
        ({"backend": "command", "command": ["x"]}, []),
        ({"backend": "claude", "command": ["x"]}, ["command"]),
        ({"backend": "optuna", "model": "m", "effort": "low"}, ["model", "effort"]),
        ({"backend": "manual", "manual_dir": "in", "temperature": 1.0}, ["temperature"]),
        (MODEL | {"temperature": 1.0, "effort": "low", "extra": {"top_p": 1}}, []),
        (MODEL | {"home": "user", "sandbox": "off"}, ["home", "sandbox"]),
        (MODEL | {"temperature": None, "args": []}, []),
    ],
)
def test_what_the_backend_has_no_use_for(agent: dict[str, object], unused: list[str]) -> None:
    """Only what is set to something else than its default."""
    assert named(agent) == unused


def test_the_reviewer_may_have_use_for_it() -> None:
    """What `review` does not set is as in `agent`, whatever proposes."""
    agent = {"backend": "codex", "temperature": 0.5, "base_url": "http://127.0.0.1:9/v1"}
    assert named(agent) == ["temperature"]
    assert named(agent, review={"enabled": "on", "model": "m"}) == []


def test_of_several_agents_each_is_named() -> None:
    """By the name that the record has."""
    agents = [{"backend": "optuna", "name": "search", "model": "m"}, AgentConfig(backend="codex")]
    (line,) = unused_keys(Config(agents=agents))
    assert line == "note: agents, search: model is set, and optuna has no use for it"
