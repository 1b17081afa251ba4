"""What one run works with, put together by `daemon/wiring.py`."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from orchestrator.config.schema import Config
from orchestrator.core.records import Files
from orchestrator.engine.ports import (
    Agent,
    Evaluator,
    Monitor,
    NobodyReviews,
    Reload,
    Reviewer,
    no_reload,
)
from orchestrator.store.branch import Branch
from orchestrator.store.ledger import Ledger
from orchestrator.store.runs import Run


@dataclass(frozen=True)
class Dependencies:
    """What one run works with."""

    run: Run
    config: Config
    workspace: Path
    baseline: Files
    """The candidate in the working tree when the run was started."""
    lanes: int
    ledger: Ledger
    branch: Branch
    agent: Agent
    evaluator: Evaluator
    monitor: Monitor
    world: Mapping[str, str] | None = None
    """The modules of the user's own world by file name; None in the open mode."""
    reload: Reload = no_reload
    reviewer: Reviewer = field(default_factory=NobodyReviews)
