"""Output of a demo, of a run that has ended."""

import io
import shlex
import sys
from pathlib import Path

import pytest
from rich.console import Console

from orchestrator.cli.demo import command, demo_folder, places, watch
from orchestrator.core.experiments import Experiment
from orchestrator.core.records import Files, Rung, Status
from orchestrator.reporting.chart import draw
from orchestrator.reporting.run_view import read_run
from orchestrator.store.ledger import Ledger
from orchestrator.store.workspace import Workspace

RUNG = Rung(12, 8)


def test_every_experiment_is_one_line(ended: Workspace) -> None:
    """Printed as it is, markup of a description's included; it returns when no daemon runs."""
    output = io.StringIO()
    watch(ended, Console(file=output, width=60))
    lines = output.getvalue().splitlines()
    assert [line.split()[:3] for line in lines] == [
        ["#1", "baseline", "12/8"], ["#2", "keep", "12/8"],
        ["#3", "discard", "12/8"], ["#4", "crash", "12/8"],
    ]  # fmt: skip
    assert lines[1].endswith("0.4000  raise [bold]the rate")


def test_the_last_lines_say_where_everything_is(ended: Workspace) -> None:
    """Branch, chart, log and the next commands."""
    text = "\n".join(places(ended, ended.logs / "plot.png"))
    assert f"branch:    autorl/t in {ended.root}" in text
    assert f"cd {ended.root} and try `{command()} results`" in text


def test_experiments_are_shown_as_they_end(ended: Workspace) -> None:
    """With two in flight the later number may end first: both are printed, the last keep is best."""
    with Ledger(ended.ledger) as ledger:
        slow, quick = (
            ledger.begin("t", is_baseline=False, rung=RUNG, agent="a", parent="2" * 40, when="now")
            for _ in range(2)
        )
        for n, score in ((quick, 0.5), (slow, 0.6)):
            kept = Experiment(
                n=n, tag="t", is_baseline=False, status=Status.KEEP, rung=RUNG, agent="a",
                description="one of two", commit=str(n) * 40, score=score, reason="why not",
            )  # fmt: skip
            ledger.finish(kept, Files(f"env = {n}\n", f"train = {n}\n"), f"fp{n}")
    output = io.StringIO()
    watch(ended, Console(file=output, width=60))
    numbers = [line.split()[0] for line in output.getvalue().splitlines()]
    assert numbers == ["#1", "#2", "#3", "#4", f"#{quick}", f"#{slow}"]
    chart = ended.logs / "plot.png"
    chart.parent.mkdir(exist_ok=True)
    with Ledger(ended.ledger) as ledger:
        view = read_run(ended, ledger)
    assert [step.n for step in view.course.published] == [1, 2, quick, slow]
    draw(view, chart)
    assert chart.stat().st_size > 0


def test_a_demo_gets_a_folder_of_its_own() -> None:
    """One that is not there yet."""
    first = demo_folder("keydoor")
    assert first.name == "autorl-demo-keydoor" or first.name.startswith("autorl-demo-keydoor-")
    assert not first.exists()


def test_the_next_command_is_one_that_the_shell_finds(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """README's first command activates no environment: then the program is named by its path."""
    folder = Path(sys.executable).parent
    monkeypatch.setenv("PATH", str(folder))
    assert command() == "autorl-daemon"
    monkeypatch.setenv("PATH", str(tmp_path))
    assert shlex.split(command()) == [str(folder / "autorl-daemon")]
