"""Agents, environments, trainers and what wires them together; names are looked up on first use."""

from simverse.lookup import looked_up

_HOME = {
    "SimAgent": "simverse.core.agent",
    "SimEnv": "simverse.core.env",
    "Simulator": "simverse.core.simulator",
    "Trainer": "simverse.core.trainer",
}

__all__ = sorted(_HOME)  # noqa: PLE0605 - the table above is the list

__getattr__ = looked_up(__name__, _HOME)
