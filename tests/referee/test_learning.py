"""What is shown of a training: checked as it arrives, and summed up in ten numbers."""

import json
import socket
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from framework import CandidateError, Referee
from referee.learning import checkpoints, learning_summary, part_summaries
from referee.records import PartSummary
from referee.training_report import STATISTICS, EpisodeReport, receive_episode
from sandbox import Channel
from tests.candidates import write_candidate
from tests.referee.conftest import evaluate, request_for, strip

HEAD: dict[str, Any] = {
    "kind": "episode", "mean_return": 0.5, "solve_rate": 0.5, "env_steps": 9, "learning": {},
    "reward_parts": {},
}  # fmt: skip


@pytest.fixture
def ends() -> Iterator[tuple[Channel, Channel]]:
    """The referee's and the worker's end."""
    ours, theirs = map(Channel, socket.socketpair())
    yield ours, theirs
    ours.close()
    theirs.close()


def test_what_cannot_be_shown_is_dropped(ends: tuple[Channel, Channel]) -> None:
    """It is only shown: nobody is disqualified for a number that is not finite."""
    referee, worker = ends
    parts = {"goal": 1, "nan": float("nan"), "inf": float("-inf"), "huge": 1e300, "text": "1",
             "flag": True, "none": None, "a\nb": 1.0, "x" * 41: 1.0, "": 1.0}  # fmt: skip
    worker.send(HEAD | {"reward_parts": parts, "learning": {"entropy": 1.5, "loss": 2.0}})
    report = receive_episode(referee)
    assert (report.reward_parts, report.learning) == ({"goal": 1.0}, {"entropy": 1.5})


@pytest.mark.parametrize("name", ["learning", "reward_parts"])
@pytest.mark.parametrize(
    "value", [None, [], "text", 1, {str(number): 1.0 for number in range(33)}]
)  # fmt: skip
def test_what_no_worker_of_ours_sends_is_rejected(
    ends: tuple[Channel, Channel], name: str, value: object
) -> None:
    """Another kind of thing, or more of it than there can be."""
    referee, worker = ends
    worker.send(HEAD | {name: value})
    with pytest.raises(CandidateError, match=name) as caught:
        receive_episode(referee)
    assert caught.value.kind == "rejected"


def test_a_training_is_cut_in_ten_equal_parts() -> None:
    """The mean within each; a short one has a number for each episode."""
    assert checkpoints(range(1, 21)) == tuple(index + 0.5 for index in range(1, 20, 2))
    assert checkpoints([3.0, 1.0]) == (3.0, 1.0)
    uneven = checkpoints([1.0] * 12)
    assert uneven == (1.0,) * 10
    assert len(checkpoints(range(1000))) == 10


def test_a_summary_has_what_every_episode_reported() -> None:
    """A name that is missing once is left out; the order is that of the table."""
    episodes = [
        EpisodeReport(
            mean_return=0.0, solve_rate=0.0, env_steps=1,
            learning={"value_loss": value, "entropy": 2.0} | ({"approx_kl": 1.0} if value else {}),
            reward_parts={"b": value, "a": -value} | ({"c": 1.0} if value else {}),
        )
        for value in (0.0, 1.0, 5.0)
    ]  # fmt: skip
    summary = learning_summary(episodes)
    assert list(summary.items()) == [("entropy", (2.0,) * 3), ("value_loss", (0.0, 1.0, 5.0))]
    assert part_summaries(episodes) == {
        "b": PartSummary(at=(0.0, 1.0, 5.0), max=5.0, mean=2.0, min=0.0),
        "a": PartSummary(at=(0.0, -1.0, -5.0), max=0.0, mean=-2.0, min=-5.0),
    }


PARTS = (
    'info = {"success"',
    'info = {"reward_parts": {"pay": reward, "dtype": reward * 0, "shape": reward * float("nan")}, "success"',
)  # fmt: skip


@pytest.fixture(scope="module")
def referee() -> Iterator[Referee]:
    with Referee() as referee:
        yield referee


def test_a_seeds_result_has_its_learning(tmp_path: Path, referee: Referee) -> None:
    """Statistics always, parts where the environment names them; they change no score by a bit."""
    plain = evaluate(referee, write_candidate(tmp_path / "plain"), train_episodes=20)
    result = evaluate(referee, write_candidate(tmp_path / "c", env=PARTS), train_episodes=20)
    for seed in result.seed_results:
        assert (*seed.learning, "shaped_return") == STATISTICS
        assert all(len(values) == 10 for values in seed.learning.values())
        assert seed.learning["episode_length"] == (5.0,) * 10
        assert 0 < seed.learning["entropy"][-1] < seed.learning["entropy"][0] < 0.7
        assert list(seed.reward_parts) == ["pay", "dtype"]
        assert seed.reward_parts["pay"].at == pytest.approx(checkpoints(seed.train_returns))
        assert seed.reward_parts["pay"].max == pytest.approx(max(seed.train_returns))
    assert [seed.reward_parts for seed in plain.seed_results] == [{}, {}]
    without = strip(result)
    for seed in without["seed_results"]:
        seed["reward_parts"] = {}
    assert without == strip(plain)
    json.dumps(without, allow_nan=False)


def test_learning_is_resumed_with_its_seed(tmp_path: Path, referee: Referee) -> None:
    """Whatever the parts are called."""
    folder = write_candidate(tmp_path / "c", env=PARTS)
    texts: dict[int, str] = {}

    def follow(event: Any) -> bool:
        texts[event.seed] = event.resume
        return True

    whole = referee.evaluate(request_for(folder), should_continue=follow)
    again = referee.evaluate(request_for(folder, measured=texts))
    assert strip(again) == strip(whole)
