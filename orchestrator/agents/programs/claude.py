"""Anthropic's `claude`. Tried: 2.1.332."""

from collections.abc import Mapping

from orchestrator.agents.programs.keys import NO_KEY, base_url, key_of
from orchestrator.agents.programs.program import Call, Place
from orchestrator.agents.programs.reading import version_in, without_cache
from orchestrator.agents.programs.turns import TurnsOutput
from orchestrator.config.endpoints import AgentConfig
from orchestrator.core.records import Tokens

_TOOLS = "Read,Edit,Write,Glob,Grep,Bash"
_SETTINGS = {
    "CLAUDE_CODE_DISABLE_NONESSENTIAL_TRAFFIC": "1",
    "DISABLE_AUTOUPDATER": "1",
    # With one at work it does not end.
    "CLAUDE_CODE_DISABLE_BACKGROUND_TASKS": "1",
    # The daemon waits itself, and says so; its own ten tries take three minutes.
    "CLAUDE_CODE_MAX_RETRIES": "3",
}
_USAGE = (
    "input_tokens",
    "cache_read_input_tokens",
    "cache_creation_input_tokens",
    "output_tokens",
    ("output_tokens_details", "thinking_tokens"),
)


class Claude:
    """`claude -p`: one JSON object a line."""

    name = "claude"
    streams = True
    needs: tuple[str, ...] = (
        "ANTHROPIC_API_KEY",
        "CLAUDE_CODE_OAUTH_TOKEN",
        "ANTHROPIC_AUTH_TOKEN",
    )
    login: tuple[str, ...] = (".claude", ".claude.json")

    def call(self, config: AgentConfig, place: Place, environment: Mapping[str, str]) -> Call:
        """Return its call: what is not allowed here is denied, nobody is asked."""
        variables = _SETTINGS | key_of(config, self.needs, environment)
        if url := base_url(config, "/v1"):
            variables = {self.needs[0]: NO_KEY} | variables | {"ANTHROPIC_BASE_URL": url}
        shell = "Bash" if place.is_confined else "Bash(./check),Bash(./check *)"
        argv = ["claude", "-p", "--output-format", "stream-json", "--verbose"]
        # No settings, hooks, plugins or notes but those named here, even in the user's home.
        argv += ["--safe-mode", "--restricted", "--strict-mcp-config", "--no-session-persistence"]
        argv += ["--tools", _TOOLS, "--allowedTools", shell]
        argv += ["--permission-mode", "acceptEdits", "--permission-prompts", "none"]
        if config.model:
            argv += ["--model", config.model]
        if config.fallback_models:
            argv += ["--fallback-model", ",".join(config.fallback_models)]
        if config.effort:
            argv += ["--effort", config.effort]
        if config.max_cost_usd is not None:
            argv += ["--max-budget-usd", f"{config.max_cost_usd:.6f}"]
        return Call((*argv, *config.args), variables)

    def output(self) -> TurnsOutput:
        """Return a reader of one call's output."""
        return TurnsOutput(_tokens)

    def version(self, text: str) -> str | None:
        """Return the version in `2.1.332 (Claude Code)`."""
        return version_in(text)


def _tokens(usage: object) -> Tokens:
    return without_cache(usage, _USAGE)
