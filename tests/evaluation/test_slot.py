"""Evaluators that die, hang, talk nonsense or can't be started; time is moved by hand."""

import json
import os
import resource
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from orchestrator.core.evaluations import (
    CheckpointReached,
    EpisodeDone,
    Evaluation,
    EvaluationEnded,
    EvaluatorEvent,
    EvaluatorFailed,
    EvaluatorWaits,
    Measurement,
    SeedDone,
)
from orchestrator.core.records import Status
from orchestrator.store.workspace import Workspace
from tests.evaluation.conftest import MakeDriver
from tests.evaluation.driver import RUNG, Driver, HandClock

FOLLOWED = Measurement(RUNG, (101, 138), more_seeds=(7, 8, 9))
LIMIT_S = 50.0


@pytest.fixture
def clock() -> HandClock:
    return HandClock()


@pytest.fixture
def driver(make_driver: MakeDriver, clock: HandClock) -> Driver:
    return make_driver(clock=clock, evaluator={"timeout_s": LIMIT_S})


def wait_out(driver: Driver, clock: HandClock, count: int) -> EvaluatorWaits:
    """Move the clock over the count-th pause."""
    waits = driver.until(EvaluatorWaits, count=count)
    assert driver.evaluator.free_slots() == 0
    clock.now_s += waits.seconds
    return waits


# -- death -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("resumes", [True, False])
def test_after_a_death_no_seed_is_told_again(
    make_driver: MakeDriver, clock: HandClock, resumes: bool
) -> None:
    """A fresh evaluator goes on: it resumes told seeds where it can, else it repeats them unseen."""
    driver = make_driver(clock=clock, resumes=resumes)
    log = driver.root.parent / "trained.log"
    log.touch()
    driver.begin('SCORE = 0.5\nTIMES = 1\nDO_AT = [7, "die"]\n', FOLLOWED)
    evaluation = driver.finish(stop_at=8)
    assert driver.seeds_told() == [101, 138, 7, 8]
    assert [seed.seed for seed in evaluation.seeds] == [101, 138, 7, 8]
    repeated = [] if resumes else [101, 138]
    assert [int(line) for line in log.read_text().split()] == [101, 138, *repeated, 7, 8]
    (waits,) = driver.told(EvaluatorWaits)
    assert waits.seconds == 0
    assert "exit code 9" in waits.reason
    assert driver.told(EpisodeDone) == [EpisodeDone(101), EpisodeDone(138)]


def test_a_candidate_with_which_every_evaluator_dies_crashed(
    driver: Driver, clock: HandClock
) -> None:
    """Three deaths are forgiven (memory may have been short); the fourth is the candidate's crash."""
    log = driver.root.parent / "evaluations.log"
    log.touch()
    driver.begin('DO = "die"\n')
    assert wait_out(driver, clock, 1).seconds == 0
    assert wait_out(driver, clock, 2).seconds == 10
    assert wait_out(driver, clock, 3).seconds == 60
    evaluation = driver.until(EvaluationEnded).evaluation
    assert evaluation.status is Status.CRASH
    assert "the evaluator died 4 times with this candidate" in evaluation.reason
    assert "exit code 9" in evaluation.reason
    assert len(log.read_text().splitlines()) == 4
    assert driver.evaluate("SCORE = 1.0\n").score == 1.0


def test_a_fresh_evaluator_is_not_started_before_the_pause_is_over(
    driver: Driver, clock: HandClock
) -> None:
    """The slot stays taken meanwhile, and the engine is told when to look again."""
    driver.begin('DO = "die"\n')
    wait_out(driver, clock, 2)
    clock.now_s -= 0.5
    while driver.evaluator.timeout_s() != pytest.approx(0.5):  # the dead one is reaped first
        driver.turn()
    assert driver.local._slots[0]._child is None
    clock.now_s += 0.5
    driver.turn()
    assert driver.local._slots[0]._child is not None


@pytest.mark.parametrize("wanted", [True, False])
def test_an_answer_may_come_after_the_death_of_who_asked(driver: Driver, wanted: bool) -> None:
    """Nothing is asked of a fresh evaluator before; after a no it only reports."""
    driver.begin("SCORE = 0.5\n", FOLLOWED)
    driver.until(SeedDone)
    driver.evaluator.go_on("1", wanted=True)
    driver.until(SeedDone, count=2)
    os.kill(driver.pid(), signal.SIGKILL)
    driver.until(EvaluatorWaits)
    for _ in range(5):
        driver.turn()
    assert driver.seeds_told() == [101, 138]
    driver.evaluator.go_on("1", wanted=wanted)
    if wanted:
        driver.until(SeedDone, count=3)
        driver.evaluator.go_on("1", wanted=False)
    evaluation = driver.until(EvaluationEnded).evaluation
    assert driver.seeds_told() == [seed.seed for seed in evaluation.seeds]
    assert driver.seeds_told() == ([101, 138, 7] if wanted else [101, 138])
    assert evaluation.score == 0.5


