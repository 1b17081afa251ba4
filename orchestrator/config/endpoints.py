"""The sections that say which model is called, where, and with what: `agent` and `review`."""

import re
import urllib.parse
from typing import Annotated, Literal

from pydantic import AfterValidator, Field, field_validator

from orchestrator.config.section import Positive, Section, TimeoutSeconds
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


class AgentConfig(Section):
    """The agent that proposes experiments."""

    backend: Literal["auto", "openai", "optuna", "scripted"] = "auto"
    model: ModelName | None = None
    base_url: Address | None = None
    api_key_env: VariableName = "OPENAI_API_KEY"
    timeout_s: TimeoutSeconds = 300.0
    max_repairs: Annotated[int, Field(ge=0, le=2)] = 2
    context_tokens: ContextTokens = 64_000
    lessons_every: Positive | None = 10
    """Experiments after which the agent is asked to write down its lessons anew; None: never."""
    max_output_tokens: Positive | None = None
    temperature: Temperature | None = None
    prices: Prices | None = None
    scripted_dir: str | None = None


class ReviewConfig(Section):
    """The reviewer: a second opinion on what would become the incumbent.

    What is None is as in `agent`, but for the prices of another model, which are then unknown.
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
        called = agent.model_copy(update=own | {"backend": "openai"})
        is_another = (called.model, called.base_url) != (agent.model, agent.base_url)
        return called.model_copy(update={"prices": None} if is_another and not self.prices else {})


def is_web_address(text: str) -> bool:
    """Is this an address with scheme, host and a port that can be?"""
    try:
        parts = urllib.parse.urlsplit(text)
        port_is_fine = parts.port is None or parts.port > 0
    except ValueError:
        return False
    is_plain = text.isprintable() and " " not in text
    return is_plain and port_is_fine and parts.scheme in {"http", "https"} and bool(parts.hostname)
