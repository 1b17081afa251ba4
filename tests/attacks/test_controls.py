"""Honest candidates notice nothing of the confinement: no flag, and the same score to the bit."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from framework import EvaluationRequest, EvaluationResult, Referee
from sandbox import Tier
from sandbox.probe import examine
from tests.conftest import REPOSITORY
from tests.reliability.helpers import lacking

EXAMPLES = ("keydoor", "trading", "squad")

# What an honest candidate may well do: a cache on disk, threads, a large table.
_BUSY = """
import tempfile
import threading
from pathlib import Path


def _work(found):
    with tempfile.NamedTemporaryFile() as file:
        file.write(b"x" * (1 << 20))
        file.flush()
        found.append(len(Path(file.name).read_bytes()))


_FOUND = []
_THREADS = [threading.Thread(target=_work, args=(_FOUND,)) for _ in range(4)]
for _thread in _THREADS:
    _thread.start()
for _thread in _THREADS:
    _thread.join()
assert _FOUND == [1 << 20] * 4
with tempfile.TemporaryDirectory() as _folder:
    Path(_folder, "cache.txt").write_text("kept for a while")
Path("notes.txt").write_text("beside the candidate")
_TABLE = bytearray(300 << 20)
_TABLE[::4096] = b"x" * len(_TABLE[::4096])
"""

# And what takes processes: pools, queues, executors, an event loop, maps and checkpoints.
_PARALLEL = """
import asyncio
import multiprocessing
import shutil
import tempfile
from concurrent.futures import ProcessPoolExecutor, ThreadPoolExecutor

import numpy

_FORK = multiprocessing.get_context("fork")
with _FORK.Pool(2) as _pool:
    assert _pool.map(abs, range(-4, 1)) == [4, 3, 2, 1, 0]
_QUEUE = _FORK.Queue()
_PROCESS = _FORK.Process(target=_QUEUE.put, args=(7,))
_PROCESS.start()
assert _QUEUE.get() == 7
_PROCESS.join()
with ProcessPoolExecutor(2, mp_context=_FORK) as _pool:
    assert list(_pool.map(abs, [-3])) == [3]
with ThreadPoolExecutor(2) as _pool:
    assert list(_pool.map(abs, [-3])) == [3]


async def _later():
    await asyncio.sleep(0)
    return await asyncio.to_thread(abs, -16)


assert asyncio.run(_later()) == 16
_FOLDER = tempfile.mkdtemp()
torch.save({"a": torch.ones(3)}, _FOLDER + "/a")
shutil.copytree(_FOLDER, _FOLDER + "-copy")
shutil.move(_FOLDER + "-copy/a", _FOLDER + "/b")
assert torch.load(_FOLDER + "/b")["a"].sum() == 3
_MAP = numpy.memmap(_FOLDER + "/map", mode="w+", shape=(100,))
_MAP[:] = 1
_MAP.flush()
shutil.rmtree(_FOLDER)
"""


@pytest.fixture(scope="module")
def confined() -> Iterator[Referee]:
    with Referee(sandbox="auto") as referee:
        yield referee


@pytest.fixture(scope="module")
def unconfined() -> Iterator[Referee]:
    with Referee(sandbox="off") as referee:
        yield referee


def candidate(folder: Path, example: str, more: str) -> Path:
    """Write an example's candidate, with more code at the end of its environment."""
    folder.mkdir()
    for name in ("env.py", "train.py"):
        text = (REPOSITORY / "examples" / example / "candidate" / name).read_text()
        (folder / name).write_text(text + (more if name == "env.py" else ""))
    return folder


def scores(result: EvaluationResult) -> list[tuple[float, ...]]:
    return [(*seed.episode_returns, *seed.train_returns) for seed in result.seed_results]


@pytest.mark.parametrize("example", EXAMPLES)
@pytest.mark.parametrize("more", ["", _BUSY, _PARALLEL], ids=["plain", "busy", "parallel"])
def test_an_honest_candidate_notices_nothing(
    tmp_path: Path, confined: Referee, unconfined: Referee, example: str, more: str
) -> None:
    """Plain, or with files, threads, processes and 300 MB: no flag, the same returns to the bit."""
    if more is _PARALLEL and examine().tier is not Tier.NAMESPACES:
        lacking("without namespaces there is no shared memory, and no multiprocessing")
    request = EvaluationRequest(
        candidate_dir=candidate(tmp_path / "candidate", example, more), memory_mb=2048
    )
    inside, outside = confined.evaluate(request), unconfined.evaluate(request)
    assert inside.flags == ()
    assert inside.score == outside.score
    assert scores(inside) == scores(outside)
