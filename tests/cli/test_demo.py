"""What a demo shows, of a run that has ended."""

import io

from rich.console import Console

from orchestrator.cli.demo import demo_folder, summary, watch
from orchestrator.store.workspace import Workspace


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


def test_the_summary_says_what_came_of_it(ended: Workspace) -> None:
    """From where to where, what was kept, and how to go on."""
    text = "\n".join(summary(ended, ended.logs / "plot.png"))
    assert "stopped: limits.experiments reached (3 of 3)" in text
    assert "budget 12/8: baseline 0.1000, best 0.4000" in text
    assert "kept 1 of 3 experiments (baselines not counted):\n  #2 raise [bold]the rate" in text
    assert f"cd {ended.root} and try `autorl-daemon results`" in text


def test_a_demo_gets_a_folder_of_its_own() -> None:
    """One that is not there yet."""
    first = demo_folder("keydoor")
    assert first.name == "autorl-demo-keydoor" or first.name.startswith("autorl-demo-keydoor-")
    assert not first.exists()
