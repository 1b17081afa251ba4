"""The flags, by the names that the evaluator file of version 0.1's workspaces imports."""

import numpy as np

from referee.budget import Work
from referee.episodes import MAX_RECORDED_SLOTS as SLOTS_KEPT
from referee.episodes import Rollout as Play
from referee.flags import Observations as Evidence
from referee.flags import find_flags

__all__ = ["SLOTS_KEPT", "Evidence", "Play", "Tape", "Work", "find_flags", "random_steps"]

_REPLAY_STEPS = (20, 200)
"""Batch 0 is replayed for half of the horizon, but at least and at most for so many steps."""
_RANDOM_STEPS = 1000
_MAX_ACTIONS = 4_000_000


def random_steps(horizon: int, num_envs: int) -> int:
    """Return for how many steps random actions are drawn."""
    return _affordable(min(horizon, _RANDOM_STEPS), num_envs)


def _affordable(steps: int, num_envs: int) -> int:
    return max(1, min(steps, _MAX_ACTIONS // num_envs))


class Tape:
    """Records a batch while it is played: all slots' actions, and some slots' rewards."""

    def __init__(self, horizon: int, num_envs: int) -> None:
        self.start = b""
        """The first observations."""
        least, most = _REPLAY_STEPS
        replayed = min(horizon, max(least, min(most, horizon // 2)))
        self._replayed = _affordable(replayed, num_envs)
        self._compared = random_steps(horizon, num_envs)
        self._actions: list[bytes] = []
        self._columns: tuple[list[np.ndarray], ...] = ([], [], [])

    def take(
        self, actions: bytes, reward: np.ndarray, done: np.ndarray, success: np.ndarray
    ) -> None:
        """Record one step of the batch: actions int64 `[N]` as bytes, the rest `[N]`."""
        if len(self._actions) < self._replayed:
            self._actions.append(actions)
        if len(self._columns[0]) < self._compared:
            for column, values in zip(self._columns, (reward, done, success), strict=True):
                column.append(values[:SLOTS_KEPT])

    def actions(self) -> bytes:
        """Return the actions to replay, int64 `[T, N]`."""
        return b"".join(self._actions)

    def play(self) -> Play:
        """Return the rewards, ends and successes of the recorded slots."""
        rewards, done, success = (np.array(column) for column in self._columns)
        return Play(rewards, done, success)
