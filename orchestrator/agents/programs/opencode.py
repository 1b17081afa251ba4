"""`opencode`. Tried: 1.18.33."""

import json
from collections.abc import Mapping

from orchestrator.agents.programs.keys import (
    COMMON_KEYS,
    NO_KEY,
    base_url,
    key_as,
    needed_model,
    provider_keys,
)
from orchestrator.agents.programs.program import Call, Place, Said
from orchestrator.agents.programs.reading import (
    added,
    at,
    count,
    dollars,
    failed,
    object_in,
    status_in,
    text,
    version_in,
)
from orchestrator.config.endpoints import AgentConfig
from orchestrator.core.records import Tokens

# Whatever is neither allowed nor denied asks, and nobody would answer.
# The tokens of a task given to another agent would not be told.
_CONFINED = {"*": "allow"} | dict.fromkeys(("webfetch", "websearch", "question", "task"), "deny")
_UNCONFINED: dict[str, object] = {
    "*": "deny",
    **dict.fromkeys(("read", "edit", "glob", "grep", "list"), "allow"),
    "bash": {"*": "deny", "./check": "allow", "./check *": "allow"},
}
_SETTINGS = {
    "OPENCODE_DISABLE_AUTOUPDATE": "1",
    "OPENCODE_DISABLE_CLAUDE_CODE": "1",
    "OPENCODE_DISABLE_EXTERNAL_SKILLS": "1",
    "OPENCODE_DISABLE_LSP_DOWNLOAD": "1",
    # Into every fresh home it would install a package for plugins, of which there are none.
    "npm_config_offline": "true",
}
_GOES_ON = {"tool-calls", "unknown"}
"""Ends of a step after which another one follows."""


class OpenCode:
    """`opencode run --format json`: one JSON object a line."""

    name = "opencode"
    streams = True
    needs: tuple[str, ...] = COMMON_KEYS
    login: tuple[str, ...] = (".local/share/opencode", ".local/state/opencode", ".config/opencode")

    def call(self, config: AgentConfig, place: Place, environment: Mapping[str, str]) -> Call:
        """Return its call. Raises `UserError`: `base_url` without a model."""
        variables = dict(_SETTINGS)
        settings: dict[str, object] = {
            "autoupdate": False,
            "share": "disabled",
            "snapshot": False,
            "permission": _CONFINED if place.is_confined else _UNCONFINED,
        }
        model = config.model
        if url := base_url(config):
            name = needed_model(config)
            model = f"autorl/{name}"
            key = key_as("OPENAI_API_KEY", config, ("OPENAI_API_KEY",), environment)
            variables |= {"OPENAI_API_KEY": NO_KEY} | key
            variables["OPENCODE_DISABLE_MODELS_FETCH"] = "1"
            settings["enabled_providers"] = ["autorl"]
            settings["provider"] = {
                "autorl": {
                    "npm": "@ai-sdk/openai-compatible",
                    "options": {"baseURL": url, "apiKey": "{env:OPENAI_API_KEY}"},
                    "models": {name: {"name": name}},
                }
            }
        else:
            variables |= provider_keys(config, environment)
        variables["OPENCODE_CONFIG_CONTENT"] = json.dumps(settings)
        # With a title it need not ask a model for one.
        argv = ["opencode", "run", "--format", "json", "--pure", "--title", "experiment"]
        argv += ["-m", model] if model else []
        argv += ["--variant", config.effort] if config.effort else []
        return Call((*argv, *config.args), variables)

    def output(self) -> "OpenCodeOutput":
        """Return a reader of one call's output."""
        return OpenCodeOutput()

    def version(self, text: str) -> str | None:
        """Return the version, which is all that it prints."""
        return version_in(text)


class OpenCodeOutput:
    """Its steps, each with its tokens; the input leaves out what was cached."""

    def __init__(self) -> None:
        self.is_over = False
        self._text = self._error = ""
        self._status: int | None = None
        self._is_known = False
        self._tokens = Tokens()
        self._cost = 0.0

    def feed(self, line: bytes) -> None:
        """Take a line."""
        event = object_in(line)
        part = at(event, "part")
        match at(event, "type"):
            case "step_start":
                self._is_known, self.is_over = True, False
            case "tool_use" | "reasoning":
                self._is_known = True
            case "text":
                self._is_known = True
                self._text = text(at(part, "text"))
            case "step_finish":
                self._is_known = True
                reason = text(at(part, "reason"))
                self.is_over = bool(reason) and reason not in _GOES_ON
                self._tokens = self._tokens.plus(_tokens(at(part, "tokens")))
                self._cost += dollars(at(part, "cost")) or 0.0
            case "error":
                self._is_known = self.is_over = True
                error = at(event, "error")
                message = text(at(error, "data", "message"))
                self._error = message or text(at(error, "name")) or "it failed"
                status = at(error, "data", "statusCode")
                is_status = isinstance(status, int) and 400 <= status < 600
                self._status = status if is_status else status_in(self._error)  # type: ignore[assignment]

    def said(self, exit_code: int | None, stderr: str) -> Said:
        """Return what it told; a cost of 0 is what it says of a model whose prices it lacks."""
        said = Said(
            self._text,
            self._tokens,
            self._cost or None,
            self._error,
            self._status,
            self._is_known,
        )
        return failed(said, exit_code, stderr)


def _tokens(usage: object) -> Tokens:
    cached = count(at(usage, "cache", "read"))
    reasoning = count(at(usage, "reasoning"))
    return Tokens(
        added(count(at(usage, "input")), cached, count(at(usage, "cache", "write"))),
        cached,
        added(count(at(usage, "output")), reasoning),
        reasoning,
    )
