"""The logging hooks, with the real packages and without a network."""

import subprocess
import sys
import time

import pytest

from simverse.training.loggers import MissingExtraError, TensorBoardLogger, WandbLogger, scalars
from simverse.training.stats import EpisodeStats


def episode(number):
    """Return the record of an episode."""
    return EpisodeStats(
        episode=number,
        mean_return=1.5 * number,
        solve_rate=0.25,
        mean_length=20.0,
        env_steps=640,
        updates=8,
        seconds=0.5,
        policy_loss=-0.01,
        value_loss=0.2,
        entropy=1.3,
        approx_kl=0.005,
    )


def test_tensorboard_gets_every_episode(tmp_path):
    """TensorBoard's own reader finds the numbers, over environment steps."""
    pytest.importorskip("tensorboard", reason="the extra `tensorboard` is not installed")
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    with TensorBoardLogger(tmp_path / "runs") as log:
        for number in range(3):
            log(episode(number))
    events = EventAccumulator(str(tmp_path / "runs"))
    events.Reload()
    assert set(events.Tags()["scalars"]) == set(scalars(episode(0)))
    returns = events.Scalars("rollout/mean_return")
    assert [(event.step, event.value) for event in returns] == [(640, 0.0), (1280, 1.5), (1920, 3)]
    assert events.Scalars("time/steps_per_s")[0].value == 1280.0


@pytest.mark.system
def test_wandb_writes_an_offline_run(tmp_path, monkeypatch):
    """W&B, offline, leaves a run with the episodes and the configuration in its folder."""
    pytest.importorskip("wandb", reason="the extra `wandb` is not installed")
    for name in ("WANDB_DIR", "WANDB_CACHE_DIR", "WANDB_CONFIG_DIR", "WANDB_DATA_DIR"):
        monkeypatch.setenv(name, str(tmp_path))
    monkeypatch.setenv("WANDB_SILENT", "true")
    with WandbLogger(
        project="simverse", name="test", config={"lr": 0.5}, mode="offline", folder=tmp_path
    ) as log:
        for number in range(3):
            log(episode(number))
    (run,) = (tmp_path / "wandb").glob("offline-run-*")
    (written,) = run.glob("*.wandb")
    expected = (b"rollout/mean_return", b"loss/approx_kl", b"env_steps", b"lr")
    deadline_s = time.monotonic() + 30  # W&B's own process writes the file
    while not all(name in written.read_bytes() for name in expected):
        assert time.monotonic() < deadline_s
        time.sleep(0.05)


@pytest.mark.parametrize(
    ("extra", "make"),
    [
        ("tensorboard", TensorBoardLogger),
        ("wandb", lambda folder: WandbLogger(project="p", name="n", config={}, mode="offline")),
    ],
)
def test_a_missing_extra_is_named(extra, make, tmp_path, monkeypatch):
    """Without the package, one line says what to install."""
    monkeypatch.setitem(sys.modules, extra, None)  # what Python itself does for a banned import
    with pytest.raises(MissingExtraError, match=rf"pip install 'autorl-daemon\[{extra}\]'"):
        make(tmp_path)


@pytest.mark.system
def test_extras_are_imported_when_used():
    """Importing the loggers, or the command line, loads neither package, nor rich, nor torch."""
    code = (
        "import sys, simverse.cli\n"
        "assert 'torch' not in sys.modules\n"
        "import simverse.training.loggers\n"
        "print(sorted({'tensorboard', 'wandb', 'rich'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.stdout.strip() == "[]", done.stderr
