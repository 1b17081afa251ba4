"""Evaluations that are cut and resumed: the same result to the bit, and no seed twice."""

import dataclasses
import json
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

import framework
from framework import (
    PUBLIC_KEY,
    CandidateError,
    EvaluationRequest,
    EvaluationResult,
    Referee,
    derive_seed,
)
from referee.candidate_files import read_candidate
from referee.events import CheckpointReached, EpisodeDone, SeedDone
from referee.flags import IDENTICAL_STARTS, POLICY_INDEPENDENT
from referee.resume import ResumeTexts
from tests.candidates import write_candidate
from tests.referee.conftest import request_for, strip

ORDER = (101, 138, 7, 9)
SEEDS: dict[str, Any] = {"seeds": ORDER[:2], "more_seeds": ORDER[2:]}
FLAGGED = ("PAY * (actions == 1).to(self.dtype)", "torch.full((self.num_envs,), 0.5)")


class CutError(Exception):
    """The evaluation was cut."""


class Caller:
    """Follows an evaluation, cuts it after one seed or declines more seeds after another."""

    def __init__(self, *, cut_after: int | None = None, enough_after: int | None = None) -> None:
        self.told: list[int] = []
        self.checkpoints: list[int] = []
        self.trained: set[int] = set()
        self.texts: dict[int, str] = {}
        self._cut_after = cut_after
        self._enough_after = enough_after

    def on_episode(self, done: EpisodeDone) -> None:
        self.trained.add(done.seed)

    def should_continue(self, event: CheckpointReached | SeedDone) -> bool:
        if isinstance(event, CheckpointReached):
            self.checkpoints.append(event.episode)
            return True
        self.told.append(event.seed)
        assert event.resume is not None
        self.texts[event.seed] = event.resume
        if event.seed == self._cut_after:
            raise CutError
        return event.seed != self._enough_after

    def evaluate(self, referee: Referee, request: EvaluationRequest) -> EvaluationResult:
        return referee.evaluate(request, self.on_episode, self.should_continue)


@pytest.fixture(scope="module")
def fresh() -> Iterator[Referee]:
    """The evaluator after a restart."""
    with Referee() as referee:
        yield referee


# -- the result ------------------------------------------------------------------------------------


@pytest.mark.parametrize("cut_after", ORDER)
def test_an_evaluation_cut_after_any_seed_gives_the_same_result(
    tmp_path: Path, referee: Referee, fresh: Referee, cut_after: int
) -> None:
    """A fresh evaluator trains and reports only the seeds that are left."""
    request = request_for(write_candidate(tmp_path / "c"), **SEEDS)
    whole = Caller().evaluate(referee, request)
    cut = Caller(cut_after=cut_after)
    with pytest.raises(CutError):
        cut.evaluate(referee, request)
    done = ORDER.index(cut_after) + 1
    assert tuple(cut.texts) == ORDER[:done]
    resumed = Caller()
    result = resumed.evaluate(fresh, dataclasses.replace(request, measured=cut.texts))
    assert strip(result) == strip(whole)
    assert tuple(resumed.told) == ORDER[done:]
    assert resumed.trained == set(ORDER[done:])


def test_flags_and_replays_are_those_of_the_whole_evaluation(
    tmp_path: Path, referee: Referee, fresh: Referee
) -> None:
    """They rest on what was observed on all seeds: other seeds' starts and random play too."""
    folder = write_candidate(tmp_path / "c", env=FLAGGED)
    env = folder / "env.py"
    env.write_text(env.read_text().replace("manual_seed(int(config.seed))", "manual_seed(1)"))
    request = request_for(folder)
    caller = Caller()
    whole = caller.evaluate(referee, request)
    assert [flag.split(":")[0] for flag in whole.flags] == [POLICY_INDEPENDENT, IDENTICAL_STARTS]
    for seeds in ([101], [138], [101, 138]):
        measured = {seed: caller.texts[seed] for seed in seeds}
        result = Caller().evaluate(fresh, dataclasses.replace(request, measured=measured))
        assert strip(result) == strip(whole)


