"""Settings that follow from limits on tokens and dollars: no answer without an end. Pure."""

from orchestrator.config.endpoints import AgentConfig
from orchestrator.config.schema import Config

DEFAULT_OUTPUT_TOKENS = 16_000
"""Longest answer where `limits.tokens` or `limits.cost_usd` is set and `max_output_tokens` is not:
without any, nobody could say before a call what it may cost."""


def with_caps(config: Config) -> Config:
    """Return a configuration in which every model's answer has a longest length, if limits ask."""
    if config.limits.tokens is None and config.limits.cost_usd is None:
        return config
    return config.model_copy(
        update={"agent": _capped(config.agent), "agents": [_capped(one) for one in config.agents]}
    )


def _capped(agent: AgentConfig) -> AgentConfig:
    if agent.max_output_tokens is not None:
        return agent
    return agent.model_copy(update={"max_output_tokens": DEFAULT_OUTPUT_TOKENS})
