"""What one run works with."""

from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from orchestrator.config.schema import Config
from orchestrator.core.records import Files, Phase
from orchestrator.engine.ports import Agent, Evaluator, Host
from orchestrator.store.branch import Branch
from orchestrator.store.ledger import Ledger, Run


class Surroundings(Host, Protocol):
    """The host, and how the loop tells it what is going on."""

    def show(self, phase: Phase, **facts: object) -> None:
        """Show what the daemon is doing (`status`)."""

    def log(self, event: str, level: str = "info", **facts: object) -> None:
        """Write one line to the log."""

    def now(self) -> str:
        """Return the time as ISO 8601 in UTC."""


@dataclass(frozen=True)
class Fittings:
    """What one run works with."""

    run: Run
    config: Config
    workspace: Path
    baseline: Files
    ledger: Ledger
    branch: Branch
    agent: Agent
    evaluator: Evaluator
    host: Surroundings
