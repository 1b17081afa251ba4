"""GPUs and forked workers: a process that has touched CUDA can't be forked from.

Torch looks for GPUs wherever an optimiser makes its first step, so that even workers that train on
the CPU would fail on a machine with a GPU. The server therefore sees none; a worker whose device
is one sees them again.
"""

import os

_VISIBLE = "CUDA_VISIBLE_DEVICES"
_was_visible: str | None = None


def hide_gpus() -> None:
    """Let this process see no GPU; call it before torch looks for one."""
    global _was_visible  # noqa: PLW0603 - a process has one environment
    _was_visible = os.environ.get(_VISIBLE)
    os.environ[_VISIBLE] = ""
    # Else torch counts GPUs by initialising CUDA, which no fork survives, found or not.
    os.environ["PYTORCH_NVML_BASED_CUDA_CHECK"] = "1"


def show_gpus(device: str) -> None:
    """Undo `hide_gpus` in a worker whose device is a GPU."""
    if not device.startswith("cuda"):
        return
    if _was_visible is None:
        os.environ.pop(_VISIBLE, None)
    else:
        os.environ[_VISIBLE] = _was_visible
