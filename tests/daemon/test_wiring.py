"""Which parts a run is made of."""

import contextlib
from collections.abc import Iterator
from pathlib import Path

import pytest

from orchestrator.agents.replaceable import ReplaceableAgent
from orchestrator.config.reloading import RunningConfig
from orchestrator.config.schema import Config
from orchestrator.core.records import Rung
from orchestrator.daemon.start_checks import check_start
from orchestrator.daemon.wiring import lane_count, wire
from orchestrator.engine.dependencies import Dependencies
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


@contextlib.contextmanager
def wired(workspace: Workspace, folder: Path) -> Iterator[Dependencies]:
    """Yield the parts of a run of this workspace."""
    request = check_start(workspace, "t", [])
    with Ledger(folder / "ledger.sqlite") as ledger:
        run = Run("t", request.parent, {}, "now")
        ledger.create_run(run)
        yield wire(
            request, ledger=ledger, run=run, store=GitStore(workspace.root),
            monitor=QuietMonitor(), tier=Tier.OFF,
        )  # fmt: skip


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


@pytest.mark.parametrize(
    ("agents", "count"), [([SEARCH, MODEL], 2), ([SEARCH, SCRIPT], 1), ([MODEL], 2)]
)
def test_one_of_several_that_takes_time_is_enough(
    agents: list[dict[str, object]], count: int
) -> None:
    """For the lane more."""
    assert lane_count(Config.model_validate({"agents": agents})) == count


def test_a_reload_replaces_one_agent_by_several(stubbed: Workspace, tmp_path: Path) -> None:
    """And several by others; a list that can't be used leaves all as it was."""
    stubbed.config.write_text("agent: {backend: optuna}\n")
    with wired(stubbed, tmp_path) as parts:
        names = [parts.agent.name]
        for text in ("agents: [{backend: optuna}, {backend: optuna, name: b}]\n",
                     "agents: [{backend: optuna}, {backend: optuna, name: c}]\nagents_by: gain_per_hour\n",
                     "agents: [{backend: optuna}, {backend: openai}]\n",
                     "agents: []\nagent: {backend: optuna, name: x}\n"):  # fmt: skip
            stubbed.config.write_text(text)
            reloaded = parts.reload(Rung(12, 8))
            names.append(parts.agent.name if reloaded else "refused")
        assert names == ["optuna", "optuna, b", "optuna, c", "refused", "x"]
        parts.agent.close()
        parts.evaluator.close()


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
        assert isinstance(parts.agent, ReplaceableAgent)
        assert parts.agent.name == "optuna"
        assert isinstance(parts.evaluator, LocalEvaluator)
        assert parts.evaluator.free_slots() == parts.lanes == 2
        assert (parts.run, parts.ledger, parts.monitor) == (run, ledger, monitor)
        assert (parts.workspace, parts.baseline) == (stubbed.root, stubbed.candidate())
        parts.agent.close()
        parts.evaluator.close()


def test_a_reload_gives_agent_and_log_their_settings(stubbed: Workspace, tmp_path: Path) -> None:
    """What may change is taken up and recorded; a file that can't be used leaves all as it was."""
    stubbed.config.write_text("agent: {backend: optuna}\nlimits: {hours: 1}\n")
    request = check_start(stubbed, "t", ["limits.experiments=7"])
    logs: list[str] = []
    with Ledger(tmp_path / "ledger.sqlite") as ledger:
        ledger.create_run(Run("t", request.parent, {}, "now"))
        monitor = QuietMonitor()
        parts = wire(
            request, ledger=ledger, run=Run("t", request.parent, {}, "now"), monitor=monitor,
            store=GitStore(stubbed.root), tier=Tier.OFF, log_by=lambda new: logs.append(new.level),
        )  # fmt: skip
        replies = tmp_path / "replies"
        replies.mkdir()
        stubbed.config.write_text(
            f"agent: {{backend: scripted, scripted_dir: {replies}}}\nlimits: {{hours: 2}}\n"
            "logs: {level: debug}\ntask: {max_steps: 9}\n"
        )
        reloaded = parts.reload(Rung(12, 8))
        assert reloaded is not None
        assert (reloaded.config.limits.hours, reloaded.config.limits.experiments) == (2.0, 7)
        assert reloaded.config.task.max_steps is None
        assert (parts.agent.name, logs) == ("scripted", ["debug"])
        _, facts = monitor.events[-1]
        assert facts["needs_new_run"] == ["task.max_steps: null -> 9"]
        for text, why in (("limits: {hours: never}\n", "limits.hours"),
                          ("agent: {backend: openai}\n", "agent.model is missing")):  # fmt: skip
            stubbed.config.write_text(text)
            assert parts.reload(Rung(12, 8)) is None
            event, facts = monitor.events[-1]
            assert event == "reload refused"
            assert why in str(facts["reason"])
            run = ledger.run("t")
            running = RunningConfig.from_json(run and run.config)
            assert running is not None
            assert running.config == reloaded.config
            assert why in str(running.problem)
        assert parts.agent.name == "scripted"


def test_a_reload_changes_the_reviewer(stubbed: Workspace, tmp_path: Path) -> None:
    """With the agent, whose settings it falls back to, or without."""
    stubbed.config.write_text("agent: {backend: optuna}\n")
    with wired(stubbed, tmp_path) as parts:
        names = [parts.reviewer.name]
        agent = "agent: {backend: openai, model: m, base_url: 'http://localhost/v1'}\n"
        for text in (agent, f"{agent}review: {{model: other}}\n",
                     f"{agent}review: {{model: nobody, api_key_env: 'no name'}}\n",
                     f"{agent}review: {{enabled: off}}\n"):  # fmt: skip
            stubbed.config.write_text(text)
            parts.reload(Rung(12, 8))
            names.append(parts.reviewer.name)
        assert names == [None, "openai:m", "openai:other", "openai:other", None]
        parts.agent.close()
        parts.reviewer.close()
