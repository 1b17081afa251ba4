"""The sections that say which model is called, where, and with what: `agent` and `review`."""

import json
import re
import urllib.parse
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, Field, field_validator

from orchestrator.config.section import Positive, PositiveNumber, Section, TimeoutSeconds
from orchestrator.core.records import BASELINE_AGENT, HUMAN
from orchestrator.core.reviews import Opinion
from orchestrator.core.text import without_passwords


class Prices(Section):
    """US dollars per million tokens, as of the day you wrote them down."""

    input: Annotated[float, Field(ge=0)]
    cached: Annotated[float, Field(ge=0)] | None = None
    """None charges cached input like other input."""
    output: Annotated[float, Field(ge=0)]


def _model_name(value: str) -> str:
    if not (value.strip() and value.isprintable()):
        raise ValueError(f"must be a name, not {value!r}")
    return value


def _address(value: str) -> str:
    if not is_web_address(value):
        # What stands before an @ may hold a password, and a broken address has no clear parts.
        shown = without_passwords(re.sub(r"(?s)^.*@", "…@", value))
        raise ValueError(f"must be an address like https://host/v1, not {shown!r}")
    return value


def _variable_name(value: str) -> str:
    if not re.fullmatch(r"[A-Za-z_][A-Za-z0-9_]*", value):
        # The value is not printed: it may be the key itself.
        raise ValueError("must be the name of an environment variable, never the key itself")
    return value


ModelName = Annotated[str, AfterValidator(_model_name)]
Address = Annotated[str, AfterValidator(_address)]
VariableName = Annotated[str, AfterValidator(_variable_name)]
ContextTokens = Annotated[int, Field(ge=2000, le=10_000_000)]
Temperature = Annotated[float, Field(ge=0, le=2)]


Backend = Literal[
    "auto", "openai", "optuna", "scripted", "manual",
    "codex", "claude", "opencode", "gemini", "qwen", "aider", "command",
]  # fmt: skip
PROGRAMS = ("codex", "claude", "opencode", "gemini", "qwen", "aider", "command")
"""Backends that are a command line of the user's: a coding agent."""
_API_TIMEOUT_S, _PROGRAM_TIMEOUT_S = 300.0, 1800.0
_OWN_PARAMETERS = ("model", "messages", "input", "instructions", "stream")


def _extra(value: dict[str, Any] | None) -> dict[str, Any] | None:
    """Check that the parameters are JSON, and none of those that the daemon sets."""
    for name, parameter in (value or {}).items():
        if name in _OWN_PARAMETERS:
            raise ValueError(f"{name} is set by the daemon: leave it out")
        try:
            json.dumps(parameter, allow_nan=False)
        except (TypeError, ValueError, RecursionError):
            raise ValueError(
                f"{name} must be what JSON has: text, finite numbers, true, false, null, lists "
                "and mappings of these"
            ) from None
    return value


