"""Any other program: `agent.command`, which reads the prompt from its standard input."""

from collections.abc import Mapping

from orchestrator.agents.programs.program import Call, Place, Said
from orchestrator.config.endpoints import AgentConfig

_TEXT_BYTES = 100_000
_ERROR_LINES = 5


class Command:
    """A program that nobody knows: its standard output is its last message."""

    name = "command"
    streams = False
    needs: tuple[str, ...] = ()
    login: tuple[str, ...] = ()

    def call(self, config: AgentConfig, place: Place, environment: Mapping[str, str]) -> Call:  # noqa: ARG002 - the Protocol's
        """Return the configured call."""
        return Call((*(config.command or ()), *config.args))

    def output(self) -> "CommandOutput":
        """Return a reader of one call's output."""
        return CommandOutput()

    def version(self, text: str) -> str | None:  # noqa: ARG002 - the Protocol's
        """Return None: not every program has a version."""
        return None


class CommandOutput:
    """The end of what it prints; it tells nothing else."""

    is_over = False

    def __init__(self) -> None:
        self._text = bytearray()

    def feed(self, line: bytes) -> None:
        """Take a line."""
        self._text += line + b"\n"
        if len(self._text) > 2 * _TEXT_BYTES:
            del self._text[:-_TEXT_BYTES]

    def said(self, exit_code: int | None, stderr: str) -> Said:
        """Return its last message; an exit code says that it failed, if it changed nothing."""
        text = self._text[-_TEXT_BYTES:].decode(errors="replace").strip()
        if exit_code in {0, None}:
            return Said(text)
        said = (stderr.strip() or text).splitlines()[-_ERROR_LINES:]
        return Said(text, error="\n".join([f"exit code {exit_code}", *said]))
