"""The command line in the test's own process, and a workspace whose run has ended."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest

from orchestrator.cli.main import main
from orchestrator.core.experiments import Experiment, Seconds, StopKind, StopReason
from orchestrator.core.records import Files, Rung, Status, Tokens
from orchestrator.store.ledger import Ledger
from orchestrator.store.runs import Run
from orchestrator.store.workspace import Workspace
from tests.conftest import DATA


@dataclass(frozen=True)
class Done:
    """What a command left behind."""

    code: int
    stdout: str
    stderr: str

    def refuses(self, says: str) -> None:
        """Check that it failed as a user's error should: exit 2, one clear line."""
        assert self.code == 2, self.stderr
        assert says in self.stderr
        assert len(self.stderr.splitlines()) == 1


Call = Callable[..., Done]


@pytest.fixture
def call(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Call:
    """Call `autorl-daemon` in this process: a traceback is the test's."""

    def call(*arguments: str, cwd: Path, **environment: str) -> Done:
        monkeypatch.chdir(cwd)
        for name, value in environment.items():
            monkeypatch.setenv(name, value)
        capsys.readouterr()
        try:
            code = main(arguments)
        except SystemExit as error:  # argparse
            code = int(error.code or 0)
        return Done(code, *capsys.readouterr())

    return call


@pytest.fixture
def ended(stubbed: Workspace) -> Workspace:
    """A workspace whose ledger holds a run: baseline, keep, discard, crash, and a stranger's rows."""
    stubbed.state.mkdir(exist_ok=True)
    rows = [
        (Status.BASELINE, 0.1, "as it stands"),
        (Status.KEEP, 0.4, "raise [bold]the rate"),
        (Status.DISCARD, 0.3, "lower it"),
        (Status.CRASH, None, "divide by zero"),
    ]
    with Ledger(stubbed.ledger) as ledger:
        ledger.create_run(Run("t", "p" * 40, {}, "2026-11-22T00:00:00Z"))
        for status, score, description in rows:
            baseline = status is Status.BASELINE
            parent = ("p" if baseline else "1") * 40
            n = ledger.begin(
                "t", is_baseline=baseline, rung=Rung(12, 8), agent="a", parent=parent, when="now"
            )
            experiment = Experiment(
                n=n, tag="t", is_baseline=baseline, status=status, rung=Rung(12, 8), agent="a",
                description=description, parent=parent,
                commit=str(n) * 40, score=score,
                scores_by_seed={} if score is None else {101: score}, max_steps=20,
                reason="why not", details="Traceback \x1b[31mred" if score is None else "",
                seconds=Seconds(1, 2, 0.01), tokens=Tokens(10, None, 5, None),
                created_at="2026-11-22T00:00:00Z",
            )  # fmt: skip
            ledger.finish(experiment, Files(f"env = {n}\n", f"train = {n}\n"), f"fp{n}")
        stop = StopReason(StopKind.LIMIT, "limits.experiments reached (3 of 3)")
        ledger.set_stop_reason("t", stop)
    (stubbed.root / "results.tsv").write_bytes((DATA / "autorl-mar11-results.tsv").read_bytes())
    return stubbed


@pytest.fixture
def flagged(ended: Workspace) -> Workspace:
    """The run, its incumbent flagged, and a last experiment that was vetoed."""
    with Ledger(ended.ledger) as ledger:
        for status, score, flags in [
            (Status.KEEP, 0.5, ("identical starts: no seed matters",)),
            (Status.REJECTED, None, ("nondeterministic: at step 3", "score 0.9000 (not counted)")),
        ]:
            n = ledger.begin(
                "t", is_baseline=False, rung=Rung(12, 8), agent="a", parent="2" * 40, when="now"
            )
            experiment = Experiment(
                n=n, tag="t", is_baseline=False, status=status, rung=Rung(12, 8), agent="a",
                description="pay more", commit=str(n) * 40, score=score, flags=flags,
                reason="why not",
            )  # fmt: skip
            ledger.finish(experiment, Files(f"env = {n}\n", f"train = {n}\n"), f"fp{n}")
    return ended
