"""Settings of an agent that its backend has no use for: they are named, or people wonder."""

from orchestrator.agents.choice import choose_backend, review_settings
from orchestrator.config.endpoints import PROGRAMS, AgentConfig
from orchestrator.config.schema import Config

_ALL = {
    "backend", "name", "max_repairs", "lessons_every", "weight", "every", "after_failures",
    "api_key_env", "base_url", "context_tokens", "timeout_s",
}  # fmt: skip
"""Concern every agent, or choose the backend."""
_MODEL = {"model", "prices", "max_cost_usd", "silence_s"}
_API = {*_MODEL, "fallback_models", "api", "effort", "extra", "max_output_tokens", "temperature"}
_PROGRAM = {*_MODEL, "args", "env", "home", "sandbox"}
_WITHOUT_EFFORT = {"gemini", "command"}
_USED = {
    "openai": _API,
    "optuna": set[str](),
    "scripted": {"scripted_dir"},
    "manual": {"manual_dir"},
    **{
        name: _PROGRAM
        | (set() if name in _WITHOUT_EFFORT else {"effort"})
        | ({"command"} if name == "command" else set())
        for name in PROGRAMS
    },
}


def unused_keys(config: Config) -> list[str]:
    """Return the keys that are set and concern no backend they are set for, a line each."""
    lines = []
    is_several = len(config.each_alone) > 1
    for alone in config.each_alone:
        backend, _ = choose_backend(alone)
        used = _ALL | _USED[backend]
        if review_settings(alone) is not None:
            used = used | _API  # the reviewer is called with them where `review` has none
        for key in AgentConfig.model_fields:
            value = getattr(alone.agent, key)
            if key not in used and value != AgentConfig.model_fields[key].default:
                whose = f"agents, {alone.agent.label}: {key}" if is_several else f"agent.{key}"
                lines.append(f"note: {whose} is set, and {backend} has no use for it")
    return lines
