"""The command `agents`: which kinds of agents there are, here and in general."""

import argparse
import json
import shutil
from pathlib import Path

from orchestrator.cli.common import DONE, USAGE, complain
from orchestrator.config.endpoints import PROGRAMS
from orchestrator.config.schema import Config
from orchestrator.core.errors import UserError
from orchestrator.core.text import harmless
from orchestrator.store.workspace import find_workspace


def agents(args: argparse.Namespace) -> int:
    """List the kinds of agents, which are configured, and which programs are installed."""
    from orchestrator.reporting.agents_table import agents_document, agents_lines

    config = _config(args.workspace)
    document = agents_document(_configured(config) if config else {}, _programs(config))
    if args.json:
        print(json.dumps(document, indent=2))
    else:
        print("\n".join(harmless(agents_lines(document))))
    return DONE


def _config(named: Path | None) -> Config | None:
    """Return the workspace's configuration, None without one that can be used."""
    from orchestrator.config.loading import load_config

    try:
        workspace = find_workspace(named)
    except UserError:
        if named is not None:
            raise
        return None
    try:
        return load_config(workspace.config)
    except UserError as error:  # the list may be what is needed to mend it
        complain(error, USAGE)
        return None


def _configured(config: Config) -> dict[str, list[str]]:
    """Return the names of the configured agents by backend."""
    from orchestrator.agents.choice import choose_backend
    from orchestrator.agents.several import by_name

    found: dict[str, list[str]] = {}
    for name, one in by_name(config):
        found.setdefault(choose_backend(one)[0], []).append(name)
    return found


def _programs(config: Config | None) -> dict[str, str | None]:
    """Return where each program is, None where it is not on PATH."""
    found = {name: shutil.which(name) for name in PROGRAMS if name != "command"}
    commands = [one.command for one in config.proposers if one.command] if config else []
    found["command"] = shutil.which(commands[0][0]) if commands and commands[0] else None
    return found
