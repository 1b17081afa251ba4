"""Several agents: what of `agents` can't be used, and what of `agent` has no effect beside it."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from orchestrator.config.endpoints import AgentConfig

FOR_ALL = ("max_repairs", "lessons_every")
"""Keys of `agent` that hold for every agent of `agents`, and stand in none of its entries."""
IN_TURNS = ("weight", "every", "after_failures")
"""Keys of the entries of `agents` alone."""


def turn_takers(entries: list[AgentConfig]) -> list[AgentConfig]:
    """Return the entries of `agents`. Raises `ValueError` if they can't take turns."""
    if same := one_of_two([entry.label for entry in entries]):
        raise ValueError(f"two entries are called {same!r}: give one of them another `name`")
    if entries and not any(e.share or e.every or e.after_failures for e in entries):
        raise ValueError(
            "every weight is 0, so that none would be asked: give one a `weight` above 0"
        )
    return entries


def one_of_two(names: Sequence[str]) -> str | None:
    """Return a name that occurs twice, None if there is none."""
    return next((name for i, name in enumerate(names) if name in names[:i]), None)


def misplaced(values: Mapping[str, Any]) -> Iterator[tuple[tuple[str | int, ...], str]]:
    """Yield the keys of `agent` and `agents` that have no effect where they stand, and the cure.

    Args:
        values: what all sources set, merged and not checked yet.
    """
    agent, agents = values.get("agent"), values.get("agents")
    entries = agents if isinstance(agents, list) else []
    for index, entry in enumerate(entries):
        for key in FOR_ALL if isinstance(entry, dict) else ():
            if key in entry:
                yield ("agents", index, key), f"holds for all agents: set agent.{key} instead"
    defaults = AgentConfig()
    for key, value in agent.items() if isinstance(agent, dict) else ():
        if value == getattr(defaults, str(key), value) or key in FOR_ALL:
            continue
        if key in IN_TURNS and not entries:
            yield ("agent", key), "has an effect in an entry of `agents` alone: leave it out"
        elif entries:
            yield (
                ("agent", key),
                "has no effect beside `agents`: set it in an entry there, or leave one of the two "
                "out (`--set agents=[]` does)",
            )
