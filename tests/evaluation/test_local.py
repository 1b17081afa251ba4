"""The evaluator's adapter, with real child processes that obey constants instead of training."""

import inspect
import json
from pathlib import Path

import pytest

from orchestrator.core.errors import EvaluatorError
from orchestrator.core.evaluations import (
    EpisodeDone,
    EvaluationEnded,
    EvaluatorFailed,
    Measurement,
    Purpose,
    SeedDone,
    SeedResult,
)
from orchestrator.core.records import Status
from orchestrator.engine.ports import Evaluator
from orchestrator.evaluation.local import LocalEvaluator
from orchestrator.store.workspace import Workspace
from tests.evaluation.conftest import MakeDriver
from tests.evaluation.driver import RUNG, Driver

FOLLOWED = Measurement(RUNG, (101, 138), more_seeds=(7, 8, 9))
REFERENCES = Measurement(
    RUNG, (101,), (7, 8, 9), scored=Purpose.REFERENCE, further=Purpose.REFERENCE
)


def test_the_adapter_satisfies_the_port(driver: Driver) -> None:
    """Each method of the port is there, with the port's parameters."""
    port: Evaluator = driver.local
    names = [
        name for name, _ in inspect.getmembers(Evaluator, inspect.isfunction) if name[0] != "_"
    ]
    assert {"begin", "go_on", "poll", "free_slots", "descriptors", "cancel"} <= set(names)
    for name in names:
        wanted = inspect.signature(getattr(Evaluator, name)).parameters
        offered = inspect.signature(getattr(LocalEvaluator, name)).parameters
        assert list(wanted.values()) == list(offered.values()), name
    assert port.timeout_s() is None
    assert list(port.descriptors()) == []


def test_a_score_comes_back_with_its_seeds_and_progress(driver: Driver) -> None:
    """The report's score, seeds, horizon and numbers arrive; each training episode is an event."""
    evaluation = driver.evaluate("SCORE = 0.25\n")
    assert (evaluation.status, evaluation.score) == (None, 0.25)
    assert evaluation.scores_by_seed == {101: 0.25, 138: 0.25}
    assert evaluation.max_steps == 20
    assert evaluation.report.solve_rate == 0.5
    assert evaluation.report.steps_per_s == 1000.0
    assert driver.told(EpisodeDone) == [EpisodeDone(101), EpisodeDone(138)]
    results = tuple(SeedResult(seed, 0.25, 0.5, (0.0, 0.25)) for seed in (101, 138))
    assert evaluation.seeds == results
    assert tuple(event.result for event in driver.told(SeedDone)) == results


def test_seeds_are_told_in_order_until_no_more_is_wanted(driver: Driver) -> None:
    """After a no, the report is on the seeds told so far, and the next candidate can come."""
    driver.begin("SCORE = 0.25\n", FOLLOWED)
    evaluation = driver.finish(stop_at=7)
    assert driver.seeds_told() == [101, 138, 7]
    assert [(result.seed, result.purpose) for result in evaluation.seeds] == [
        (101, Purpose.SCREEN), (138, Purpose.SCREEN), (7, Purpose.CONFIRM),
    ]  # fmt: skip
    assert evaluation.score == 0.25
    assert evaluation.scores_by_seed == {101: 0.25, 138: 0.25}
    first = driver.pid()
    assert driver.evaluate("SCORE = 1.0\n").score == 1.0
    assert driver.pid() == first


def test_a_mean_over_some_of_the_scored_seeds_is_no_score(driver: Driver) -> None:
    """It would be comparable with nothing."""
    driver.begin("SCORE = 0.25\n", FOLLOWED)
    evaluation = driver.finish(stop_at=101)
    assert (evaluation.status, evaluation.score) == (None, None)
    assert evaluation.scores_by_seed == {101: 0.25}


def test_seeds_have_the_purposes_of_the_measurement(driver: Driver) -> None:
    """Reference seeds are told and reported as such."""
    evaluation = driver.evaluate("SCORE = 0.25\n", REFERENCES)
    assert {result.purpose for result in evaluation.seeds} == {Purpose.REFERENCE}
    assert {event.result.purpose for event in driver.told(SeedDone)} == {Purpose.REFERENCE}


