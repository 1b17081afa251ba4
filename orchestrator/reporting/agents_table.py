"""The kinds of agents there are: the table and the JSON document of `agents`. Pure."""

from collections.abc import Mapping, Sequence
from typing import Any

from orchestrator.config.endpoints import PROGRAMS

BACKENDS = {
    "openai": "a model behind any endpoint that speaks OpenAI's API",
    "optuna": "the embedded search over the constants of train.py; no key, no network",
    "codex": "OpenAI's Codex CLI",
    "claude": "Anthropic's Claude Code",
    "opencode": "opencode, for models of many providers",
    "gemini": "Google's Gemini CLI",
    "qwen": "Qwen Code",
    "aider": "aider, for models of many providers",
    "command": "any other program (agent.command), which edits the files in its folder",
    "manual": "a person, or any tool, that answers prompts in a folder (agent.manual_dir)",
    "scripted": "replies from a folder (agent.scripted_dir), for tests and demonstrations",
}
"""Every backend but `auto`, with a word on each."""


def agents_document(
    configured: Mapping[str, Sequence[str]], programs: Mapping[str, str | None]
) -> list[dict[str, Any]]:
    """Return what `agents --json` prints.

    Args:
        configured: the names of the agents that the configuration leads to, by backend.
        programs: where the backends that are programs were found, None where not.
    """
    return [
        {
            "backend": backend,
            "what": what,
            "is_program": backend in PROGRAMS,
            "found": programs.get(backend),
            "configured": list(configured.get(backend, ())),
        }
        for backend, what in BACKENDS.items()
    ]


def agents_lines(document: Sequence[Mapping[str, Any]]) -> list[str]:
    """Return the lines of `agents`: a line each, and one more for what is configured."""
    lines = []
    for row in document:
        where = ""
        if row["is_program"] and (row["found"] or row["backend"] != "command"):
            where = f": {row['found']}" if row["found"] else ": not on PATH"
        mark = "*" if row["configured"] else " "
        lines.append(f"{mark} {row['backend']:<9} {row['what']}{where}")
    names = [name for row in document for name in row["configured"]]
    if names:
        lines.append(f"*: configured here, as {', '.join(names)}")
    else:
        lines.append("none is configured here: agent.backend, or a list `agents`, in config.yaml")
    return lines
