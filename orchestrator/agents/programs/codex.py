"""OpenAI's `codex`. Tried: 0.171.0."""

import json
from collections.abc import Mapping

from orchestrator.agents.programs.keys import base_url, key_as
from orchestrator.agents.programs.program import Call, Place, Said
from orchestrator.agents.programs.reading import (
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
    "web_search": "disabled",
    "analytics.enabled": False,
    "check_for_update_on_startup": False,
    # Otherwise it fetches a catalogue with git, into a home that lasts one turn.
    "features.plugins": False,
    "features.apps": False,
    "features.unbounded_connection_retries": False,
    # The key is not for the commands that it runs.
    "shell_environment_policy.ignore_default_excludes": False,
}
_RETRIES = {"request_max_retries": 2, "stream_max_retries": 2}
"""The daemon waits itself, and says so."""
_BUSY = "experiencing high demand"
"""What it says of any 5xx."""


class Codex:
    """`codex exec`: one JSON object a line."""

    name = "codex"
    streams = True
    needs: tuple[str, ...] = ("CODEX_API_KEY", "OPENAI_API_KEY")
    login: tuple[str, ...] = (".codex",)

    def call(self, config: AgentConfig, place: Place, environment: Mapping[str, str]) -> Call:
        """Return its call; `-` has it read its standard input to the end."""
        settings: dict[str, object] = dict(_SETTINGS)
        key = key_as("CODEX_API_KEY", config, self.needs, environment)
        if config.effort:
            settings["model_reasoning_effort"] = config.effort
        if url := base_url(config):
            provider = {"name": "autorl", "base_url": url, "wire_api": "responses"} | _RETRIES
            if key:
                provider["env_key"] = "CODEX_API_KEY"
            settings["model_provider"] = "autorl"
            settings |= {f"model_providers.autorl.{name}": provider[name] for name in provider}
        sandbox = "danger-full-access" if place.is_confined else "workspace-write"
        # `-a` is an option of `codex`, not of `exec`: never ask.
        argv = ["codex", "-a", "never", "-s", sandbox, "exec", "--json", "--ephemeral"]
        argv += ["--ignore-user-config", "--ignore-rules", "--skip-git-repo-check"]
        # JSON's texts, numbers and booleans are TOML's too.
        for name, value in settings.items():
            argv += ["-c", f"{name}={json.dumps(value)}"]
        if config.model:
            argv += ["-m", config.model]
        return Call((*argv, *config.args, "-"), key)

    def output(self) -> "CodexOutput":
        """Return a reader of one call's output."""
        return CodexOutput()

    def version(self, text: str) -> str | None:
        """Return the version in `codex-cli 0.171.0`."""
        return version_in(text)


class CodexOutput:
    """Its events; the input that it counts includes what was cached."""

    def __init__(self) -> None:
        self.is_over = False
        self._text = self._error = ""
        self._is_known = False
        self._tokens = Tokens()

    def feed(self, line: bytes) -> None:
        """Take a line."""
        event = object_in(line)
        match at(event, "type"):
            case "thread.started" | "turn.started" | "item.started" | "item.updated":
                self._is_known = True
            case "item.completed":
                self._is_known = True
                if at(event, "item", "type") == "agent_message":
                    self._text = text(at(event, "item", "text"))
            case "error":  # among them those after which it tries again
                self._is_known = True
                self._error = text(at(event, "message"))
            case "turn.completed":
                self._is_known = self.is_over = True
                self._error = ""
                self._tokens = Tokens(
                    count(at(event, "usage", "input_tokens")),
                    count(at(event, "usage", "cached_input_tokens")),
                    count(at(event, "usage", "output_tokens")),
                    count(at(event, "usage", "reasoning_output_tokens")),
                )
            case "turn.failed":
                self._is_known = self.is_over = True
                self._error = text(at(event, "error", "message")) or self._error or "turn failed"

    def said(self, exit_code: int | None, stderr: str) -> Said:
        """Return what it told."""
        status = 503 if _BUSY in self._error else status_in(self._error)
        said = Said(self._text, self._tokens, None, self._error, status, self._is_known)
        return failed(said, exit_code, stderr)