@pytest.mark.parametrize("kind", ["crash", "invalid", "rejected"])
def test_a_failure_is_an_evaluation_without_a_score(driver: Driver, kind: str) -> None:
    """The candidate's failures come back as statuses with reason and details."""
    evaluation = driver.evaluate(f'DO = "{kind}"\n')
    assert (evaluation.status, evaluation.score) == (Status(kind), None)
    assert evaluation.reason == f"told to {kind}"
    assert evaluation.details == "Traceback"
    assert evaluation.seeds == ()


def test_a_failure_on_a_seed_names_the_seed_and_its_purpose(driver: Driver) -> None:
    """So that the seed counts as failed and is not evaluated again."""
    evaluation = driver.evaluate('DO_AT = [7, "crash"]\n', FOLLOWED)
    assert evaluation.status is Status.CRASH
    assert evaluation.seeds == (SeedResult(7, None, purpose=Purpose.CONFIRM),)


# -- slots -----------------------------------------------------------------------------------------


def test_two_slots_evaluate_at_once(make_driver: MakeDriver) -> None:
    """One evaluation waits for its answer while the other ends; neither is taken for the other."""
    driver = make_driver(slots=2)
    driver.begin("SCORE = 1.0\n", key="a")
    driver.begin("SCORE = 2.0\n", key="b")
    assert driver.evaluator.free_slots() == 0
    driver.until(SeedDone, "a")
    assert driver.finish("b").score == 2.0
    assert driver.evaluator.free_slots() == 1
    assert driver.seeds_told("a") == [101]
    assert not driver.told(EvaluationEnded, "a")
    assert driver.pid(0) != driver.pid(1)
    assert driver.finish("a").score == 1.0
    assert driver.seeds_told("a") == driver.seeds_told("b") == [101, 138]


def test_a_warm_process_is_used_before_another_is_started(make_driver: MakeDriver) -> None:
    """`warm_up` starts one; a second one only when two evaluations run."""
    driver = make_driver(slots=2)
    driver.local.warm_up()
    first = driver.pid()
    driver.local.warm_up()
    assert driver.evaluate("SCORE = 1.0\n").score == 1.0
    assert driver.evaluate("SCORE = 1.0\n").score == 1.0
    assert driver.pid() == first
    assert driver.local._slots[1]._child is None


@pytest.mark.parametrize(
    ("settings", "slots", "workers"),
    [({}, 1, "null"), ({}, 1000, "1"), ({"workers": 3}, 2, "3"), ({"device": "cuda"}, 2, "1")],
)
def test_slots_share_the_cores(
    make_driver: MakeDriver,
    stubbed: Workspace,
    settings: dict[str, object],
    slots: int,
    workers: str,
) -> None:
    """Without `workers`, several slots divide the cores; what is configured stays."""
    framework = stubbed.root / "framework.py"
    text = framework.read_text()
    assert '"flags": []' in text
    reported = '"flags": [json.dumps(request["workers"])]'
    framework.write_text(text.replace('"flags": []', reported))
    driver = make_driver(slots=slots, evaluator=settings)
    assert driver.evaluate("SCORE = 1.0\n", Measurement(RUNG, (101,))).flags == (workers,)


# -- seeds that were measured before ---------------------------------------------------------------


def trained(driver: Driver) -> list[int]:
    """Return the seeds that the stub trained, all in all."""
    return [int(line) for line in (driver.root.parent / "trained.log").read_text().split()]


def measured(*seeds: int) -> dict[int, str]:
    return {seed: json.dumps({"value": 5.0}) for seed in seeds}


def test_measured_seeds_are_neither_trained_nor_told(make_driver: MakeDriver) -> None:
    """An evaluator that can takes them as they are; the report is on them too."""
    driver = make_driver(resumes=True)
    (driver.root.parent / "trained.log").touch()
    driver.begin("SCORE = 1.0\n", FOLLOWED, measured=measured(101, 138))
    evaluation = driver.finish(stop_at=8)
    assert driver.seeds_told() == trained(driver) == [7, 8]
    assert [(seed.seed, seed.value) for seed in evaluation.seeds] == [
        (101, 5.0), (138, 5.0), (7, 1.0), (8, 1.0),
    ]  # fmt: skip
    assert evaluation.score is not None
    assert driver.told(SeedDone)[0].resume == json.dumps({"value": 1.0})


