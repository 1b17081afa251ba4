"""Choice of the agent, by the configuration."""

import os
from dataclasses import replace
from pathlib import Path

from orchestrator.agents.bubblewrap import examine
from orchestrator.agents.command_line import CommandLineAgent
from orchestrator.agents.inline import InlineAgent
from orchestrator.agents.manual import ManualAgent
from orchestrator.agents.openai_api import OpenAIAgent
from orchestrator.agents.optuna_search import OptunaAgent, Trials
from orchestrator.agents.process import ProcessAgent
from orchestrator.agents.scripted import ScriptedAgent
from orchestrator.agents.workplace import Workplace
from orchestrator.config.endpoints import PROGRAMS, AgentConfig
from orchestrator.config.schema import Config
from orchestrator.core.errors import UserError
from orchestrator.proposals.conformance import CheckSettings

_THINK = {"openai", "manual", *PROGRAMS}
"""Backends whose proposals take time."""


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
    return any(choose_backend(one)[0] in _THINK for one in config.each_alone)


def models(config: Config) -> list[AgentConfig]:
    """Return the agents that are models behind an endpoint."""
    chosen = [(one.agent, choose_backend(one)[0]) for one in config.each_alone]
    return [agent.model_copy(update={"backend": b}) for agent, b in chosen if b == "openai"]


def make_agent(
    config: Config,
    root: Path,
    tag: str,
    trials: Trials,
    *,
    checker: tuple[str, ...] = (),
    check: CheckSettings | None = None,
) -> InlineAgent | ProcessAgent | ManualAgent:
    """Make the configured agent, which starts no process before it is asked.

    Args:
        config: the configuration.
        root: the workspace.
        tag: the run's.
        trials: what the embedded search learns from.
        checker: the command that a program's `./check` runs.
        check: with what settings; None: the syntax alone is checked.

    Raises:
        UserError: something it needs is missing.
    """
    agent = config.agent
    backend, _ = choose_backend(config)
    if backend == "openai":
        # Made here for its checks and its name; the one that calls the model lives in a process.
        return ProcessAgent(agent, OpenAIAgent(agent).name)
    if backend in PROGRAMS:
        # Found here, once: a probe that fails in a short moment must not set a program free.
        must_confine = agent.sandbox != "off" and examine().is_on
        workplace = replace(workplace_in(root, checker, check), must_confine=must_confine)
        name = CommandLineAgent(agent, workplace).name
        return ProcessAgent(agent, name, workplace=workplace)
    if backend == "manual":
        return ManualAgent(root, agent, tag)
    if backend == "scripted":
        if agent.scripted_dir is None:
            raise UserError("agent.scripted_dir is missing: the folder of replies 0001.md, …")
        return InlineAgent(ScriptedAgent(root / agent.scripted_dir))
    return InlineAgent(OptunaAgent(trials, tag))


def workplace_in(
    root: Path, checker: tuple[str, ...] = (), check: CheckSettings | None = None
) -> Workplace:
    """Return where the programs of a workspace work."""
    return Workplace(
        workspace=str(root),
        state=str(root / ".autorl"),
        experiments=str(root / "logs" / "experiments"),
        checker=checker,
        check=check,
    )


def review_settings(config: Config) -> AgentConfig | None:
    """Return the settings of the reviewer's calls, None if nobody reviews.

    Raises:
        UserError: something the reviewer needs is missing.
    """
    enabled = config.review.enabled
    known, is_named = models(config), config.review.model is not None
    # A program's model may be none that an endpoint knows: a reviewer is named by itself.
    reviews = bool(known) or (is_named and takes_time(config))
    if enabled == "off" or (enabled == "auto" and not reviews):
        return None
    # With several agents, what `review` does not set is as for the first of them that is a model.
    settings = config.review.called(next(iter(known), config.agent))
    if not is_named and not known:
        raise UserError(
            "review.model is missing: name the model that reviews, or set review.enabled to off"
        )
    try:
        OpenAIAgent(settings)
    except UserError as error:
        raise UserError(f"the reviewer (review; null is as in agent): {error}") from None
    return settings
