"""The coding agents that are known, by the name of their backend."""

from collections.abc import Callable, Mapping

from orchestrator.agents.programs.aider import Aider
from orchestrator.agents.programs.claude import Claude
from orchestrator.agents.programs.codex import Codex
from orchestrator.agents.programs.command import Command
from orchestrator.agents.programs.gemini import Gemini
from orchestrator.agents.programs.opencode import OpenCode
from orchestrator.agents.programs.program import Program
from orchestrator.agents.programs.qwen import Qwen

_PROGRAMS: Mapping[str, Callable[[], Program]] = {
    "codex": Codex,
    "claude": Claude,
    "opencode": OpenCode,
    "gemini": Gemini,
    "qwen": Qwen,
    "aider": Aider,
    "command": Command,
}
INSTALL: Mapping[str, str] = {
    "codex": "npm install -g @openai/codex",
    "claude": "npm install -g @anthropic-ai/claude-code",
    "opencode": "npm install -g opencode-ai",
    "gemini": "npm install -g @google/gemini-cli",
    "qwen": "npm install -g @qwen-code/qwen-code",
    "aider": "pipx install aider-chat",
}
"""How each is installed."""
KNOWN = tuple(name for name in INSTALL if name in _PROGRAMS)
"""Those that are installed under their own names."""


def program_of(backend: str) -> Program:
    """Return the program of a backend of `config.endpoints.PROGRAMS`."""
    return _PROGRAMS[backend]()
