"""Episodes as the referee measures and records them. Pure, numpy alone.

A *slot* is one sub-environment of a batch; only its first episode, up to its first `done`, counts.
`T` is a number of steps, `N` of slots.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, Self

import numpy as np

from referee.messages import CandidateFacts, Step
from simverse import replay_document

REPLAY_STEPS = (20, 200)
"""Batch 0 is replayed for half of the horizon, but at least and at most for so many steps."""
RANDOM_STEPS = 1000
"""Random actions are played to the horizon, but at most for so many steps."""
MAX_RECORDED_SLOTS = 64
"""Slots of batch 0 whose rewards are recorded for the flags."""
_MAX_ACTIONS = 4_000_000
"""Most actions sent at once, so that very wide batches are played for fewer steps."""


def replay_steps(horizon: int, num_envs: int) -> int:
    """Return for how many steps batch 0 is replayed."""
    least, most = REPLAY_STEPS
    return _affordable(min(horizon, max(least, min(most, horizon // 2))), num_envs)


def random_steps(horizon: int, num_envs: int) -> int:
    """Return for how many steps random actions are drawn."""
    return _affordable(min(horizon, RANDOM_STEPS), num_envs)


def _affordable(steps: int, num_envs: int) -> int:
    return max(1, min(steps, _MAX_ACTIONS // num_envs))


@dataclass(frozen=True)
class EpisodeTotals:
    """Episodes of one or more batches; every column is `[episodes]`."""

    returns: np.ndarray
    solved: np.ndarray
    lengths: np.ndarray

    @classmethod
    def zeros(cls, count: int) -> Self:
        """Return episodes without a step, to `add` to."""
        return cls(np.zeros(count), np.zeros(count, dtype=bool), np.zeros(count))

    @classmethod
    def concatenate(cls, batches: Iterable[Self]) -> Self:
        """Return the episodes of all batches, in order."""
        columns = zip(*((b.returns, b.solved, b.lengths) for b in batches), strict=True)
        return cls(*(np.concatenate(column) for column in columns))

    def add(self, running: np.ndarray, step: Step) -> None:
        """Add one step to the episodes still running (bool `[episodes]`)."""
        self.returns[running] += step.reward[running]
        self.solved[running] |= step.success[running]
        self.lengths[running] += 1


@dataclass(frozen=True)
class Rollout:
    """Consecutive steps of a batch, `[T, N]` each, beyond each slot's first `done` too."""

    rewards: np.ndarray
    done: np.ndarray
    success: np.ndarray
    digest: int | None = None
    """Checksum of all observations, if it was requested."""

    @property
    def live(self) -> np.ndarray:
        """Whether each step belongs to its slot's first episode, `[T, N]`."""
        ended = np.cumsum(self.done, axis=0) - self.done
        return np.asarray(ended == 0)

    @property
    def returns(self) -> np.ndarray:
        """Each first episode's return, `[N]`."""
        return np.asarray((self.rewards * self.live).sum(axis=0))

    @property
    def lengths(self) -> np.ndarray:
        """Each first episode's length in steps, `[N]`."""
        return np.asarray(self.live.sum(axis=0))

    @property
    def solved(self) -> np.ndarray:
        """Whether each first episode succeeded, `[N]`."""
        return np.asarray((self.success & self.live).any(axis=0))

    def head(self, steps: int) -> "Rollout":
        """Return its first steps."""
        return Rollout(self.rewards[:steps], self.done[:steps], self.success[:steps])


class BatchRecorder:
    """Records a batch while it is played: all slots' actions, and some slots' rewards."""

    def __init__(self, horizon: int, num_envs: int) -> None:
        self.start = b""
        """The first observations."""
        self._replayed = replay_steps(horizon, num_envs)
        self._compared = random_steps(horizon, num_envs)
        self._actions: list[bytes] = []
        self._columns: tuple[list[np.ndarray], ...] = ([], [], [])

    def record(
        self, actions: bytes, reward: np.ndarray, done: np.ndarray, success: np.ndarray
    ) -> None:
        """Record one step of the batch: actions int64 `[N]` as bytes, the rest `[N]`."""
        if len(self._actions) < self._replayed:
            self._actions.append(actions)
        if len(self._columns[0]) < self._compared:
            for column, values in zip(self._columns, (reward, done, success), strict=True):
                column.append(values[:MAX_RECORDED_SLOTS])

    def actions(self) -> bytes:
        """Return the actions to replay, int64 `[T, N]`."""
        return b"".join(self._actions)

    def rollout(self) -> Rollout:
        """Return the rewards, ends and successes of the recorded slots."""
        rewards, done, success = (np.array(column) for column in self._columns)
        return Rollout(rewards, done, success)


class EpisodeRecorder:
    """Records one slot's first episode, to watch."""

    def __init__(self, slot: int) -> None:
        self._slot = slot
        """Counted over all batches."""
        self._frames: list[list[float]] = []
        self._steps: list[dict[str, Any]] = []

    def record(
        self, first_slot: int, running: np.ndarray, obs: bytes, actions: bytes, step: Step
    ) -> None:
        """Record one step of the batch that begins at `first_slot`, if the slot is in it.

        Args:
            first_slot: number of the batch's first slot.
            running: whether each slot's first episode is still running, `[N]`.
            obs: the observations that the actions answer, float32 `[N, C, H, W]`.
            actions: int64 `[N]`.
            step: what followed from them.
        """
        index, count = self._slot - first_slot, len(step.reward)
        if not (0 <= index < count and running[index]):
            return
        frames = np.frombuffer(obs, np.float32).reshape(count, -1)
        self._frames.append(replay_document.values(frames[index].astype(float).tolist()))
        self._steps.append(
            replay_document.step(
                action=int(np.frombuffer(actions, np.int64)[index]),
                reward=float(step.reward[index]),
                done=bool(step.done[index]),
                success=bool(step.success[index]),
            )
        )

    def document(self, facts: CandidateFacts, horizon: int) -> dict[str, Any]:
        """Return the replay. It leaves out the seed: candidates' authors may read replays."""
        return replay_document.build(
            env=facts.env_name,
            description=facts.env_description,
            channels=None,
            observation_shape=facts.observation_shape,
            num_actions=facts.num_actions,
            horizon=horizon,
            seed=None,
            frames=self._frames,
            steps=self._steps,
            last_frame=None,
        )