def test_an_evaluator_killed_while_idle_is_replaced_unseen(driver: Driver) -> None:
    """It had come up, with nobody listening yet or nothing to do: nothing is told of it."""
    for _ in range(2):
        driver.local.warm_up()
        first = driver.pid()
        os.kill(first, signal.SIGKILL)
        os.waitid(os.P_PID, first, os.WEXITED | os.WNOWAIT)
        assert driver.evaluate("SCORE = 1.0\n").score == 1.0
        assert driver.told(EvaluatorWaits) == []
        assert driver.pid() != first


def test_an_idle_evaluators_death_is_noticed(driver: Driver) -> None:
    """Its pipes are watched, so that the next evaluation finds no corpse."""
    driver.evaluate("SCORE = 1.0\n")
    os.kill(driver.pid(), signal.SIGKILL)
    while driver.local._slots[0]._child is not None:
        driver.turn()
    assert list(driver.evaluator.descriptors()) == []
    assert driver.evaluator.free_slots() == 1


def test_a_file_that_changed_before_a_fresh_start_is_not_run(
    driver: Driver, clock: HandClock
) -> None:
    """The rest of the seeds would not be comparable with those told."""
    driver.begin('DO = "die"\n')
    driver.until(EvaluatorWaits, count=2)
    with (driver.root / "framework.py").open("a") as file:
        file.write("# a change\n")
    clock.now_s += 10
    assert "framework.py has changed" in driver.until(EvaluatorFailed).reason
    assert driver.evaluator.free_slots() == 1


# -- checkpoints -----------------------------------------------------------------------------------

CHECKED = Measurement(RUNG, (101, 138), checkpoints=(3, 6))


def test_checkpoints_are_told_once(driver: Driver) -> None:
    """A fresh evaluator passes those of the dead one without asking again."""
    driver.begin('SCORE = 0.5\nCHECKPOINTS = true\nTIMES = 1\nDO_AT = [101, "die"]\n', CHECKED)
    assert driver.finish().score == 0.5
    assert driver.told(EvaluatorWaits)
    told = driver.told(CheckpointReached)
    assert told == [CheckpointReached(101, (0.0,) * 3), CheckpointReached(101, (0.0,) * 6)]


@pytest.mark.parametrize("dies", [True, False])
def test_a_no_at_a_checkpoint_ends_the_evaluation_with_nothing(driver: Driver, dies: bool) -> None:
    """No seed is evaluated, so there is nothing to report on; also if its evaluator has died."""
    driver.begin("SCORE = 0.5\nCHECKPOINTS = true\n", CHECKED)
    driver.until(CheckpointReached)
    if dies:
        os.kill(driver.pid(), signal.SIGKILL)
        driver.until(EvaluatorWaits)
    driver.evaluator.go_on("1", wanted=False)
    assert driver.until(EvaluationEnded).evaluation == Evaluation(None)
    assert driver.evaluate("SCORE = 1.0\n").score == 1.0


def test_an_evaluator_that_dies_of_a_no_needs_no_successor(driver: Driver) -> None:
    """It dies with the answer unread: still there is nothing to report on."""
    driver.begin("SCORE = 0.5\nCHECKPOINTS = true\n", CHECKED)
    driver.until(CheckpointReached)
    os.kill(driver.pid(), signal.SIGSTOP)
    driver.evaluator.go_on("1", wanted=False)
    os.kill(driver.pid(), signal.SIGKILL)
    assert driver.until(EvaluationEnded).evaluation == Evaluation(None)
    assert driver.evaluate("SCORE = 1.0\n").score == 1.0


# -- time ------------------------------------------------------------------------------------------


def test_a_hang_is_killed_by_the_clock_and_the_next_one_runs(
    driver: Driver, clock: HandClock
) -> None:
    """After `evaluator.timeout_s` the child is gone, and a fresh one serves the next candidate."""
    driver.begin('DO = "hang"\n')
    driver.until(EpisodeDone, count=2)
    assert driver.evaluator.timeout_s() == LIMIT_S
    pid = driver.pid()
    clock.now_s += LIMIT_S - 0.25
    driver.turn()
    assert driver.evaluator.timeout_s() == 0.25
    assert not driver.told(EvaluationEnded)
    clock.now_s += 0.25
    evaluation = driver.until(EvaluationEnded).evaluation
    assert evaluation.status is Status.TIMEOUT
    assert evaluation.reason == "killed after 50 s (evaluator.timeout_s)"
    while driver.evaluator.timeout_s() is not None:
        driver.turn()
    assert not Path(f"/proc/{pid}").exists()
    assert driver.evaluate("SCORE = 1.0\n").score == 1.0


