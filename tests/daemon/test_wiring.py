"""Which parts a run is made of."""

from pathlib import Path

import pytest

from orchestrator.agents.inline import InlineAgent
from orchestrator.config.schema import Config
from orchestrator.daemon.start_checks import check_start
from orchestrator.daemon.wiring import lane_count, wire
from orchestrator.evaluation.local import LocalEvaluator
from orchestrator.store.git import GitStore
from orchestrator.store.ledger import Ledger
from orchestrator.store.runs import Run
from orchestrator.store.workspace import Workspace
from sandbox import Tier
from tests.fakes import QuietMonitor

MODEL = {"backend": "openai", "model": "m", "base_url": "http://localhost/v1"}
SEARCH = {"backend": "optuna"}
SCRIPT = {"backend": "scripted", "scripted_dir": "replies"}


@pytest.mark.parametrize(
    ("agent", "slots", "lanes", "count"),
    [
        (MODEL, 1, None, 2),
        (MODEL, 3, None, 4),
        (SEARCH, 1, None, 1),
        (SEARCH, 3, None, 3),
        (SCRIPT, 1, None, 1),
        (MODEL, 1, 1, 1),
        (SEARCH, 1, 4, 4),
    ],
)
def test_an_agent_that_takes_time_has_a_lane_more_than_can_be_evaluated(
    agent: dict[str, object], slots: int, lanes: int | None, count: int
) -> None:
    """So that it proposes meanwhile; the search and the script answer at once. The config wins."""
    sections = {"agent": agent, "evaluator": {"slots": slots}, "engine": {"lanes": lanes}}
    assert lane_count(Config.model_validate(sections)) == count


def test_a_checked_start_becomes_the_parts_of_a_run(stubbed: Workspace, tmp_path: Path) -> None:
    """As the configuration says, in the workspace that was checked."""
    settings = ["agent.backend=optuna", "evaluator.slots=2"]
    request = check_start(stubbed, "t", settings)
    with Ledger(tmp_path / "ledger.sqlite") as ledger:
        run = Run("t", request.parent, {}, "now")
        ledger.create_run(run)
        monitor = QuietMonitor()
        parts = wire(
            request, ledger=ledger, run=run, store=GitStore(stubbed.root), monitor=monitor,
            tier=Tier.OFF,
        )  # fmt: skip
        assert isinstance(parts.agent, InlineAgent)
        assert isinstance(parts.evaluator, LocalEvaluator)
        assert parts.evaluator.free_slots() == parts.lanes == 2
        assert (parts.run, parts.ledger, parts.monitor) == (run, ledger, monitor)
        assert (parts.workspace, parts.baseline) == (stubbed.root, stubbed.candidate())
        parts.agent.close()
        parts.evaluator.close()