class AgentConfig(Section):
    """An agent that proposes experiments."""

    backend: Backend = "auto"
    name: ModelName | None = None
    """Shown and recorded; None: made of backend and model."""
    model: ModelName | None = None
    fallback_models: list[ModelName] = Field(default=[])
    """Asked, in this order, while the model before is unknown to the endpoint, busy or down."""
    base_url: Address | None = None
    api_key_env: VariableName = "OPENAI_API_KEY"
    api: Literal["chat", "responses"] = "chat"
    """Which of OpenAI's two interfaces the endpoint is spoken to by."""
    effort: ModelName | None = None
    """How hard the model shall reason, in its own words (`low`, `high`); None: its default."""
    extra: Annotated[dict[str, Any] | None, AfterValidator(_extra)] = None
    """Further parameters of the request, passed on as they are."""
    timeout_s: TimeoutSeconds | None = None
    """None: 300 s for an endpoint's answer, 1800 s for a program's turn, none for `manual`."""
    silence_s: TimeoutSeconds | None = None
    """Longest silence of an answer that streams. None: an endpoint's answer comes whole."""
    max_cost_usd: PositiveNumber | None = None
    """The most that one turn of a program may cost, or one call of a model without known prices:
    reserved before it, and told to programs that keep a limit."""
    max_repairs: Annotated[int, Field(ge=0, le=2)] = 2
    context_tokens: ContextTokens = 64_000
    lessons_every: Positive | None = 10
    """Experiments after which the agent is asked to write down its lessons anew; None: never."""
    max_output_tokens: Positive | None = None
    """None: the model's own limit; with limits on tokens or dollars 16,000 (`config/caps.py`)."""
    temperature: Temperature | None = None
    prices: Prices | None = None
    """Those of `model`. None: those of the snapshot that is shipped, where it knows that model at
    this address."""
    command: list[str] | None = None
    """`command`: the program and its arguments; the prompt is its standard input."""
    args: list[str] = Field(default=[])
    """Further arguments of a program that is known."""
    env: list[VariableName] = Field(default=[])
    """Further variables of the environment that a program may see."""
    home: Literal["own", "user"] = "own"
    """Where a program keeps its login and settings: a folder of the daemon's, or the user's own."""
    sandbox: Literal["auto", "off"] = "auto"
    """Whether a program is confined; `auto`: as far as this machine can."""
    manual_dir: str | None = None
    """`manual`: the folder of prompts and replies."""
    scripted_dir: str | None = None
    weight: Annotated[float, Field(ge=0)] | None = None
    """In `agents`: how often it is asked beside the others; 0: only while they are down. None: 1,
    or 0 beside `every` or `after_failures`."""
    every: Positive | None = None
    """In `agents`: asked for every so many experiments, whatever the weights."""
    after_failures: Positive | None = None
    """In `agents`: asked when the last so many experiments did not move the lead."""

    @field_validator("name")
    @classmethod
    def _is_nobodys(cls, value: str | None) -> str | None:
        if value in {BASELINE_AGENT, HUMAN}:
            raise ValueError(f"{value!r} is a name that the record uses itself: choose another")
        return value

    @property
    def label(self) -> str:
        """Its name; without one, made of backend and model."""
        return self.name or (f"{self.backend}:{self.model}" if self.model else self.backend)

    @property
    def share(self) -> float:
        """How often it is asked beside the others of `agents`, as a weight."""
        if self.weight is not None:
            return self.weight
        return 0.0 if self.every or self.after_failures else 1.0

    @property
    def time_limit_s(self) -> float:
        """Time limit of one call, in seconds."""
        if self.timeout_s is not None:
            return self.timeout_s
        return _PROGRAM_TIMEOUT_S if self.backend in PROGRAMS else _API_TIMEOUT_S


class ReviewConfig(Section):
    """The reviewer: a second opinion on what would become the incumbent.

    What is None is as in `agent`, but for the prices of another model (those that are shipped), and
    for `api`, `effort` and `extra`, which another endpoint need not have.
    """

    enabled: Literal["auto", "on", "off"] = "auto"
    """`auto`: on where a model is the agent, off for the embedded search and for scripts."""
    model: ModelName | None = None
    base_url: Address | None = None
    api_key_env: VariableName | None = None
    timeout_s: TimeoutSeconds | None = None
    """Time limit of a review, all its tries together; without an answer there is no review."""
    context_tokens: ContextTokens | None = None
    max_output_tokens: Positive | None = None
    temperature: Temperature | None = None
    prices: Prices | None = None
    veto: list[str] = Field(default=[Opinion.GAMING.value, Opinion.OFF_LIMITS.value])
    """Opinions that reject a better score; [] only shows them."""

    @field_validator("veto")
    @classmethod
    def _are_opinions(cls, value: list[str]) -> list[str]:
        known = [opinion.value for opinion in Opinion if opinion is not Opinion.EARNED]
        for name in value:
            if name not in known:
                raise ValueError(f"unknown opinion {name!r}; known: {', '.join(known)}")
        return value

    def called(self, agent: AgentConfig) -> AgentConfig:
        """Return the settings of its calls, with the agent's for all that is not set here."""
        keys = AgentConfig.model_fields.keys() & type(self).model_fields.keys()
        own = {key: value for key in keys if (value := getattr(self, key)) is not None}
        called = agent.model_copy(update=own | {"backend": "openai", "max_cost_usd": None})
        update: dict[str, Any] = {}
        if (called.model, called.base_url) != (agent.model, agent.base_url):
            update = {"fallback_models": []} | ({} if self.prices else {"prices": None})
        if called.base_url != agent.base_url:
            update |= {"api": "chat", "effort": None, "extra": None}
        return called.model_copy(update=update)


def is_web_address(text: str) -> bool:
    """Is this an address with scheme, host and a port that can be?"""
    try:
        parts = urllib.parse.urlsplit(text)
        port_is_fine = parts.port is None or parts.port > 0
    except ValueError:
        return False
    is_plain = text.isprintable() and " " not in text
    return is_plain and port_is_fine and parts.scheme in {"http", "https"} and bool(parts.hostname)