def test_the_callers_time_does_not_count(driver: Driver, clock: HandClock) -> None:
    """While it waits for an answer, an evaluator has no deadline; then what was left is left."""
    driver.begin('SCORE = 1.0\nDO_AT = [138, "hang"]\n')
    driver.until(EpisodeDone, count=2)
    clock.now_s += 20
    driver.until(SeedDone)
    assert driver.evaluator.timeout_s() is None
    clock.now_s += 10 * LIMIT_S
    driver.turn()
    driver.evaluator.go_on("1", wanted=True)
    left_s = driver.evaluator.timeout_s()
    assert left_s is not None
    assert LIMIT_S - 20 <= left_s <= LIMIT_S  # the seed may have been told before 20 s went by
    clock.now_s += left_s
    assert driver.until(EvaluationEnded).evaluation.status is Status.TIMEOUT


def test_each_further_seed_has_the_time_of_all_scored_ones(
    driver: Driver, clock: HandClock
) -> None:
    """The time begins anew when the last scored seed is answered, and after each later one."""
    driver.begin('SCORE = 1.0\nDO_AT = [8, "hang"]\n', FOLLOWED)
    for count in (1, 2, 3):
        driver.until(SeedDone, count=count)
        clock.now_s += 0.9 * LIMIT_S
        driver.evaluator.go_on("1", wanted=True)
    assert driver.evaluator.timeout_s() == LIMIT_S
    clock.now_s += LIMIT_S
    assert driver.until(EvaluationEnded).evaluation.status is Status.TIMEOUT
    assert driver.seeds_told() == [101, 138, 7]


# -- starts ----------------------------------------------------------------------------------------


def test_an_evaluator_that_never_came_up_is_its_own_fault(
    make_driver: MakeDriver, stubbed: Workspace
) -> None:
    """No candidate is blamed for it, and it is not tried again and again."""
    (stubbed.root / "framework.py").write_text("EVALUATOR_PROTOCOL = 3\nraise SystemExit(3)\n")
    driver = make_driver()
    driver.begin("SCORE = 1.0\n")
    assert "exit code 3" in driver.until(EvaluatorFailed).reason
    assert driver.evaluator.free_slots() == 1


def test_an_evaluator_that_is_silent_at_its_start_is_its_own_fault(
    make_driver: MakeDriver, stubbed: Workspace, clock: HandClock
) -> None:
    """The candidate has not been seen by it yet."""
    text = "EVALUATOR_PROTOCOL = 3\nimport time\ntime.sleep(3600)\n"
    (stubbed.root / "framework.py").write_text(text)
    driver = make_driver(clock=clock, evaluator={"timeout_s": LIMIT_S})
    driver.begin("SCORE = 1.0\n")
    clock.now_s += LIMIT_S
    assert "did not start within 50 s" in driver.until(EvaluatorFailed).reason


def test_one_that_speaks_another_protocol_than_its_file_says_is_not_used(
    make_driver: MakeDriver, stubbed: Workspace
) -> None:
    """The first line must name the protocol."""
    framework = stubbed.root / "framework.py"
    text = framework.read_text()
    assert '"protocol": EVALUATOR_PROTOCOL' in text
    framework.write_text(text.replace('"protocol": EVALUATOR_PROTOCOL', '"protocol": 4'))
    driver = make_driver()
    driver.begin("SCORE = 1.0\n")
    assert "does not serve protocol 3" in driver.until(EvaluatorFailed).reason


def test_without_room_for_a_start_a_proven_evaluator_is_tried_for_ever(
    make_driver: MakeDriver, stubbed: Workspace, clock: HandClock
) -> None:
    """Its file is not to blame, nor the candidate; the pauses grow to a minute."""
    framework = stubbed.root / "framework.py"
    no_room = stubbed.root.parent / "no-room"
    framework.write_text(
        f"import os\nif os.path.exists({str(no_room)!r}):\n    raise MemoryError\n"
        + framework.read_text()
    )
    driver = make_driver(clock=clock)
    driver.evaluate("SCORE = 1.0\n")
    driver.events.clear()
    no_room.touch()
    os.kill(driver.pid(), signal.SIGKILL)
    os.waitid(os.P_PID, driver.pid(), os.WEXITED | os.WNOWAIT)
    driver.begin("SCORE = 2.0\n")
    pauses = [wait_out(driver, clock, count) for count in range(1, 9)]
    assert [pause.seconds for pause in pauses] == [1, 2, 4, 8, 16, 32, 60, 60]
    assert "MemoryError" in pauses[0].reason
    no_room.unlink()
    assert driver.finish().score == 2.0


