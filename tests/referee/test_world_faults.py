"""What is wrong with the user's own world is never taken for the candidate's failure."""

import re
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest

from framework import CandidateError, Referee, WorldError, read_world
from referee.messages import WorldJob
from referee.world import WorldEnvironment
from sandbox import Channel
from tests.candidates import OBSERVING, TRAIN, WORLD

from .conftest import evaluate


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A candidate for the tiny world."""
    folder = tmp_path / "candidate"
    folder.mkdir()
    (folder / "env.py").write_text(OBSERVING)
    (folder / "train.py").write_text(TRAIN)
    return folder


def changed(old: str, new: str) -> dict[str, str]:
    assert old in WORLD
    return {"world.py": WORLD.replace(old, new)}


def fault(referee: Referee, folder: Path, world: dict[str, str], **more: object) -> str:
    with pytest.raises(WorldError) as caught:
        evaluate(referee, folder, world=world, **more)
    text = str(caught.value)
    assert len(text.splitlines()) == 1
    return text


def test_a_sound_world_is_scored_by_its_own_reward(referee: Referee, folder: Path) -> None:
    """The tiny task is learnt, and the same as ever on a second time."""
    results = [evaluate(referee, folder, world={"world.py": WORLD}) for _ in range(2)]
    assert [result.score for result in results] == [2.5, 2.5]
    assert results[0].view.startswith("noise float32 [2]")


@pytest.mark.parametrize(
    ("old", "new", "says"),
    [
        ("PAY = 0.5", "PAY = (", r"^task/world.py.*'\(' was never closed"),
        ("def create_world", "def make_world", r"^task/world.py lacks create_world\(\)"),
        ("import torch\n", "import torch\nimport candidate.env\n", "^task/world.py imports the candidate"),
        ("        self.steps = 0", "        raise KeyError('map')", "task/world.py line 21: .*map"),
        ("        self.steps += 1", "        self.steps += 1\n        1 / (4 - self.steps)",
         "task/world.py line 26: .*division by zero"),
        ("reward = PAY *", "reward = float('nan') *", "reward is not finite"),
        ("self.max_steps = END", "self.max_steps, self.reward_bound = END, 0.1",
         r"0\.5 exceeds its own reward_bound of 0\.1"),
        ("self.max_steps = END", "self.max_steps = 0", "max_steps"),
        ("self.max_steps = END", "self.max_steps = END + int(config.seed) % 1000",
         "max_steps differs between seeds"),
        ("Discrete(2)", "Discrete(2 + int(config.seed) % 1000)",
         "num_actions differs between seeds"),
        ("        self.steps += 1", "        import os\n        os._exit(3)",
         r"the process that plays it died \(exit code 3"),
        ("        self.steps += 1", "        self.steps += 1\n        bytearray(10**12)",
         "MemoryError"),
        ('{"success": (actions == 1) & done}', '{"success": 1}', "success"),
    ],
)  # fmt: skip
def test_its_fault_is_one_line_that_names_it(
    referee: Referee, folder: Path, old: str, new: str, says: str
) -> None:
    """However it breaks, before any of the candidate's code has run."""
    (folder / "env.py").write_text("raise SystemExit('the candidate ran')\n")
    found = fault(referee, folder, changed(old, new))
    assert "task/world.py" in found
    assert re.search(says, found), found


def test_what_dies_says_its_last_words(referee: Referee, folder: Path) -> None:
    """A library that aborts prints why."""
    code = """import os, sys
        print("assertion failed: map", file=sys.stderr, flush=True)
        os.abort()"""
    found = fault(referee, folder, changed("self.steps += 1", code))
    assert "SIGABRT" in found
    assert "assertion failed: map" in found


def test_it_may_fail_only_once_a_policy_plays(referee: Referee, folder: Path) -> None:
    """By an action that no random play takes five times running: in evaluation it is the world's."""
    code = """self.steps += 1
        self.streak = self.streak * (actions == 1) + (actions == 1) if self.steps > 1 else (
            actions == 1).long()
        import sys
        if "candidate.train" not in sys.modules and bool((self.streak >= 5).all()):
            raise RuntimeError("all of them went on")"""
    assert "all of them went on" in fault(referee, folder, changed("self.steps += 1", code))


def test_another_horizon_than_the_configured_one_is_named(referee: Referee, folder: Path) -> None:
    """`task.max_steps` is the open mode's."""
    found = fault(referee, folder, {"world.py": WORLD}, max_steps=9)
    assert "a horizon of 5 steps, and task.max_steps says 9: leave task.max_steps out" in found


def test_the_candidates_faults_stay_its_own(referee: Referee, folder: Path) -> None:
    """And nothing that the world printed is among their details: its author reads them."""
    code = "        print('the goal is at 3')\n        self.steps = 0"
    world = changed("        self.steps = 0", code)
    (folder / "env.py").write_text(OBSERVING.replace('["noise"]', '["no such"]'))
    with pytest.raises(CandidateError) as caught:
        evaluate(referee, folder, world=world)
    assert caught.value.kind == "crash"
    (folder / "env.py").write_text("import os\nos._exit(4)\n")
    with pytest.raises(CandidateError) as caught:
        evaluate(referee, folder, world=world)
    assert caught.value.kind == "crash"
    assert "goal" not in caught.value.details + caught.value.reason


@pytest.fixture
def channel() -> Iterator[Channel]:
    """The channel of a worker that never answers."""
    ours, theirs = socket.socketpair()
    yield Channel(ours)
    ours.close()
    theirs.close()


def test_a_world_that_hangs_is_named(channel: Channel) -> None:
    """Long before the evaluation's time is up, which would be the candidate's timeout."""
    job = WorldJob(files={}, torch_seed=1, num_envs=2, max_steps=3, device="cpu")
    world = WorldEnvironment(channel, job, limit_s=0.01)
    with pytest.raises(WorldError, match=r"create_world\(\) and reset\(\) did not return within"):
        world.create(1, 1, 1)


def test_files_of_a_world_that_can_not_be_read(tmp_path: Path) -> None:
    """What is there and is no world is not taken for none."""
    task = tmp_path / "task"
    assert read_world(task) is None
    (task / "world.py").mkdir(parents=True)
    with pytest.raises(WorldError, match=r"task/world\.py is no regular file"):
        read_world(task)
    (task / "world.py").rmdir()
    (task / "world.py").write_bytes(b"\xff")
    with pytest.raises(WorldError, match=r"task/world\.py can't be read: .*utf-8"):
        read_world(task)
    (task / "world.py").write_text("#" * 1_000_001)
    with pytest.raises(WorldError, match="over 1,000,000 characters"):
        read_world(task)
