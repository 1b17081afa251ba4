"""What a start, and `doctor`, find out about coding agents on the command line."""

from pathlib import Path

from orchestrator.agents.choice import choose_backend, workplace_in
from orchestrator.agents.program_check import check_program, installed
from orchestrator.config.endpoints import PROGRAMS
from orchestrator.config.schema import Config
from orchestrator.core.errors import UserError


def program_notes(config: Config, root: Path, *, with_turn: bool = False) -> list[str]:
    """Start the configured programs for their versions; return what there is to say, a line each.

    Args:
        config: the configuration.
        root: the workspace.
        with_turn: whether they are asked for one word too.

    Raises:
        UserError: one does not start, or can't work.
    """
    lines = []
    for one in config.each_alone:
        if choose_backend(one)[0] in PROGRAMS:
            found = check_program(one.agent, workplace_in(root), with_turn=with_turn)
            if found.state == "bad":
                raise UserError(found.says)
            prefix = "program" if found.state == "ok" else "note: the program"
            lines.append(f"{prefix}: {found.says}")
    return lines


def installed_programs() -> str:
    """Return which coding agents are installed, in which version, in one line."""
    found = installed()
    there = [f"{name} {version}" for name, version in found.items() if version is not None]
    missing = [name for name, version in found.items() if version is None]
    parts = [", ".join(there), f"not installed: {', '.join(missing)}" if missing else ""]
    return "; ".join(filter(None, parts))
