"""Loading a configuration from a text, and what is said of a wrong one."""

from pathlib import Path

import pytest

from orchestrator.config.loading import load_config
from orchestrator.config.schema import Config
from orchestrator.core.errors import UserError


def load(folder: Path, text: str | bytes, *settings: str, **environment: str) -> Config:
    file = folder / "config.yaml"
    file.write_bytes(text.encode() if isinstance(text, str) else text)
    return load_config(file, environment=environment, settings=settings)


def complaints(folder: Path, text: str | bytes, *settings: str, **environment: str) -> list[str]:
    with pytest.raises(UserError) as caught:
        load(folder, text, *settings, **environment)
    return str(caught.value).splitlines()


def value_at(config: Config, dotted: str) -> object:
    value: object = config
    for part in dotted.split("."):
        value = getattr(value, part)
    return value