def test_an_evaluation_of_which_all_is_measured_ends_at_once(make_driver: MakeDriver) -> None:
    """The daemon may have died between the last seed and the report."""
    driver = make_driver(resumes=True)
    (driver.root.parent / "trained.log").touch()
    driver.begin("SCORE = 1.0\n", measured=measured(101, 138))
    assert len(driver.finish().seeds) == 2
    assert driver.seeds_told() == trained(driver) == []


def test_an_older_evaluator_repeats_measured_seeds_unseen(driver: Driver) -> None:
    """It can't take them as measured; the caller sees no difference but the time."""
    (driver.root.parent / "trained.log").touch()
    what = Measurement(RUNG, (101, 138), (7, 8, 9), checkpoints=(3,))
    driver.begin("CHECKPOINTS = true\nSCORE = 1.0\n", what, measured=measured(101, 138))
    evaluation = driver.finish(stop_at=8)
    assert driver.seeds_told() == [7, 8]
    assert trained(driver) == [101, 138, 7, 8]
    assert [seed.seed for seed in evaluation.seeds] == [101, 138, 7, 8]
    assert driver.told(SeedDone)[0].resume is None
    assert {event.seed for event in driver.told(EpisodeDone)} <= {7, 8, 9}


@pytest.mark.parametrize("resume", ["", "unusable"])
def test_a_measured_seed_that_cannot_be_resumed_is_repeated_unseen(
    make_driver: MakeDriver, resume: str
) -> None:
    """It was measured by an evaluator that gave no text, or its text is not accepted."""
    driver = make_driver(resumes=True)
    (driver.root.parent / "trained.log").touch()
    what = Measurement(RUNG, (101, 138), (7, 8, 9), checkpoints=(3,))
    known = measured(101, 138, 7) | {101: resume, 7: resume}
    driver.begin("CHECKPOINTS = true\nSCORE = 1.0\n", what, measured=known)
    evaluation = driver.finish(stop_at=8)
    assert driver.seeds_told() == [8]
    assert trained(driver) == [101, 7, 8]
    assert [(seed.seed, seed.value) for seed in evaluation.seeds] == [
        (101, 1.0), (138, 5.0), (7, 1.0), (8, 1.0),
    ]  # fmt: skip
    assert {event.seed for event in driver.told(EpisodeDone)} <= {8, 9}


def test_a_text_that_was_not_accepted_is_replaced_by_the_new_one(
    make_driver: MakeDriver, tmp_path: Path
) -> None:
    """Should the evaluator die, the next one need not repeat the seed once more."""
    driver = make_driver(resumes=True)
    (driver.root.parent / "trained.log").touch()
    train = 'SCORE = 1.0\nTIMES = 1\nDO_AT = [138, "die"]\n'
    driver.begin(train, measured={101: "unusable"})
    assert [seed.value for seed in driver.finish().seeds] == [1.0, 1.0]
    assert trained(driver) == [101, 138]


def test_a_request_longer_than_a_pipe_is_sent_whole(make_driver: MakeDriver) -> None:
    """Sending it does not wait for the evaluator to read."""
    driver = make_driver(resumes=True)
    long = {101: json.dumps({"value": 5.0, "ballast": "x" * 1_000_000})}
    driver.begin("SCORE = 1.0\n", measured=long)
    assert [seed.value for seed in driver.finish().seeds] == [5.0, 1.0]


# -- the end of an evaluation ----------------------------------------------------------------------


def is_gone(pid: int) -> bool:
    return not Path(f"/proc/{pid}").exists()


def test_a_cancelled_evaluation_leaves_nothing(driver: Driver) -> None:
    """Its process and its folder are gone, it is told of no more, and its slot is free."""
    driver.begin("SCORE = 1.0\n")
    driver.until(SeedDone)
    pid = driver.pid()
    assert [path.name for path in driver.scratch.iterdir()] == ["1"]
    driver.evaluator.cancel("1")
    assert list(driver.scratch.iterdir()) == []
    assert driver.evaluator.free_slots() == 1
    driver.events.clear()
    driver.begin("SCORE = 2.0\n", key="2")  # at once
    assert driver.finish("2").score == 2.0
    assert not [about for about, _ in driver.events if about == "1"]
    while driver.evaluator.timeout_s() is not None:
        driver.turn()
    assert is_gone(pid)
    driver.evaluator.cancel("never begun")


