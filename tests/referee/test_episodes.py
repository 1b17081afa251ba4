"""Episodes as the referee measures and records them."""

import numpy as np
import pytest

from referee import episodes
from referee.episodes import BatchRecorder, EpisodeRecorder, EpisodeTotals, Rollout
from referee.messages import CandidateFacts, Step
from simverse.replay import check_replay


def test_only_first_episodes_count() -> None:
    """Steps after a slot's first `done` count neither for its return nor for its length or success."""
    rewards = np.ones((4, 2))
    done = np.array([[0, 0], [1, 0], [0, 1], [1, 1]], dtype=bool)
    success = np.array([[0, 0], [0, 0], [1, 1], [1, 1]], dtype=bool)
    rollout = Rollout(rewards, done, success)
    assert rollout.returns.tolist() == [2, 3]
    assert rollout.lengths.tolist() == [2, 3]
    assert rollout.solved.tolist() == [False, True]


def test_a_recorder_keeps_what_will_be_replayed() -> None:
    """All slots' actions for half of the horizon, some slots' rewards to its end."""
    recorder = BatchRecorder(horizon=60, num_envs=100)
    for step in range(60):
        actions = np.full(100, step).tobytes()
        recorder.record(actions, np.full(100, 0.5), np.zeros(100, bool), np.zeros(100, bool))
    again = np.frombuffer(recorder.actions(), np.int64).reshape(-1, 100)
    assert again.shape == (30, 100)
    assert again[-1, -1] == 29
    assert recorder.rollout().rewards.shape == (60, episodes.MAX_RECORDED_SLOTS)


@pytest.mark.parametrize(
    ("horizon", "num_envs", "replayed", "random"),
    [(5, 8, 5, 5), (30, 8, 20, 30), (100, 8, 50, 100), (5000, 8, 200, 1000), (40, 10**6, 4, 4)],
)
def test_the_rollouts_are_bounded(horizon: int, num_envs: int, replayed: int, random: int) -> None:
    """Half of the horizon within 20 and 200 steps, all of it within 1000, and never too much."""
    assert episodes.replay_steps(horizon, num_envs) == replayed
    assert episodes.random_steps(horizon, num_envs) == random


def step(reward: float, *, done: bool = False, success: bool = False) -> Step:
    """One step of two slots; the second gets 10 times the reward and never ends."""
    return Step(
        reward=np.array([reward, 10 * reward]),
        done=np.array([done, False]),
        success=np.array([success, False]),
        obs=b"",
    )


def test_totals_are_of_the_running_episodes() -> None:
    """What a slot does after its end is added to nothing; batches are joined in order."""
    totals, running = EpisodeTotals.zeros(2), np.ones(2, dtype=bool)
    for each in (step(0.5), step(0.25, done=True, success=True), step(1.0, success=True)):
        totals.add(running, each)
        running &= ~each.done
    both = EpisodeTotals.concatenate([totals, EpisodeTotals.zeros(1)])
    assert both.returns.tolist() == [0.75, 17.5, 0.0]
    assert both.lengths.tolist() == [2, 3, 0]
    assert both.solved.tolist() == [True, False, False]


def test_the_replay_is_one_slots_first_episode() -> None:
    """Only from its own batch and only while it runs; a valid document without a seed."""
    recorder, running = EpisodeRecorder(slot=2), np.ones(2, dtype=bool)
    obs, actions = np.arange(4, dtype=np.float32).tobytes(), np.array([1, 0]).tobytes()
    recorder.record(0, running, obs, actions, step(9.0))  # slots 0 and 1
    recorder.record(2, running, obs, actions, step(0.5))
    recorder.record(2, running, obs, actions, step(0.25, done=True, success=True))
    recorder.record(2, np.array([False, True]), obs, actions, step(9.0))
    facts = CandidateFacts(
        env_name="Tiny",
        env_description="a task",
        observation_shape=(1, 1, 2),
        num_actions=2,
        policy_parameters=1,
    )
    document = recorder.document(facts, horizon=5)
    check_replay(document)
    assert [(s["action"], s["reward"]) for s in document["steps"]] == [(1, 0.5), (1, 0.25)]
    assert (document["return"], document["seed"]) == (0.75, None)
