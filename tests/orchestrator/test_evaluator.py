"""The evaluator's adapter, with a real child process that obeys constants instead of training."""

import os
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest

from orchestrator.config import Config
from orchestrator.errors import EvaluatorError, StopRequestedError, UserError
from orchestrator.evaluator import FrameworkEvaluator, check_framework
from orchestrator.records import Evaluation, Files, Measurement, Rung, Status
from orchestrator.workspace import Workspace
from sandbox import Tier
from tests.conftest import REPOSITORY
from tests.fakes import QuietHost

RUNG = Rung(12, 8)


class Adapter:
    """The adapter over a stub, and the events it reported."""

    def __init__(self, workspace: Workspace, **evaluator: Any) -> None:
        self.root = workspace.root
        self.host = QuietHost()
        self.events: list[Any] = []
        self.what = Measurement(RUNG, (101, 138))
        self.enough = 0
        """Seeds after which it is enough; 0 for never."""
        config = Config.model_validate({"evaluator": evaluator})
        self.adapter = FrameworkEvaluator(
            workspace.root,
            config,
            key=b"k" * 32,
            scratch=workspace.state / "work",
            tier=Tier.OFF,  # the stub runs no candidate
        )

    def evaluate(self, train: str) -> Evaluation:
        files = Files("", train)
        return self.adapter.evaluate(files, self.what, "1", self.host, self.watch)

    def watch(self, event: Mapping[str, Any]) -> bool:
        self.events.append(event)
        return len(event.get("returns", ())) != self.enough


def test_seeds_are_followed_until_it_is_enough(adapter: Adapter) -> None:
    """Each seed is shown in order; after a no the report has those that were used, and no more."""
    adapter.what = Measurement(RUNG, (101, 138), more_seeds=(7, 8, 9), follow=True)
    adapter.enough = 3
    evaluation = adapter.evaluate("SCORE = 0.25\n")
    shown = [event["seed"] for event in adapter.events if event["event"] == "seed"]
    assert shown == [101, 138, 7]
    assert [seed.seed for seed in evaluation.evidence] == shown
    assert evaluation.scores_by_seed == {101: 0.25, 138: 0.25}
    assert adapter.evaluate("SCORE = 1.0\n").score == 1.0  # it is ready for the next one


@pytest.fixture
def adapter(stubbed: Workspace) -> Iterator[Adapter]:
    adapter = Adapter(stubbed, timeout_s=1.0)
    yield adapter
    adapter.adapter.close()


def test_a_score_comes_back_with_its_seeds_and_progress(adapter: Adapter) -> None:
    """The report's score, seeds, horizon and metrics arrive; each training episode is an event."""
    evaluation = adapter.evaluate("SCORE = 0.25\n")
    assert (evaluation.status, evaluation.score) == (None, 0.25)
    assert evaluation.scores_by_seed == {101: 0.25, 138: 0.25}
    assert evaluation.max_steps == 20
    assert evaluation.metrics["mean_solve_rate"] == 0.5
    assert [e["event"] for e in adapter.events if e["event"] == "episode"] == ["episode"] * 2


@pytest.mark.parametrize("kind", ["crash", "invalid", "rejected"])
def test_a_failure_is_an_evaluation_without_a_score(adapter: Adapter, kind: str) -> None:
    """The candidate's failures come back as statuses with reason and details."""
    evaluation = adapter.evaluate(f'DO = "{kind}"\n')
    assert (evaluation.status, evaluation.score) == (Status(kind), None)
    assert evaluation.reason == f"told to {kind}"
    assert evaluation.details == "Traceback"


def test_a_hang_is_killed_by_the_clock_and_the_next_one_runs(adapter: Adapter) -> None:
    """After `evaluator.timeout_s` the child is gone, and a fresh one serves the next candidate."""
    started = time.monotonic()
    evaluation = adapter.evaluate('DO = "hang"\n')
    assert evaluation.status is Status.TIMEOUT
    assert "evaluator.timeout_s" in evaluation.reason
    assert time.monotonic() - started < 10
    assert adapter.evaluate("SCORE = 1.0\n").score == 1.0


def test_a_candidate_with_which_every_evaluator_dies_crashed(adapter: Adapter) -> None:
    """Three deaths are forgiven (memory may have been short); the fourth is the candidate's crash."""
    (adapter.root.parent / "evaluations.log").touch()
    evaluation = adapter.evaluate('DO = "die"\n')
    assert evaluation.status is Status.CRASH
    assert "died 4 times" in evaluation.reason
    assert "exit code 9" in evaluation.reason
    assert len((adapter.root.parent / "evaluations.log").read_text().splitlines()) == 4
    assert adapter.evaluate("SCORE = 1.0\n").score == 1.0


def test_an_evaluator_that_can_not_start_is_its_own_error(stubbed: Workspace) -> None:
    """No candidate is blamed for an evaluator that never came up."""
    (stubbed.root / "framework.py").write_text("EVALUATOR_PROTOCOL = 3\nraise SystemExit(3)\n")
    adapter = Adapter(stubbed)
    with pytest.raises(EvaluatorError, match="exit code 3"):
        adapter.evaluate("SCORE = 1.0\n")


