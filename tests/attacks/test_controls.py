"""Honest candidates notice nothing of the confinement: no flag, and the same score to the bit."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from framework import EvaluationRequest, EvaluationResult, Referee
from tests.conftest import REPOSITORY

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
@pytest.mark.parametrize("more", ["", _BUSY], ids=["plain", "busy"])
def test_an_honest_candidate_notices_nothing(
    tmp_path: Path, confined: Referee, unconfined: Referee, example: str, more: str
) -> None:
    """Plain, or with temporary files, threads and 300 MB: no flag, the same returns to the bit."""
    request = EvaluationRequest(
        candidate_dir=candidate(tmp_path / "candidate", example, more), memory_mb=2048
    )
    inside, outside = confined.evaluate(request), unconfined.evaluate(request)
    assert inside.flags == ()
    assert inside.score == outside.score
    assert scores(inside) == scores(outside)
