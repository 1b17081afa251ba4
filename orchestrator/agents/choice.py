"""Choice of the agent, by the configuration."""

import os
from pathlib import Path

from orchestrator.agents.inline import InlineAgent
from orchestrator.agents.openai_api import OpenAIAgent
from orchestrator.agents.optuna_search import OptunaAgent, Trials
from orchestrator.agents.process import ProcessAgent
from orchestrator.agents.scripted import ScriptedAgent
from orchestrator.config.endpoints import AgentConfig
from orchestrator.config.schema import Config
from orchestrator.core.errors import UserError


def choose_backend(config: Config) -> tuple[str, str]:
    """Return the backend and why it was chosen."""
    agent = config.agent
    if agent.backend != "auto":
        return agent.backend, "agent.backend in the configuration"
    if agent.base_url is not None:
        return "openai", "agent.base_url is set"
    if os.environ.get(agent.api_key_env):
        return "openai", f"${agent.api_key_env} is set"
    return "optuna", f"no agent.base_url and no ${agent.api_key_env}: the embedded search"


def takes_time(config: Config) -> bool:
    """Does a proposal take time (a model's), or none (the search's, the script's)?"""
    return bool(models(config))


def models(config: Config) -> list[AgentConfig]:
    """Return the agents that are models behind an endpoint."""
    chosen = [(one.agent, choose_backend(one)[0]) for one in config.each_alone]
    return [agent.model_copy(update={"backend": b}) for agent, b in chosen if b == "openai"]


def make_agent(config: Config, root: Path, tag: str, trials: Trials) -> InlineAgent | ProcessAgent:
    """Make the configured agent, which starts no process before it is asked.

    Raises:
        UserError: something it needs is missing.
    """
    agent = config.agent
    backend, _ = choose_backend(config)
    if backend == "openai":
        # Made here for its checks and its name; the one that calls the model lives in a process.
        return ProcessAgent(agent, OpenAIAgent(agent).name)
    if backend == "scripted":
        if agent.scripted_dir is None:
            raise UserError("agent.scripted_dir is missing: the folder of replies 0001.md, …")
        return InlineAgent(ScriptedAgent(root / agent.scripted_dir))
    return InlineAgent(OptunaAgent(trials, tag))


def review_settings(config: Config) -> AgentConfig | None:
    """Return the settings of the reviewer's calls, None if nobody reviews.

    Raises:
        UserError: something the reviewer needs is missing.
    """
    enabled = config.review.enabled
    if enabled == "off" or (enabled == "auto" and not takes_time(config)):
        return None
    # With several agents, what `review` does not set is as for the first of them that is a model.
    settings = config.review.called(next(iter(models(config)), config.agent))
    if settings.model is None and not takes_time(config):
        raise UserError(
            "review.model is missing: name the model that reviews, or set review.enabled to off"
        )
    try:
        OpenAIAgent(settings)
    except UserError as error:
        raise UserError(f"the reviewer (review; null is as in agent): {error}") from None
    return settings