def test_an_evaluator_killed_before_its_first_request_is_followed_by_a_fresh_one(
    adapter: Adapter,
) -> None:
    """It had come up, with nobody listening yet: its file is not to blame."""
    adapter.adapter.warm_up()
    child = adapter.adapter._child
    assert child is not None
    assert child._pipes.select(10)  # it is up
    child._process.kill()
    child._process.wait()
    assert adapter.evaluate("SCORE = 1.0\n").score == 1.0


def test_an_evaluator_that_changes_is_not_used(adapter: Adapter) -> None:
    """Scores before and after a change of the file can't be compared: the run must stop for it."""
    adapter.evaluate("SCORE = 1.0\n")
    file = adapter.root / "framework.py"
    file.write_text(file.read_text() + "# changed\n")
    with pytest.raises(EvaluatorError, match="has changed since this run began"):
        adapter.evaluate("SCORE = 1.0\n")


def test_what_lies_beside_the_evaluator_is_not_imported(stubbed: Workspace) -> None:
    """A json.py in the workspace takes nobody's place."""
    (stubbed.root / "json.py").write_text("raise SystemExit(5)\n")
    adapter = Adapter(stubbed)
    try:
        assert adapter.evaluate("SCORE = 1.0\n").score == 1.0
    finally:
        adapter.adapter.close()


def test_an_end_at_once_leaves_no_child(adapter: Adapter) -> None:
    """When the run is told to end, the evaluator's processes are gone before it does."""

    class Ending(QuietHost):
        def wait(self, reason: str, seconds: float) -> None:
            raise StopRequestedError("now")

    adapter.host = Ending()
    with pytest.raises(StopRequestedError):
        adapter.evaluate('DO = "hang"\n')
    children = Path(f"/proc/self/task/{os.getpid()}/children")
    if children.exists():
        commands = [
            Path(f"/proc/{pid}/cmdline").read_bytes() for pid in children.read_text().split()
        ]
        assert not [command for command in commands if b"framework.py" in command]


def test_the_child_sees_no_key_of_the_daemons(
    stubbed: Workspace, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The evaluator's environment holds no API key."""
    monkeypatch.setenv("OPENAI_API_KEY", "secret")
    framework = stubbed.root / "framework.py"
    framework.write_text(
        framework.read_text().replace('"flags": []', '"flags": sorted(os.environ)')
    )
    adapter = Adapter(stubbed)
    try:
        assert "OPENAI_API_KEY" not in adapter.evaluate("SCORE = 1.0\n").flags
    finally:
        adapter.adapter.close()


def test_the_scratch_folder_is_cleared(adapter: Adapter) -> None:
    """Nothing of a candidate is left behind in the daemon's folder."""
    adapter.evaluate("SCORE = 1.0\n")
    assert list((adapter.root / ".autorl" / "work").iterdir()) == []


def test_another_evaluator_is_refused_unrun(tmp_path: Path) -> None:
    """A framework.py without our protocol is named, with the cure, and never executed."""
    file = tmp_path / "framework.py"
    with pytest.raises(UserError, match="missing"):
        check_framework(file)
    file.write_text("raise SystemExit('run!')\n")
    with pytest.raises(UserError, match="no EVALUATOR_PROTOCOL"):
        check_framework(file)
    file.write_text("EVALUATOR_PROTOCOL = 999\n")
    with pytest.raises(UserError, match="protocol 999"):
        check_framework(file)


@pytest.mark.parametrize("name", ["framework.py", "train.py"])
def test_a_changed_evaluator_is_noticed_before_each_evaluation(adapter: Adapter, name: str) -> None:
    """Whatever scores depend on is hashed again; a change is named and nothing is evaluated."""
    assert adapter.evaluate("SCORE = 1.0").score == 1.0
    with (adapter.root / name).open("a") as file:
        file.write("# a change\n")
    with pytest.raises(EvaluatorError, match=f"{name} has changed since this run began"):
        adapter.evaluate("SCORE = 1.0")


@pytest.mark.parametrize("package", ["referee", "simverse", "sandbox"])
def test_a_changed_library_is_noticed_too(tmp_path: Path, package: str) -> None:
    """The installed packages that scores depend on are hashed with the evaluator."""
    for name in ("orchestrator", "referee", "simverse", "sandbox"):
        shutil.copytree(REPOSITORY / name, tmp_path / name)
    code = (
        "import pathlib, sys; from orchestrator.evaluator import hashes\n"
        "file = pathlib.Path('framework.py'); before = hashes(file)\n"
        f"with open('{package}/__init__.py', 'a') as module: module.write('# a change')\n"
        "print([name for name, value in hashes(file).items() if before[name] != value])"
    )
    done = subprocess.run(
        [sys.executable, "-c", code],
        cwd=tmp_path,
        env=os.environ | {"PYTHONPATH": str(tmp_path)},
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout.strip() == f"['{package}']"
