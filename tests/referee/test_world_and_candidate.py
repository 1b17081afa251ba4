"""Whose fault it is where a world and a candidate are two: neither is told what is the other's."""

from pathlib import Path

import pytest

from framework import CandidateError, Referee, WorldError
from tests.attacks.worlds_template import ENV, TASK, TRAIN

from .conftest import evaluate


def _write(
    folder: Path, *, train: tuple[str, str] = ("", ""), env: tuple[str, str] = ("", "")
) -> Path:
    folder.mkdir()
    (folder / "env.py").write_text(ENV.replace(*env) if env[0] else ENV)
    (folder / "train.py").write_text(TRAIN.replace(*train) if train[0] else TRAIN)
    return folder


def _world(*change: str) -> dict[str, str]:
    return {"world.py": TASK.replace(*change)}  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("place", "code"),
    [
        ("#prelude#", "import os; os._exit(3)"),
        ("pass  #draw#", "__import__('os')._exit(3)"),
        ("pass  #step#", "'candidate.train' in __import__('sys').modules or __import__('os')._exit(3)"),
        ("pass  #step#", "'candidate.train' in __import__('sys').modules or __import__('ctypes').string_at(0)"),
    ],
    ids=["import", "reset", "step", "segmentation-fault"],
)  # fmt: skip
def test_a_world_whose_process_dies_is_at_fault(
    tmp_path: Path, referee: Referee, place: str, code: str
) -> None:
    """No candidate's code runs there, before its training or after."""
    with pytest.raises(WorldError, match="the process that plays it died"):
        evaluate(referee, _write(tmp_path / "c"), world=_world(place, code))


def test_what_a_world_prints_is_not_told_of_a_candidate(tmp_path: Path, referee: Referee) -> None:
    """It may be a seed, or what is hidden."""
    loud = _world("pass  #draw#", "print('HIDDEN', self.drawn[:, 2].tolist(), flush=True)")
    wrong = _write(tmp_path / "c", train=('{"lr": 0.05}', '{"max_steps": 9}'))
    with pytest.raises(CandidateError) as caught:
        evaluate(referee, wrong, world=loud)
    assert caught.value.kind == "rejected"
    assert "HIDDEN" not in caught.value.reason + caught.value.details + caught.value.withheld


def test_lack_of_memory_is_said_once(tmp_path: Path, referee: Referee) -> None:
    """Though two workers are in use when the candidate's has too little."""
    greedy = _write(tmp_path / "c", env=("pass  #observe#", "raise MemoryError('no more')"))
    with pytest.raises(CandidateError) as caught:
        evaluate(referee, greedy, world=_world("#prelude#", ""))
    assert caught.value.kind == "crash"
    assert caught.value.reason.count("out of memory") == 1


def test_shaping_in_place_leaves_what_the_world_pays(tmp_path: Path, referee: Referee) -> None:
    """The training's curve is of the world's own reward, whatever a candidate does to its tensor."""
    world = _world("#prelude#", "")
    plain = evaluate(referee, _write(tmp_path / "a"), world=world)
    change = ("    return reward\n", "    return reward.mul_(20)\n")
    shaped = evaluate(referee, _write(tmp_path / "b", env=change), world=world)
    for one, other in zip(plain.seed_results, shaped.seed_results, strict=True):
        assert max(other.train_returns) <= 5.0
        assert other.train_returns[0] == one.train_returns[0]
