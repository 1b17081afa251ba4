"""Google's `gemini`. Tried: 0.61.0."""

import json
from collections.abc import Mapping

from orchestrator.agents.programs.keys import NO_KEY, base_url, key_as
from orchestrator.agents.programs.program import Call, Place, Said
from orchestrator.agents.programs.reading import (
    TEXT_CHARS,
    at,
    count,
    failed,
    object_in,
    status_in,
    text,
    version_in,
)
from orchestrator.config.endpoints import AgentConfig
from orchestrator.core.records import Tokens

_SETTINGS = {
    "security": {"auth": {"selectedType": "gemini-api-key"}},
    # The daemon waits itself, and says so; its own ten tries take minutes.
    "general": {"enableAutoUpdate": False, "maxAttempts": 3},
    "privacy": {"usageStatisticsEnabled": False},
    "telemetry": {"enabled": False},
    "tools": {"exclude": ["google_web_search", "web_fetch"]},
}


class Gemini:
    """`gemini -o stream-json`: one JSON object a line."""

    name = "gemini"
    streams = True
    needs: tuple[str, ...] = ("GEMINI_API_KEY", "GOOGLE_API_KEY")
    login: tuple[str, ...] = (".gemini",)

    def call(self, config: AgentConfig, place: Place, environment: Mapping[str, str]) -> Call:
        """Return its call; a tool that is not allowed is denied, nobody is asked."""
        variables = key_as("GEMINI_API_KEY", config, self.needs, environment)
        if url := base_url(config, "/v1beta"):
            variables = {"GEMINI_API_KEY": NO_KEY} | variables | {"GOOGLE_GEMINI_BASE_URL": url}
        argv = ["gemini", "-p", "", "-o", "stream-json", "--skip-trust"]
        argv += ["--approval-mode", "yolo" if place.is_confined else "auto_edit"]
        argv += [] if place.is_confined else ["--allowed-tools", "run_shell_command(./check)"]
        if config.model:
            argv += ["-m", config.model]
        settings = {".gemini/settings.json": json.dumps(_SETTINGS)}
        return Call((*argv, *config.args), variables, settings)

    def output(self) -> "GeminiOutput":
        """Return a reader of one call's output."""
        return GeminiOutput()

    def version(self, text: str) -> str | None:
        """Return the version, which is all that it prints."""
        return version_in(text)


class GeminiOutput:
    """Its events; messages come in pieces."""

    def __init__(self) -> None:
        self.is_over = False
        self._text = self._error = ""
        self._is_known = False
        self._tokens = Tokens()

    def feed(self, line: bytes) -> None:
        """Take a line."""
        event = object_in(line)
        match at(event, "type"):
            case "init" | "tool_result":
                self._is_known = True
            case "tool_use":  # what it said before was not its last message
                self._is_known = True
                self._text = ""
            case "message":
                self._is_known = True
                if at(event, "role") == "assistant":
                    self._text = (self._text + text(at(event, "content")))[-TEXT_CHARS:]
            case "error":
                self._is_known = True
                self._error = text(at(event, "message"))
            case "result":
                self._is_known = self.is_over = True
                if at(event, "status") != "success":
                    message = text(at(event, "error", "message"))
                    self._error = message or self._error or "it failed"
                else:
                    self._error = ""
                self._tokens = _tokens(at(event, "stats"))

    def said(self, exit_code: int | None, stderr: str) -> Said:
        """Return what it told."""
        status = status_in(self._error)
        if self._error and status is None and exit_code is not None:
            # It ends with the status, of which the system keeps the lowest eight bits.
            status = exit_code + 256 if 400 <= exit_code + 256 < 512 else None
        said = Said(self._text, self._tokens, None, self._error, status, self._is_known)
        return failed(said, exit_code, stderr)


def _tokens(stats: object) -> Tokens:
    """Return the tokens: its output leaves out the reasoning, which only its total includes."""
    total, given = count(at(stats, "total_tokens")), count(at(stats, "input_tokens"))
    output, reasoning = count(at(stats, "output_tokens")), None
    if total is not None and given is not None and output is not None:
        reasoning = max(0, total - given - output)
        output += reasoning
    return Tokens(given, count(at(stats, "cached")), output, reasoning)
