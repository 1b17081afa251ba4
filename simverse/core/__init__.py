"""Agents, environments, trainers and what wires them together; names are looked up on first use."""

from importlib import import_module
from typing import Any

_HOME = {
    "SimAgent": "simverse.core.agent",
    "SimEnv": "simverse.core.env",
    "Simulator": "simverse.core.simulator",
    "Trainer": "simverse.core.trainer",
}

__all__ = sorted(_HOME)  # noqa: PLE0605 - the table above is the list


def __getattr__(name: str) -> Any:
    if name not in _HOME:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(_HOME[name]), name)
