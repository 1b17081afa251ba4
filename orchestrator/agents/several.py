"""The agents of a configuration, one or several, as one."""

from collections.abc import Iterator
from pathlib import Path

from orchestrator.agents.anyone import AnyAgent
from orchestrator.agents.choice import choose_backend, make_agent
from orchestrator.agents.optuna_search import Trials
from orchestrator.agents.team import PATIENCE_S, Member, Team
from orchestrator.config.schema import Config
from orchestrator.config.several_agents import one_of_two
from orchestrator.core.errors import UserError
from orchestrator.planning.agent_choice import TurnTaker
from orchestrator.proposals.conformance import CheckSettings

FREE = {"optuna", "scripted", "manual"}
"""Backends whose proposals cost no money."""
_A_PERSON = "manual"


def make_agents(
    config: Config,
    root: Path,
    tag: str,
    trials: Trials,
    *,
    checker: tuple[str, ...] = (),
    check: CheckSettings | None = None,
) -> AnyAgent:
    """Make all that propose, none of which starts a process before it is asked.

    A single one with a name of its own is a team of one. The arguments are those of `make_agent`.

    Raises:
        UserError: something that one of them needs is missing.
    """
    if not config.agents and config.agent.name is None:
        return make_agent(config, root, tag, trials, checker=checker, check=check)
    members = []
    for name, one in by_name(config):
        backend, _ = choose_backend(one)
        turn = TurnTaker(
            name, one.agent.share, one.agent.every, one.agent.after_failures, backend in FREE
        )
        try:
            agent = make_agent(one, root, tag, trials, checker=checker, check=check)
        except UserError as error:
            raise UserError(f"agents, {name}: {error}" if config.agents else str(error)) from None
        members.append(Member(turn, agent, None if backend == _A_PERSON else PATIENCE_S))
    if same := one_of_two([member.turn.name for member in members]):
        raise UserError(f"agents: two entries are called {same!r}: give one of them another `name`")
    return Team(members, by=config.agents_by)


def by_name(config: Config) -> Iterator[tuple[str, Config]]:
    """Yield each agent's name, with the configuration as if it were the only one."""
    for one in config.each_alone:
        backend, _ = choose_backend(one)
        yield one.agent.model_copy(update={"backend": backend}).label, one


def chosen_line(config: Config) -> str:
    """Return which agents were chosen and why, in a line."""
    if not config.agents:
        backend, why = choose_backend(config)
        return f"agent: {backend} ({why})"
    names = [name for name, _ in by_name(config)]
    return f"agents: {', '.join(names)} (agents in the configuration, by {config.agents_by})"