def test_the_time_before_the_cut_counts(tmp_path: Path, referee: Referee) -> None:
    """`wall_s` and `steps_per_s` are of the whole evaluation, also where nothing was left to do."""
    request = request_for(write_candidate(tmp_path / "c"))
    caller = Caller()
    whole = caller.evaluate(referee, request)
    resumed = referee.evaluate(dataclasses.replace(request, measured=caller.texts))
    assert resumed.wall_s == pytest.approx(whole.wall_s, rel=0.5)
    assert [s.train_s for s in resumed.seed_results] == [s.train_s for s in whole.seed_results]


def test_a_function_call_takes_measured_seeds_too(tmp_path: Path, referee: Referee) -> None:
    """Where nobody follows the evaluation: `evaluate` waits for all the others."""
    request = request_for(write_candidate(tmp_path / "c"), **SEEDS)
    caller = Caller()
    whole = caller.evaluate(referee, request)
    measured = {seed: caller.texts[seed] for seed in (138, 7)}
    counter = Caller()
    result = referee.evaluate(dataclasses.replace(request, measured=measured), counter.on_episode)
    assert strip(result) == strip(whole)
    assert counter.trained == {101, 9}


# -- what is reported ------------------------------------------------------------------------------


def test_a_stop_uses_the_measured_seeds_before_it(tmp_path: Path, referee: Referee) -> None:
    """The result is on the seeds up to the last one that was reported, as without a cut."""
    request = request_for(write_candidate(tmp_path / "c"), **SEEDS)
    caller = Caller()
    caller.evaluate(referee, request)
    for measured, told in (([101], [138, 7]), ([138, 9], [101, 7]), ([101, 138], [7])):
        texts = {seed: caller.texts[seed] for seed in measured}
        stopped = Caller(enough_after=7)
        result = stopped.evaluate(referee, dataclasses.replace(request, measured=texts))
        assert stopped.told == told
        used = [seed.seed for seed in (*result.seed_results, *result.more_results)]
        assert used == [101, 138, 7]
    first = Caller(enough_after=101)
    measured = {seed: caller.texts[seed] for seed in (138, 7)}
    result = first.evaluate(referee, dataclasses.replace(request, measured=measured))
    assert first.told == [101]
    assert [seed.seed for seed in result.seed_results] == [101]


def test_checkpoints_are_shown_only_of_a_first_seed_that_is_trained(
    tmp_path: Path, referee: Referee
) -> None:
    """They are the first seed's, whichever others are known; its own are over once it is."""
    request = request_for(write_candidate(tmp_path / "c"), checkpoints=(1, 3), workers=1)
    whole = Caller()
    whole.evaluate(referee, request)
    for measured, shown in (([101], []), ([138], [1, 3])):
        texts = {seed: whole.texts[seed] for seed in measured}
        resumed = Caller()
        resumed.evaluate(referee, dataclasses.replace(request, measured=texts))
        assert resumed.checkpoints == shown


def test_a_candidate_that_fails_on_a_later_seed_fails_alike(
    tmp_path: Path, referee: Referee
) -> None:
    """The failure names its seed, whether the seeds before it were measured now or earlier."""
    failing = derive_seed(PUBLIC_KEY, 7, "train")
    start = "self.max_steps = config.max_steps"
    fails = f"{start}\n        assert config.seed != {failing}, 'the seventh'"
    request = request_for(write_candidate(tmp_path / "c", env=(start, fails)), **SEEDS)
    texts: dict[int, str] = {}
    for told in ([101, 138], []):
        caller = Caller()
        with pytest.raises(CandidateError, match="the seventh") as error:
            caller.evaluate(referee, dataclasses.replace(request, measured=texts))
        assert (error.value.kind, error.value.seed) == ("crash", 7)
        assert caller.told == told
        texts |= caller.texts


def test_a_disqualified_seed_still_disqualifies(tmp_path: Path, referee: Referee) -> None:
    """A fault found in random play ends an evaluation only with its report; so it does resumed."""
    folder = write_candidate(tmp_path / "c")
    request = request_for(folder)
    caller = Caller()
    score = caller.evaluate(referee, request).score
    texts = ResumeTexts(request, read_candidate(folder))
    request = dataclasses.replace(request, measured=caller.texts)
    known = ResumeTexts(request, read_candidate(folder)).read_all()
    faulty = dataclasses.replace(known[138].measured, fault="a reward is not finite")
    text = texts.write(faulty, 1.0)
    assert text is not None
    with pytest.raises(CandidateError, match="a reward is not finite") as error:
        referee.evaluate(dataclasses.replace(request, measured=caller.texts | {138: text}))
    assert (error.value.kind, error.value.score) == ("rejected", score)


