"""The real evaluator, killed in the middle: what was measured stays, and nothing is trained twice."""

import os
import signal
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest

from orchestrator.core.evaluations import (
    EpisodeDone,
    Evaluation,
    EvaluationEnded,
    EvaluatorWaits,
    Measurement,
    SeedDone,
)
from orchestrator.core.records import Files, Rung
from orchestrator.store.workspace import Workspace
from tests.candidates import ENV, TRAIN
from tests.evaluation.driver import Driver

INCUMBENT = Files(ENV.replace("PAY = 0.5", "PAY = 0.25"), TRAIN)
WHAT = Measurement(Rung(2, 8), (101, 138), more_seeds=(7,), compared_with=INCUMBENT)
KEY = "1"
TIMES = {"wall_s", "steps_per_s", "peak_memory_mb", "train_s"}


class Real:
    """Drivers of the workspace's own `framework.py`, and a candidate that counts its trainings."""

    def __init__(self, workspace: Workspace, log: Path) -> None:
        self._workspace = workspace
        self._log = log
        self._drivers: list[Driver] = []
        note = f"    open({str(log)!r}, 'a').write('trained\\n')\n    return"
        self._files = Files(ENV, TRAIN.replace("    return {", f"{note} {{", 1))
        assert self._files.train != TRAIN
        log.touch()

    def begin(self, measured: Mapping[int, str] = {}) -> Driver:
        """Begin the evaluation as a daemon does that has just been started."""
        driver = Driver(self._workspace, evaluator={"num_envs": 8, "workers": 1})
        self._drivers.append(driver)
        driver.evaluator.begin(KEY, self._files, WHAT, measured)
        return driver

    def trained(self) -> int:
        """Return how many seeds were trained since the last call."""
        count = len(self._log.read_text().splitlines())
        self._log.write_text("")
        return count

    def close(self) -> None:
        for driver in self._drivers:
            driver.evaluator.close()


@pytest.fixture
def real(starter: Workspace, tmp_path: Path) -> Iterator[Real]:
    real = Real(starter, tmp_path / "trained.log")
    yield real
    real.close()


def exact(evaluation: Evaluation) -> dict[str, Any]:
    """Return what must repeat to the bit: all but times and memory. Python writes floats exactly."""
    facts = without_times(evaluation.report.facts)
    for name in ("seed_results", "more_results"):
        facts[name] = [without_times(seed) for seed in facts.get(name, [])]
    return {
        "score": evaluation.score, "by_seed": evaluation.scores_by_seed, "facts": repr(facts),
        "status": evaluation.status, "flags": evaluation.flags, "replay": evaluation.replay,
        "seeds": evaluation.seeds, "max_steps": evaluation.max_steps,
    }  # fmt: skip


def without_times(facts: Mapping[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in facts.items() if name not in TIMES}


def kill_the_evaluator(driver: Driver) -> None:
    os.kill(driver.pid(), signal.SIGKILL)


def test_after_a_restart_of_the_daemon_only_the_other_seeds_are_trained(real: Real) -> None:
    """What `SeedDone.resume` was is all that a new evaluator needs of the first seed."""
    whole = real.begin().finish()
    assert whole.score is not None
    assert [seed.compared and seed.compared.reward_ratio for seed in whole.seeds] == [2, 2, 2]
    assert real.trained() == 3
    driver = real.begin()
    told = driver.until(SeedDone)
    kill_the_evaluator(driver)
    driver.evaluator.close()
    assert told.result.seed == 101
    assert told.resume is not None
    real.trained()
    resumed = real.begin({101: told.resume})
    assert exact(resumed.finish()) == exact(whole)
    assert resumed.seeds_told() == [138, 7]
    assert real.trained() == 2
    episodes = [event.seed for event in resumed.told(EpisodeDone)]
    assert sorted(episodes) == [7, 7, 138, 138]
    texts = {101: told.resume} | {e.result.seed: e.resume or "" for e in resumed.told(SeedDone)}
    at_once = real.begin(texts)
    assert exact(at_once.finish()) == exact(whole)
    assert at_once.seeds_told() == []
    assert real.trained() == 0


@pytest.mark.parametrize("spoil", [lambda _text: "", lambda text: text[:-8]])
def test_a_seed_whose_text_is_lost_is_trained_again_unseen(
    real: Real, spoil: Callable[[str], str]
) -> None:
    """The report is the same; the daemon is not told the seed a second time."""
    driver = real.begin()
    whole = driver.finish()
    first = driver.told(SeedDone)[0].resume
    assert first is not None
    real.trained()
    resumed = real.begin({101: spoil(first)})
    assert exact(resumed.finish()) == exact(whole)
    assert resumed.seeds_told() == [138, 7]
    assert real.trained() == 3
    assert not resumed.told(EvaluatorWaits)


def test_an_evaluator_that_is_killed_repeats_at_most_the_seeds_in_flight(real: Real) -> None:
    """The next one resumes what was told, in the same evaluation."""
    whole = real.begin().finish()
    real.trained()
    driver = real.begin()
    driver.until(SeedDone)
    driver.evaluator.go_on(KEY, wanted=True)
    driver.until(SeedDone, count=2)
    kill_the_evaluator(driver)
    before = real.trained()
    assert 2 <= before <= 3
    driver.until(EvaluatorWaits)
    driver.evaluator.go_on(KEY, wanted=True)
    driver.until(SeedDone, count=3)
    driver.evaluator.go_on(KEY, wanted=True)
    assert exact(driver.until(EvaluationEnded).evaluation) == exact(whole)
    assert driver.seeds_told() == [101, 138, 7]
    assert real.trained() == 1
