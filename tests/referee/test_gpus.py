"""A server that has touched CUDA can't be forked from: it must see no GPU, and its workers may."""

import subprocess
import sys

import pytest

_PREPARED = (
    "import os; os.environ.pop('CUDA_VISIBLE_DEVICES', None); {before}"
    "from referee.worker import prepare; from referee.gpus import show_gpus; prepare(); "
    "hidden = os.environ['CUDA_VISIBLE_DEVICES']; show_gpus('{device}'); "
    "print(repr(hidden), repr(os.environ.get('CUDA_VISIBLE_DEVICES')), "
    "os.environ['PYTORCH_NVML_BASED_CUDA_CHECK'])"
)


@pytest.mark.parametrize(
    ("before", "device", "seen"),
    [
        ("", "cpu", "''"),
        ("", "cuda", "None"),
        ("os.environ['CUDA_VISIBLE_DEVICES'] = '1'; ", "cuda", "'1'"),
        ("os.environ['CUDA_VISIBLE_DEVICES'] = '1'; ", "cpu", "''"),
    ],
)
def test_the_server_sees_no_gpu_and_a_worker_for_one_does(
    before: str, device: str, seen: str
) -> None:
    """What the user had made visible is visible again, to a worker whose device is a GPU alone."""
    code = _PREPARED.format(before=before, device=device)
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["''", seen, "1"]
