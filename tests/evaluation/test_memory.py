"""Memory runs out: for a candidate, and for the real evaluator itself."""

import os
import resource
import signal
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from orchestrator.core.evaluations import (
    EpisodeDone,
    Evaluation,
    EvaluatorWaits,
    Measurement,
    SeedDone,
)
from orchestrator.core.records import Files, Rung, Status
from orchestrator.store.workspace import Workspace
from tests import candidates
from tests.evaluation.conftest import MakeDriver
from tests.evaluation.driver import Driver, HandClock

MIB = 1024 * 1024
LIMIT_MB = 1024
WHAT = Measurement(Rung(2, 2), (101,))


def limit(pid: int, kind: int, value: int) -> tuple[int, int]:
    """Set a limit of a running process; return what it was."""
    usual = resource.prlimit(pid, kind)
    resource.prlimit(pid, kind, (value, usual[1]))
    return usual


def data_mb(pid: int) -> int:
    """Return the private memory that counts towards RLIMIT_DATA."""
    (line,) = [
        line
        for line in Path(f"/proc/{pid}/status").read_text().splitlines()
        if line.startswith("VmData")
    ]
    return int(line.split()[1]) // 1024


class Referee:
    """The real evaluator, its workers unconfined, with candidates of a tiny task."""

    def __init__(self, workspace: Workspace) -> None:
        self.driver = Driver(
            workspace,
            evaluator={"memory_mb": LIMIT_MB, "seed_count": 1, "num_envs": 2, "workers": 1},
            task={"max_steps": 5},
        )

    def begin(self, greed: str = "") -> None:
        """Begin to evaluate a candidate whose policy is greedy when it is built."""
        place = "def build_policy(obs_space, action_space):\n"
        assert place in candidates.TRAIN
        train = candidates.TRAIN.replace(place, f"{place}    {greed or 'pass'}\n")
        self.driver.events.clear()
        self.driver.evaluator.begin("1", Files(candidates.ENV, train), WHAT)

    def evaluate(self, greed: str = "") -> Evaluation:
        """Evaluate such a candidate to the end."""
        self.begin(greed)
        return self.driver.finish()

    @property
    def pid(self) -> int:
        """The evaluator's process."""
        return self.driver.pid()

    @property
    def server(self) -> int:
        """The worker server's process."""
        (pid,) = Path(f"/proc/{self.pid}/task/{self.pid}/children").read_text().split()
        return int(pid)


@pytest.fixture
def referee(starter: Workspace) -> Iterator[Referee]:
    referee = Referee(starter)
    yield referee
    referee.driver.evaluator.close()


@pytest.mark.parametrize(
    "greed",
    [
        "hog = [bytearray(2**26) for _ in range(100)]",
        "hog = torch.zeros(2**30)",
        "import mmap; hog = mmap.mmap(-1, 2**31); [hog.write(bytes(2**20)) for _ in range(2048)]",
    ],
    ids=["bytes", "tensor", "shared"],
)
def test_a_candidate_over_its_memory_crashes_with_a_clear_line(
    referee: Referee, greed: str
) -> None:
    """The line names the limit and its setting; the same evaluator scores the next candidate."""
    good = referee.evaluate().score
    first = referee.pid
    evaluation = referee.evaluate(greed)
    assert evaluation.status is Status.CRASH
    assert "memory_mb" in evaluation.reason
    assert str(LIMIT_MB) in evaluation.reason
    assert good is not None
    assert referee.evaluate().score == good
    assert referee.pid == first


@pytest.mark.parametrize("who", ["pid", "server"])
def test_an_evaluator_out_of_memory_is_followed_by_a_fresh_one(referee: Referee, who: str) -> None:
    """Its own memory ends, or its worker server's: the same candidate gets the score it deserves."""
    good = referee.evaluate().score
    first, starved = referee.pid, getattr(referee, who)
    limit(starved, resource.RLIMIT_DATA, MIB)
    assert referee.evaluate().score == good
    assert [waits.seconds for waits in referee.driver.told(EvaluatorWaits)] == [0]  # at once
    assert referee.driver.seeds_told() == [101]
    assert referee.pid != first
    while referee.driver.evaluator.timeout_s() is not None:
        referee.driver.turn()
    assert not Path(f"/proc/{starved}").exists()


def test_an_evaluator_out_of_memory_amid_a_launch_ends(referee: Referee) -> None:
    """A thread that can't begin would be waited for without end: by its starter, and at the end."""
    good = referee.evaluate().score
    delays_ms = range(6, 36, 6) if os.environ.get("TESTS_LONG") else (12, 24)
    for delay_ms in delays_ms:  # spares are launched behind an evaluation
        time.sleep(delay_ms / 1000)
        first = referee.pid
        limit(first, resource.RLIMIT_DATA, MIB)
        assert referee.evaluate().score == good
        assert referee.pid != first


def test_a_worker_server_that_is_killed_is_not_the_candidates_fault(referee: Referee) -> None:
    """As the kernel's killer would, in the middle of a training: a fresh one scores it."""
    good = referee.evaluate().score
    first = referee.pid
    referee.begin()
    referee.driver.until(EpisodeDone)
    os.kill(referee.server, signal.SIGKILL)
    assert referee.driver.finish().score == good
    assert referee.pid != first


def test_a_seed_is_told_with_the_score_that_it_is_reported_with(referee: Referee) -> None:
    """The real evaluator's lines are read as the stub's are."""
    evaluation = referee.evaluate()
    assert tuple(event.result for event in referee.driver.told(SeedDone)) == evaluation.seeds
    assert len(evaluation.seeds[0].curve) == WHAT.rung.train_episodes
    assert evaluation.max_steps == 5
    assert evaluation.report.steps_per_s is not None


def test_an_evaluator_that_came_up_and_can_not_for_now_is_tried_again(
    make_driver: MakeDriver, stubbed: Workspace
) -> None:
    """There is no memory for a fresh one: nobody is blamed; with memory again it is scored."""
    framework = stubbed.root / "framework.py"
    text = framework.read_text()
    assert "import json\n" in text
    framework.write_text(text.replace("import json\n", "import json\nROOM = bytearray(2**32)\n", 1))
    clock = HandClock()
    driver = make_driver(clock=clock)
    assert driver.evaluate("SCORE = 1.0\n").score == 1.0
    driver.evaluator.close()
    usual = limit(os.getpid(), resource.RLIMIT_DATA, (data_mb(os.getpid()) + 512) * MIB)
    try:
        driver.begin("SCORE = 2.0\n")
        waits = driver.until(EvaluatorWaits)
    finally:
        resource.setrlimit(resource.RLIMIT_DATA, usual)
    assert "MemoryError" in waits.reason
    assert waits.seconds == 1
    clock.now_s += waits.seconds
    driver.events.clear()
    assert driver.finish().score == 2.0
