"""`aider`. Tried: 0.86.2."""

import re
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
    TEXT_CHARS,
    at,
    count,
    dollars,
    failed,
    object_in,
    text,
    version_in,
)
from orchestrator.config.endpoints import AgentConfig
from orchestrator.core.records import CANDIDATE_PATHS, Tokens
from orchestrator.proposals.program_prompt import NOTEBOOK

_PROMPT_FILE = ".prompt.md"
_READ = ("program.md", NOTEBOOK, "task/world.py")
"""It opens no files itself; what is not there it leaves out."""
_OPTIONS = (
    "--yes-always --no-git --no-check-update --no-show-release-notes --no-analytics --no-pretty "
    "--no-stream --no-fancy-input --no-detect-urls --no-suggest-shell-commands "
    "--no-show-model-warnings --no-auto-lint --map-tokens 0 --disable-playwright "
    # Not sent anywhere (see --no-analytics): exact counts of tokens, which it prints in thousands.
    "--analytics-log /dev/stdout"
).split()
_NO_PRICES = '{"none": {}}'
"""A cache that is not empty is not fetched anew; prices come with the package too."""
_CHECK = "test ! -x check || ./check"
"""It runs no commands of its model's; what this prints when it fails, it shows to the model."""
_STATUSES = {
    "AuthenticationError": 401,
    "PermissionDeniedError": 403,
    "NotFoundError": 404,
    "Timeout": 408,
    "RateLimitError": 429,
    "InternalServerError": 500,
    "APIConnectionError": 503,
    "ServiceUnavailableError": 503,
}
_ERROR = re.compile(r"litellm\.(\w+): (.*)")


class Aider:
    """`aider --message-file`: plain text, in which its own log is one JSON object a line."""

    name = "aider"
    streams = False
    needs: tuple[str, ...] = COMMON_KEYS
    login: tuple[str, ...] = (
        ".aider",
        ".aider.conf.yml",
        ".aider.model.settings.yml",
        ".aider.model.metadata.json",
    )

    def call(self, config: AgentConfig, place: Place, environment: Mapping[str, str]) -> Call:
        """Return its call. Raises `UserError`: `base_url` without a model."""
        variables = {"LITELLM_LOCAL_MODEL_COST_MAP": "True", "COLUMNS": "10000"}
        model = config.model
        if url := base_url(config):
            model = f"openai/{needed_model(config)}"
            key = key_as("OPENAI_API_KEY", config, ("OPENAI_API_KEY",), environment)
            variables |= {"OPENAI_API_KEY": NO_KEY, "OPENAI_API_BASE": url} | key
        else:
            variables |= provider_keys(config, environment)
        argv = ["aider", "--message-file", _PROMPT_FILE, *_OPTIONS]
        for kind in ("chat", "input"):
            argv += [f"--{kind}-history-file", str(place.home / ".aider" / f"{kind}.history")]
        argv += [word for path in _READ for word in ("--read", path)]
        argv += ["--auto-test", "--test-cmd", _CHECK]
        argv += ["--model", model] if model else []
        argv += ["--reasoning-effort", config.effort] if config.effort else []
        settings = {".aider/caches/model_prices_and_context_window.json": _NO_PRICES}
        call = (*argv, *config.args, *CANDIDATE_PATHS)
        return Call(call, variables, settings, prompt_file=_PROMPT_FILE)

    def output(self) -> "AiderOutput":
        """Return a reader of one call's output."""
        return AiderOutput()

    def version(self, text: str) -> str | None:
        """Return the version in `aider 0.86.2`."""
        return version_in(text)


class AiderOutput:
    """What it prints, and its log: a message sent, with its tokens and cost, and its end."""

    def __init__(self) -> None:
        self.is_over = False
        self._text = self._error = ""
        self._status: int | None = None
        self._is_known = self._is_speaking = False
        self._tokens = Tokens()
        self._cost = 0.0

    def feed(self, line: bytes) -> None:
        """Take a line."""
        event = object_in(line)
        if event is None or not isinstance(at(event, "event"), str):
            self._printed(line.decode(errors="replace"))
            return
        self._is_known = True
        match at(event, "event"):
            case "message_send_starting":
                self._text, self._is_speaking = "", True
            case "message_send":
                self._error, self._status = "", None
                facts = at(event, "properties")
                self._tokens = self._tokens.plus(
                    Tokens(
                        count(at(facts, "prompt_tokens")),
                        output=count(at(facts, "completion_tokens")),
                    )
                )
                self._cost += dollars(at(facts, "cost")) or 0.0
            case "exit":
                self.is_over = True

    def _printed(self, line: str) -> None:
        if line.startswith("Tokens: "):
            self._is_speaking = False
        if self._is_speaking:
            self._text = (self._text + text(line) + "\n")[-TEXT_CHARS:]
        if found := _ERROR.match(line.strip()):
            self._error, self._status = text(found[2]), _STATUSES.get(found[1])

    def said(self, exit_code: int | None, stderr: str) -> Said:
        """Return what it told; a cost of 0 is what it says of a model whose prices it lacks."""
        said = Said(
            self._text.strip(),
            self._tokens,
            self._cost or None,
            self._error,
            self._status,
            self._is_known,
        )
        return failed(said, exit_code, stderr)
