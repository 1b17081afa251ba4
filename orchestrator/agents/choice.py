"""Which agent proposes the experiments, by the configuration."""

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

from orchestrator.agents.openai_api import OpenAIAgent
from orchestrator.agents.optuna_search import OptunaAgent
from orchestrator.agents.scripted import ScriptedAgent
from orchestrator.config.schema import Config
from orchestrator.core.errors import UserError
from orchestrator.engine.ports import Agent


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


def make_agent(config: Config, root: Path, tag: str, trials: Callable[..., Any]) -> Agent:
    """Make the configured agent. Raises `UserError` if something it needs is missing."""
    agent = config.agent
    backend, _ = choose_backend(config)
    if backend == "openai":
        return OpenAIAgent(agent)
    if backend == "scripted":
        if agent.scripted_dir is None:
            raise UserError("agent.scripted_dir is missing: the folder of replies 0001.md, …")
        return ScriptedAgent(root / agent.scripted_dir)
    return OptunaAgent(trials, tag)