def test_events_of_a_cancelled_evaluation_are_forgotten(driver: Driver) -> None:
    """Whatever happened between the last poll and the cancellation is not returned after it."""
    driver.begin('DO = "hang"\n')
    driver.until(EpisodeDone)
    driver.evaluator.cancel("1")
    assert driver.evaluator.poll() == []


def test_close_leaves_no_process(make_driver: MakeDriver) -> None:
    """When it returns, all processes have ended and the scratch folder is empty."""
    driver = make_driver(slots=2)
    driver.begin('DO = "hang"\n', key="a")
    driver.begin("SCORE = 1.0\n", key="b")
    driver.until(SeedDone, "b")
    driver.until(EpisodeDone, "a")
    pids = [driver.pid(0), driver.pid(1)]
    driver.evaluator.close()
    assert all(is_gone(pid) for pid in pids)
    assert list(driver.scratch.iterdir()) == []
    assert driver.evaluator.free_slots() == 2


def test_the_scratch_folder_is_cleared(driver: Driver) -> None:
    """Nothing of a candidate is left behind in the daemon's folder."""
    driver.evaluate("SCORE = 1.0\n")
    assert list(driver.scratch.iterdir()) == []


# -- what the evaluator may see, and what it may be ------------------------------------------------


def test_what_lies_beside_the_evaluator_is_not_imported(driver: Driver) -> None:
    """A json.py in the workspace takes nobody's place."""
    (driver.root / "json.py").write_text("raise SystemExit(5)\n")
    assert driver.evaluate("SCORE = 1.0\n").score == 1.0


def test_the_child_sees_no_key_of_the_daemons(
    make_driver: MakeDriver, stubbed: Workspace, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The evaluator's environment holds no API key."""
    monkeypatch.setenv("OPENAI_API_KEY", "secret")
    framework = stubbed.root / "framework.py"
    framework.write_text(
        framework.read_text().replace('"flags": []', '"flags": sorted(os.environ)')
    )
    flags = make_driver().evaluate("SCORE = 1.0\n").flags
    assert "PYTHONHASHSEED" in flags
    assert "OPENAI_API_KEY" not in flags


@pytest.mark.parametrize("name", ["framework.py", "train.py"])
def test_an_evaluator_that_changes_is_not_used(driver: Driver, name: str) -> None:
    """Whatever scores depend on is hashed again; a change is named and nothing is evaluated."""
    assert driver.evaluate("SCORE = 1.0\n").score == 1.0
    with (driver.root / name).open("a") as file:
        file.write("# a change\n")
    with pytest.raises(EvaluatorError, match=f"{name} has changed since this run began"):
        driver.begin("SCORE = 1.0\n")
    assert driver.evaluator.free_slots() == 1


def test_an_evaluator_on_another_branch_is_missing(driver: Driver) -> None:
    """The line names the likely cause and the cure; once the file is back it is used again."""
    framework = driver.root / "framework.py"
    away = framework.rename(driver.root / "away.py")
    with pytest.raises(EvaluatorError, match=r"framework\.py is missing \(is another branch"):
        driver.begin("SCORE = 1.0\n")
    away.rename(framework)
    assert driver.evaluate("SCORE = 1.0\n").score == 1.0


def test_a_world_that_appears_in_a_run_is_named(driver: Driver) -> None:
    """What the run's candidates are to it, nobody knows; without it all goes on."""
    assert driver.evaluate("SCORE = 1.0\n").score == 1.0
    task = driver.root / "task"
    task.mkdir()
    (task / "world.py").write_text("")
    with pytest.raises(EvaluatorError, match=r"task/world\.py was not there when .*take it away"):
        driver.begin("SCORE = 1.0\n")
    (task / "world.py").unlink()
    assert driver.evaluate("SCORE = 1.0\n").score == 1.0


def test_a_refused_request_is_the_evaluators_fault(driver: Driver) -> None:
    """No candidate is blamed for it: a person must act."""
    refused = json.dumps({"event": "refused", "reason": "workers must be at least 1"})
    driver.begin(f'SAY = {json.dumps(refused)}\nDO = "hang"\n')
    reason = driver.until(EvaluatorFailed).reason
    assert reason == "the evaluator refused the request: workers must be at least 1"
    assert driver.evaluator.free_slots() == 1
