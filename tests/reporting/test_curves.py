"""A run as curves: what is drawn, and that TensorBoard and W&B read it."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from orchestrator.reporting.curves import curve_points
from orchestrator.reporting.run_view import read_run
from orchestrator.store.ledger import Ledger
from orchestrator.store.workspace import Workspace
from tests.cli.conftest import Call, call, ended  # noqa: F401 - fixtures


def drawn(folder: Path) -> dict[str, list[tuple[int, float]]]:
    """Return the curves that TensorBoard reads from a folder."""
    loader = pytest.importorskip("tensorboard.backend.event_processing.event_accumulator")
    found = loader.EventAccumulator(str(folder))
    found.Reload()
    return {
        tag: [(event.step, event.value) for event in found.Scalars(tag)]
        for tag in found.Tags()["scalars"]
    }


def test_there_is_a_point_for_each_ending(ended: Workspace) -> None:  # noqa: F811
    """Returns, what was published and led by then, and what was used so far."""
    with Ledger(ended.ledger) as ledger:
        points = list(curve_points(read_run(ended, ledger)))
    assert [point.n for point in points] == [1, 2, 3, 4]
    assert [point.values.get("return/experiment") for point in points] == [0.1, 0.4, 0.3, None]
    assert [point.values["return/published"] for point in points] == [0.1, 0.4, 0.4, 0.4]
    assert [point.values["count/failed"] for point in points] == [0, 0, 0, 1]
    used = [point.values["used/evaluator_seconds"] for point in points]
    assert used == sorted(used)


def test_tensorboard_reads_the_curves_once(ended: Workspace, call: Call) -> None:  # noqa: F811
    """A second call writes them anew; what else is in the folder stays."""
    folder = ended.root / "tb"
    for _ in range(2):
        done = call("track", "--tensorboard", str(folder), cwd=ended.root)
        assert (done.code, done.stdout) == (0, "4 experiments of t drawn\n"), done.stderr
        (folder / "t" / "mine.txt").write_text("mine")
    curves = drawn(folder / "t")
    assert curves["return/published"] == [
        (1, pytest.approx(0.1)), (2, pytest.approx(0.4)), (3, pytest.approx(0.4)), (4, pytest.approx(0.4)),
    ]  # fmt: skip
    assert len(curves["return/experiment"]) == 3
    assert (folder / "t" / "mine.txt").read_text() == "mine"


def test_it_follows_a_run_until_it_stops(ended: Workspace, call: Call) -> None:  # noqa: F811
    """Without a daemon there is nothing to wait for."""
    done = call("track", "--follow", "--tensorboard", "tb", cwd=ended.root)
    assert done.code == 0


def test_wandb_takes_them_offline(ended: Workspace) -> None:  # noqa: F811
    """Into its own folder below logs/."""
    pytest.importorskip("wandb")
    ended.logs.mkdir(exist_ok=True)
    offline = {"WANDB_MODE": "offline", "WANDB_SILENT": "true"}
    done = subprocess.run(  # W&B reads its settings once in a process
        [sys.executable, "-m", "orchestrator", "track", "--wandb", "mine"],
        cwd=ended.root, env=os.environ | offline, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert list((ended.logs / "wandb").glob("offline-run-*/*.wandb"))


def test_it_must_be_told_where(ended: Workspace, call: Call) -> None:  # noqa: F811
    """In one line."""
    call("track", cwd=ended.root).refuses("--tensorboard DIR, --wandb PROJECT, or both")
    (ended.root / "file").write_text("")
    call("track", "--tensorboard", "file", cwd=ended.root).refuses("cannot write to file/t")
