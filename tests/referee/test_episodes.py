"""Episodes as the referee measures and records them."""

import sys

import numpy as np

from referee import episodes
from referee.episodes import (
    BatchRecorder,
    EpisodeTotals,
    Rollout,
    recorded_slots,
)
from referee.messages import Step


def test_only_first_episodes_count() -> None:
    """Steps after a slot's first `done` count neither for its return nor for its length or success."""
    rewards = np.ones((4, 2))
    done = np.array([[0, 0], [1, 0], [0, 1], [1, 1]], dtype=bool)
    success = np.array([[0, 0], [0, 0], [1, 1], [1, 1]], dtype=bool)
    rollout = Rollout(rewards, done, success)
    assert rollout.returns.tolist() == [2, 3]
    assert rollout.lengths.tolist() == [2, 3]
    assert rollout.solved.tolist() == [False, True]


def test_no_reward_after_the_end_counts_not_even_none() -> None:
    """What is no number stays out of the sum."""
    done = np.array([[True, False], [True, True]])
    rollout = Rollout(np.array([[1.0, 2.0], [np.nan, 3.0]]), done, done)
    assert rollout.returns.tolist() == [1, 5]


def wide_step(slots: int, *, done: bool = False) -> Step:
    """One step of a wide batch, in which every slot is paid a half."""
    ends = np.full(slots, done)
    obs = np.zeros(slots, np.float32).tobytes()
    return Step(reward=np.full(slots, 0.5), done=ends, success=ends, obs=obs)


def test_a_recorder_keeps_what_will_be_replayed() -> None:
    """All slots' actions and totals, some slots' rewards, and what came after them as sums."""
    steps = episodes.RECORDED_STEPS + 5
    recorder = BatchRecorder(num_envs=100, num_actions=70_000, start=b"x")
    for number in range(steps):
        actions = np.full(100, number + 65_000).tobytes()
        recorder.record(actions, wide_step(100, done=number == steps - 1))
    assert np.frombuffer(recorder.actions(steps - 1) or b"", np.int64).tolist() == (
        [steps + 64_999] * 100
    )
    assert recorder.actions(steps) is None
    rollout = recorder.rollout()
    assert rollout.rewards.shape == (episodes.RECORDED_STEPS, episodes.MAX_RECORDED_SLOTS)
    assert rollout.returns.tolist() == [steps / 2] * episodes.MAX_RECORDED_SLOTS
    assert rollout.lengths.tolist() == [steps] * episodes.MAX_RECORDED_SLOTS
    assert rollout.solved.all()
    assert recorder.totals.returns.tolist() == [steps / 2] * 100
    assert not recorder.running.any()


def test_the_recorded_slots_are_drawn_and_stay_the_same() -> None:
    """All where there are few; what is recorded is of the slots drawn, later sums included."""
    assert recorded_slots(64, 1).tolist() == list(range(64))
    drawn = recorded_slots(100, 1)
    assert len(set(drawn.tolist())) == episodes.MAX_RECORDED_SLOTS
    assert drawn.tolist() == recorded_slots(100, 1).tolist() != recorded_slots(100, 2).tolist()
    recorder = BatchRecorder(num_envs=100, num_actions=2, start=b"", recorded=drawn)
    none = np.zeros(100, bool)
    for _ in range(episodes.RECORDED_STEPS + 1):
        recorder.record(bytes(800), Step(np.arange(100.0), none, none, b""))
    assert (recorder.rollout().returns == drawn * (episodes.RECORDED_STEPS + 1)).all()


def test_a_recorder_of_no_step_has_an_empty_rollout() -> None:
    """Random play may end with its first reward."""
    rollout = BatchRecorder(num_envs=3, num_actions=2, start=b"").rollout()
    assert rollout.returns.tolist() == [0, 0, 0]
    assert rollout.solved.tolist() == [False] * 3


def played(
    steps: int = 3, *, done: bool = True, start: bytes = b"x", obs: bytes = b"o", pay: float = 0.5
) -> BatchRecorder:
    """One slot, its last step an end or not."""
    recorder = BatchRecorder(num_envs=1, num_actions=2, start=start)
    for number in range(steps):
        ends = np.array([done and number == steps - 1])
        recorder.record(b"\0" * 8, Step(np.full(1, pay), ends, ends, obs))
    return recorder


def test_a_play_is_repeated_by_the_same_steps_ends_and_observations() -> None:
    """Observations count only where the same computation gives the same bits."""
    assert played().repeats(played(), exact=True)
    for other in (played(2), played(4), played(done=False), played(pay=0.25)):
        assert not played().repeats(other, exact=True)
        assert not played().repeats(other, exact=False)
    for other in (played(start=b"y"), played(obs=b"p")):
        assert not played().repeats(other, exact=True)
        assert played().repeats(other, exact=False)


def test_the_actions_kept_are_bounded() -> None:
    """A very wide batch is replayed for fewer steps; its totals are whole."""
    wide = 2**22
    recorder = BatchRecorder(num_envs=wide, num_actions=300, start=b"")
    actions, one = np.zeros(wide, np.int64).tobytes(), wide_step(wide)
    for _ in range(10):
        recorder.record(actions, one)
    assert recorder.actions(7) == actions
    assert recorder.actions(8) is None
    assert not recorder.is_whole
    assert played().is_whole
    assert recorder.totals.returns[-1] == 5.0


def test_a_recorder_holds_no_message() -> None:
    """A view of a message would keep its observations in memory, step after step."""
    recorder = BatchRecorder(num_envs=4, num_actions=2, start=b"")
    message = np.zeros(10_000)
    for _ in range(10):
        step = Step(message[:4], np.zeros(4, bool), np.zeros(4, bool), b"")
        recorder.record(np.zeros(4, np.int64).tobytes(), step)
    assert sys.getrefcount(message) == 3  # the name, the last step's view, the argument


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