# -- the service -----------------------------------------------------------------------------------


class Service:
    """`framework.py --serve`, answered that more is wanted whenever it asks."""

    def __init__(self) -> None:
        self._process = subprocess.Popen(
            [sys.executable, framework.__file__, "--serve", "--sandbox", "off"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        assert self._read()["resumes"] is True

    def _read(self) -> dict[str, Any]:
        assert self._process.stdout is not None
        event = json.loads(self._process.stdout.readline())
        assert isinstance(event, dict)
        return event

    def _send(self, message: dict[str, Any]) -> None:
        assert self._process.stdin is not None
        self._process.stdin.write(json.dumps(message) + "\n")
        self._process.stdin.flush()

    def answer(self, folder: Path, **changes: Any) -> list[dict[str, Any]]:
        """Return the events of one request."""
        request = {
            "candidate_dir": str(folder), "seeds": [101, 138], "more_seeds": [7], "key": "00",
            "num_envs": 4, "train_episodes": 2, "eval_episodes": 1, "follow": True,
        }  # fmt: skip
        self._send(request | changes)
        events = [self._read()]
        while events[-1]["event"] in {"episode", "seed"}:
            if events[-1]["event"] == "seed":
                self._send({"go_on": True})
            events.append(self._read())
        return events

    def end(self) -> None:
        """End it, as its owner does, and see that it ends well."""
        self._process.communicate(timeout=60)
        assert self._process.returncode == 0


@pytest.fixture
def start_service() -> Iterator[Callable[[], Service]]:
    services = []

    def start() -> Service:
        services.append(Service())
        return services[-1]

    yield start
    for service in services:
        service.end()


def seeds_of(events: list[dict[str, Any]], kind: str) -> list[int]:
    return sorted({event["seed"] for event in events if event["event"] == kind})


def result_of(events: list[dict[str, Any]]) -> dict[str, Any]:
    """Return what must repeat to the bit."""
    varying = {"wall_s", "steps_per_s", "peak_memory_mb", "train_s"}
    result = events[-1]["result"]
    for part in (result, *result["seed_results"], *result["more_results"]):
        for name in varying & part.keys():
            del part[name]
    assert isinstance(result, dict)
    return result


def test_the_service_takes_what_its_seed_events_gave(
    tmp_path: Path, start_service: Callable[[], Service]
) -> None:
    """In another process; a text of another seed or of nothing is measured again and reported."""
    folder = write_candidate(tmp_path / "c")
    whole = start_service().answer(folder)
    texts = {str(e["seed"]): e["resume"] for e in whole if e["event"] == "seed"}
    result = result_of(whole)
    service = start_service()
    resumed = service.answer(folder, measured={seed: texts[seed] for seed in ("101", "138")})
    assert seeds_of(resumed, "episode") == seeds_of(resumed, "seed") == [7]
    assert result_of(resumed) == result
    at_once = service.answer(folder, measured=texts)
    assert [event["event"] for event in at_once] == ["result"]
    assert result_of(at_once) == result
    confused = {"101": texts["7"], "138": "nonsense", "7": texts["7"], "5": texts["7"]}
    repeated = service.answer(folder, measured=confused)
    assert seeds_of(repeated, "episode") == seeds_of(repeated, "seed") == [101, 138]
    assert result_of(repeated) == result


def test_measured_seeds_of_a_wrong_type_are_refused(
    tmp_path: Path, start_service: Callable[[], Service]
) -> None:
    """The caller is at fault, not the candidate, and the next request is answered."""
    service, folder = start_service(), write_candidate(tmp_path / "c")
    for measured in (5, None, ["101"], {"101": 5}, {"101": None}, {"first": ""}):
        (refused,) = service.answer(folder, measured=measured)
        assert refused["event"] == "refused"
        assert refused["reason"] == "measured must map seeds to texts"
    assert service.answer(folder, measured={})[-1]["event"] == "result"
