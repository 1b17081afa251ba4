"""One line on how candidates are confined: the truth, shown in every status."""

from orchestrator.config import Config
from sandbox import CONFINEMENT


def sandbox_state(config: Config) -> str:
    """Return how candidates are confined under this configuration."""
    if config.sandbox == "off":
        return "off (by config)"
    return f"{CONFINEMENT} only: candidates are not yet confined from files and network"
