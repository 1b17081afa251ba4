"""`qwen`, Qwen Code. Tried: 0.24.4."""

import json
from collections.abc import Mapping

from orchestrator.agents.programs.keys import NO_KEY, base_url, key_of
from orchestrator.agents.programs.program import Call, Place
from orchestrator.agents.programs.reading import at, count, version_in
from orchestrator.agents.programs.turns import TurnsOutput
from orchestrator.config.endpoints import AgentConfig
from orchestrator.core.records import Tokens

_SHELL = "run_shell_command"


class Qwen:
    """`qwen -o stream-json`: one JSON object a line, at any endpoint of the Chat Completions."""

    name = "qwen"
    streams = True
    needs: tuple[str, ...] = ("OPENAI_API_KEY",)
    login: tuple[str, ...] = (".qwen",)

    def call(self, config: AgentConfig, place: Place, environment: Mapping[str, str]) -> Call:
        """Return its call; without a key or an endpoint it is the login that it knows."""
        variables = key_of(config, self.needs, environment)
        if url := base_url(config):
            variables = {self.needs[0]: NO_KEY} | variables | {"OPENAI_BASE_URL": url}
        argv = ["qwen", "-o", "stream-json", "--chat-recording=false"]
        # Both leave out notes, hooks, extensions and servers. The first also halves the prompt, and
        # leaves out the settings below, which alone can tell of an effort.
        argv += ["--bare" if place.has_own_home and not config.effort else "--safe-mode"]
        argv += ["--max-wall-time", f"{max(1, round(config.time_limit_s))}s"]
        argv += ["--auth-type", "openai"] if variables else []
        argv += ["--approval-mode", "yolo" if place.is_confined else "auto-edit"]
        argv += [] if place.is_confined else ["--allowed-tools", f"{_SHELL}(./check)"]
        if config.model:
            argv += ["-m", config.model]
        if config.fallback_models:
            argv += ["--fallback-model", ",".join(config.fallback_models[:3])]
        variables["QWEN_CODE_SUPPRESS_YOLO_WARNING"] = "1"
        return Call((*argv, *config.args), variables, {".qwen/settings.json": _settings(config)})

    def output(self) -> TurnsOutput:
        """Return a reader of one call's output."""
        return TurnsOutput(_tokens)

    def version(self, text: str) -> str | None:
        """Return the version, which is all that it prints."""
        return version_in(text)


def _settings(config: AgentConfig) -> str:
    # The daemon waits itself, and says so.
    generation: dict[str, object] = {
        "maxRetries": 2, "retryInitialDelayMs": 2000, "retryMaxDelayMs": 10_000,
    }  # fmt: skip
    if config.effort:
        generation["reasoning"] = {"effort": config.effort}
    return json.dumps(
        {
            "general": {"enableAutoUpdate": False},
            "privacy": {"usageStatisticsEnabled": False},
            "telemetry": {"enabled": False},
            "model": {"generationConfig": generation},
        }
    )


def _tokens(usage: object) -> Tokens:
    """Return the tokens; unlike claude's, its input includes what was cached."""
    return Tokens(
        count(at(usage, "input_tokens")),
        count(at(usage, "cache_read_input_tokens")),
        count(at(usage, "output_tokens")),
    )