@contextmanager
def no_descriptors(spare: int) -> Iterator[None]:
    """Leave this process so many descriptors that it may still open."""
    free = [os.open(os.devnull, os.O_RDONLY) for _ in range(spare + 1)]
    for descriptor in free:
        os.close(descriptor)
    usual = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (free[-1], usual[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, usual)


@pytest.mark.parametrize("spare", [0, 3])
def test_where_no_process_can_be_had_nothing_is_begun(driver: Driver, spare: int) -> None:
    """The error is the caller's to wait out; the slot is free and the scratch folder empty."""
    driver.scratch.mkdir(parents=True, exist_ok=True)
    with no_descriptors(spare), pytest.raises(OSError, match="Too many open files"):
        driver.begin("SCORE = 1.0\n")
    assert driver.evaluator.free_slots() == 1
    assert list(driver.scratch.iterdir()) == []
    assert driver.evaluate("SCORE = 1.0\n").score == 1.0


def test_where_no_process_can_be_had_for_a_fresh_start_it_waits(
    driver: Driver, clock: HandClock
) -> None:
    """The evaluation is kept and goes on when there is one again."""
    driver.begin('SCORE = 1.0\nTIMES = 2\nDO_AT = [101, "die"]\n')
    wait_out(driver, clock, 2)
    with no_descriptors(3):
        driver.turn()
    waits = driver.told(EvaluatorWaits)[2]
    assert "Too many open files" in waits.reason
    assert waits.seconds == 1
    assert driver.evaluator.free_slots() == 0
    clock.now_s += 1
    assert driver.finish().score == 1.0


# -- nonsense --------------------------------------------------------------------------------------


def seed_event(**changes: object) -> str:
    return json.dumps(
        {"event": "seed", "seed": 101, "value": 1.0, "solve_rate": 0.5, "curve": [0.0]} | changes
    )


NONSENSE = {
    "no JSON": "no JSON",
    "half": '{"event": ',
    "a list": "[1]",
    "nested": "[" * 100_000,
    "no event": "{}",
    "an event that is no text": '{"event": {}}',
    "unknown": '{"event": "party"}',
    "serving again": '{"event": "serving", "protocol": 3}',
    "an episode of no seed": '{"event": "episode"}',
    "an episode of a seed not asked for": '{"event": "episode", "seed": 5, "episode": 1}',
    "a checkpoint not asked for": '{"event": "checkpoint", "episode": 1, "curve": [0.0]}',
    "a seed out of order": seed_event(seed=138),
    "a seed not asked for": seed_event(seed=5),
    "a seed that is no number": seed_event(seed="101"),
    "a value that is no number": seed_event(value="1.0"),
    "no value": seed_event(value=None),
    "infinity": seed_event(value=float("inf")),
    "an endless number": seed_event().replace("1.0", "9" * 400),
    "a curve that is none": seed_event(curve=1.0),
    "a resume that is no text": seed_event(resume={}),
    "an end nobody wanted": '{"event": "enough"}',
    "a result without seeds": '{"event": "result", "result": {}}',
    "a result of nothing": '{"event": "result", "result": {"seed_results": [], "more_results": []}}',
    "a result that is none": '{"event": "result", "result": null}',
    "a failure of no kind": '{"event": "failure", "kind": "party", "reason": "", "details": ""}',
    "a failure of ours": '{"event": "failure", "kind": "keep", "reason": "", "details": ""}',
    "a refusal without reason": '{"event": "refused"}',
}


@pytest.mark.parametrize("said", NONSENSE.values(), ids=NONSENSE)
def test_an_evaluator_that_talks_nonsense_counts_as_dead(driver: Driver, said: str) -> None:
    """It is killed and followed by a fresh one; nothing is raised, and nothing is told of it."""
    driver.begin(f'SAY = {json.dumps(said)}\nDO_AT = [101, "hang"]\n')
    waits = driver.until(EvaluatorWaits)
    assert "malformed" in waits.reason
    assert len(waits.reason) < 1000
    kinds: tuple[type[EvaluatorEvent], ...] = (EpisodeDone, EvaluatorWaits)
    assert all(isinstance(event, kinds) for _, event in driver.events)


def test_an_idle_evaluator_that_talks_is_replaced(
    make_driver: MakeDriver, stubbed: Workspace
) -> None:
    """An answer to nothing must not be taken for the next evaluation's."""
    framework = stubbed.root / "framework.py"
    text = framework.read_text()
    place = "        print(json.dumps(answer(request)), flush=True)\n"
    assert place in text
    framework.write_text(
        text.replace(place, place + f"        print({seed_event()!r}, flush=True)\n")
    )
    driver = make_driver()
    assert driver.evaluate("SCORE = 1.0\n").score == 1.0
    while driver.local._slots[0]._child is not None:
        driver.turn()
    assert driver.evaluate("SCORE = 2.0\n").score == 2.0
