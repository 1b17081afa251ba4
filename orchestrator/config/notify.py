"""The section that says who is told of what happens in a run: `notify`."""

from typing import Annotated, Literal

from pydantic import Field, field_validator

from orchestrator.config.endpoints import is_web_address
from orchestrator.config.section import Section

Notice = Literal["keep", "climbed", "paused", "stopped", "limit_near"]


class NotifyConfig(Section):
    """Whom to tell, and of what; nothing is sent unless one of the three ways is named."""

    events: list[Notice] = Field(default=["keep", "climbed", "paused", "stopped", "limit_near"])
    command: list[str] | None = None
    """A program and its arguments; the message is its standard input."""
    webhook: str | None = None
    """Gets the message as JSON. `$NAME` is the variable of the environment that holds it."""
    urls: list[str] = Field(default=[])
    """Of the `apprise` extra: mail, Slack, Telegram, … `$NAME` likewise."""
    min_interval_s: Annotated[float, Field(ge=0, le=1e6)] = 60.0
    """Least time between two messages of one kind; what comes between is counted in the next."""
    limit_near: Annotated[float, Field(gt=0, lt=1)] = 0.9
    """Share of a limit from which it is near."""

    @field_validator("webhook")
    @classmethod
    def _is_address(cls, value: str | None) -> str | None:
        if value is not None and not value.startswith("$") and not is_web_address(value):
            raise ValueError("must be an address like https://host/path, or $NAME of a variable")
        return value

    @field_validator("command")
    @classmethod
    def _is_call(cls, value: list[str] | None) -> list[str] | None:
        if value is not None and not (value and value[0].strip()):
            raise ValueError("must be a list: the program and its arguments")
        return value

    @property
    def is_on(self) -> bool:
        """Is there a way to tell anybody?"""
        return bool(self.command or self.webhook or self.urls)
