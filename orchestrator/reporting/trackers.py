"""Where a run's curves can go: TensorBoard's event files, a run of Weights & Biases.

Both are extras, imported when a tracker is made.
"""

import hashlib
from collections.abc import Mapping
from importlib import import_module
from pathlib import Path
from typing import Any, Protocol

from orchestrator.core.errors import CommandFailedError, UserError
from orchestrator.reporting.curves import CurvePoint

_SUFFIX = ".autorl"
"""Ends the names of our event files: another call writes them anew."""


class Tracker(Protocol):
    """Takes a run's points in the order of endings."""

    def add(self, point: CurvePoint) -> None:
        """Draw a point on every curve that it has a value for."""

    def flush(self) -> None:
        """Show what was drawn so far."""

    def close(self) -> None:
        """Write what is left."""


class TensorBoardTracker:
    """Writes event files; the horizontal axis is the experiment's number.

    TensorBoard's own writer: PyTorch's would load torch.
    """

    def __init__(self, folder: Path) -> None:
        _require("tensorboard")
        writers = import_module("tensorboard.summary.writer.event_file_writer")
        self._event = import_module("tensorboard.compat.proto.event_pb2").Event
        self._summary = import_module("tensorboard.compat.proto.summary_pb2").Summary
        try:
            folder.mkdir(parents=True, exist_ok=True)
            for former in folder.glob(f"events.out.tfevents.*{_SUFFIX}"):
                former.unlink()
            self._writer = writers.EventFileWriter(str(folder), filename_suffix=_SUFFIX)
        except OSError as error:
            raise UserError(f"cannot write to {folder}: {error.strerror}") from None

    def add(self, point: CurvePoint) -> None:
        """Write a point's values."""
        value = self._summary.Value
        values = [value(tag=name, simple_value=number) for name, number in point.values.items()]
        summary = self._summary(value=values)
        self._writer.add_event(self._event(wall_time=point.time_s, step=point.n, summary=summary))

    def flush(self) -> None:
        """Write out what is buffered."""
        self._writer.flush()

    def close(self) -> None:
        """Close the file."""
        self._writer.close()


class WandbTracker:
    """Writes a run of W&B; the horizontal axis is the experiment's number.

    A later call goes on with the same run. `WANDB_MODE=offline` needs no account and no network.
    """

    def __init__(self, project: str, name: str, *, home: Path, config: Mapping[str, Any]) -> None:
        wandb = _require("wandb")
        # The same one for the same run of the same workspace.
        identity = hashlib.sha256(f"{home}\n{name}".encode()).hexdigest()[:16]
        try:
            self._run = wandb.init(
                project=project, name=name, id=identity, resume="allow", config=dict(config),
                dir=str(home / "logs"),
            )  # fmt: skip
        except wandb.Error as error:
            raise CommandFailedError(f"W&B: {error}") from None
        self._run.define_metric("*", step_metric="experiment")

    def add(self, point: CurvePoint) -> None:
        """Write a point's values."""
        if point.ended >= self._run.step:  # an earlier call has sent the others
            self._run.log(point.values | {"experiment": point.n}, step=point.ended)

    def flush(self) -> None:
        """W&B sends by itself."""

    def close(self) -> None:
        """Finish the run."""
        self._run.finish()


def _require(extra: str) -> Any:
    try:
        return import_module(extra)
    except ImportError:
        raise UserError(f"{extra} is not installed: pip install 'autorl-daemon[{extra}]'") from None
