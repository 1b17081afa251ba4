"""Films: episodes recorded to be watched, bounded and without a seed."""

import json

import numpy as np
import pytest

from referee.films import EpisodeRecorder
from referee.messages import CandidateFacts, Step
from simverse.replay import check_replay


def step(reward: float, *, done: bool = False, success: bool = False) -> Step:
    """One step of two slots; the second gets 10 times the reward and never ends."""
    return Step(
        reward=np.array([reward, 10 * reward]),
        done=np.array([done, False]),
        success=np.array([success, False]),
        obs=b"",
    )


def test_the_replay_is_one_slots_first_episode() -> None:
    """Only from its own batch and only while it runs; a valid document without a seed."""
    recorder, running = EpisodeRecorder(slot=2), np.ones(2, dtype=bool)
    obs, actions = np.arange(4, dtype=np.float32).tobytes(), np.array([1, 0]).tobytes()
    recorder.record(0, running, obs, actions, step(9.0))  # slots 0 and 1
    recorder.record(2, running, obs, actions, step(0.5))
    recorder.record(2, running, obs, actions, step(0.25, done=True, success=True))
    recorder.record(2, np.array([False, True]), obs, actions, step(9.0))
    document = recorder.document(facts((1, 1, 2)), horizon=5)
    check_replay(document)
    assert [(s["action"], s["reward"]) for s in document["steps"]] == [(1, 0.5), (1, 0.25)]
    assert (document["return"], document["seed"]) == (0.75, None)


def facts(shape: tuple[int, ...]) -> CandidateFacts:
    """A candidate with this view."""
    return CandidateFacts(
        env_name="Tiny",
        env_description="a task",
        observation_shape=shape,
        num_actions=2,
        policy_parameters=1,
    )


@pytest.mark.parametrize("size", [100_000, 2**21], ids=["some fit", "none fits"])
def test_a_film_of_large_views_is_bounded(size: int) -> None:
    """Frames beyond the budget are blank and said to be; steps and return are whole."""
    recorder, running = EpisodeRecorder(slot=0), np.ones(1, dtype=bool)
    obs, action = np.full(size, 0.5, np.float32).tobytes(), np.zeros(1, np.int64).tobytes()
    one = Step(np.array([0.5]), np.array([False]), np.array([False]), b"")
    for _ in range(20):
        recorder.record(0, running, obs, action, one)
    document = recorder.document(facts((1, 1, size)), horizon=50)
    kept = 250_000 // size
    assert f"frames after the first {kept} are blank" in document["description"]
    assert len(document["steps"]) == 20
    assert document["return"] == 10.0
    frames = [step["frame"] for step in document["steps"]]
    assert frames[kept:] == [{"runs": [0, size]}] * (20 - kept)
    assert len(json.dumps(document)) < 2_000_000


def test_a_film_of_very_many_steps_is_cut() -> None:
    """And says how many there were."""
    recorder, running = EpisodeRecorder(slot=0), np.ones(1, dtype=bool)
    action = np.zeros(1, np.int64).tobytes()
    one = Step(np.array([0.5]), np.array([False]), np.array([False]), b"")
    for _ in range(10_007):
        recorder.record(0, running, np.zeros(1, np.float32).tobytes(), action, one)
    document = recorder.document(facts((1, 1, 1)), horizon=20_000)
    assert document["description"].endswith("[the first 10000 of 10007 steps]")
    check_replay(document)
