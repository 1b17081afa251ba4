"""The same actions from the same seed in two environments, compared slot by slot. Pure, numpy.

A *slot* is one sub-environment of a batch; `T` is a number of steps, `N` of slots. What follows a
slot's first `done` in either environment is not compared.
"""

import zlib
from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np

from referee.messages import Step

MAX_COURSE_BYTES = 64 * 2**20
"""Most that is kept of one play: very wide and long batches are compared in part."""
REWARD_RTOL, REWARD_ATOL = 1e-5, 1e-6
"""Rewards that differ by no more are the same but for rounding."""
_SAME_RATIO = 1e-3
"""Largest deviation, as a share of the largest reward, at which one is a multiple of the other."""
_PAIRS_NEEDED = 16
"""Steps below which no ratio of rewards is concluded."""


class Course:
    """What one play of a batch showed: checksums of observations, rewards, ends and successes."""

    def __init__(self, num_envs: int, observation_shape: tuple[int, ...], start: bytes) -> None:
        """Begin with the first observations, float32 `[N, *observation_shape]` as bytes."""
        self.observation_shape = observation_shape
        self.steps = 0
        """Steps that are kept."""
        self._num_envs = num_envs
        self._is_full = False
        # One buffer each: a list of small arrays would take ten times the memory.
        self._digests = bytearray(self._digest(start))
        self._rewards, self._done, self._success = bytearray(), bytearray(), bytearray()

    def record(self, step: Step) -> None:
        """Add a step of the batch, if there is room."""
        kept = sum(map(len, (self._digests, self._rewards, self._done, self._success)))
        self._is_full = self._is_full or kept + 14 * self._num_envs > MAX_COURSE_BYTES
        if self._is_full:
            return
        self._digests += self._digest(step.obs)
        self._rewards += step.reward.tobytes()
        self._done += step.done.tobytes()
        self._success += step.success.tobytes()
        self.steps += 1

    @property
    def digests(self) -> np.ndarray:
        """Checksums `[T + 1, N]` of each slot's observations, the first ones included."""
        return self._column(self._digests, np.uint32)

    @property
    def rewards(self) -> np.ndarray:
        """Float64 `[T, N]`."""
        return self._column(self._rewards, np.float64)

    @property
    def done(self) -> np.ndarray:
        """Bool `[T, N]`."""
        return self._column(self._done, np.bool_)

    @property
    def success(self) -> np.ndarray:
        """Bool `[T, N]`."""
        return self._column(self._success, np.bool_)

    def _column(self, kept: bytearray, dtype: type) -> np.ndarray:
        return np.frombuffer(bytes(kept), dtype).reshape(-1, self._num_envs)

    def _digest(self, obs: bytes) -> bytes:
        view, size = memoryview(obs), len(obs) // self._num_envs
        starts = range(0, self._num_envs * size, size)
        return np.array([zlib.crc32(view[at : at + size]) for at in starts], np.uint32).tobytes()


@dataclass(frozen=True)
class Differences:
    """Where two plays of a batch differ: `[N]`, whether each slot's episodes do."""

    observations: np.ndarray
    rewards: np.ndarray
    ends: np.ndarray
    successes: np.ndarray
    challenger_rewards: np.ndarray
    """Rewards of all compared steps, in order."""
    incumbent_rewards: np.ndarray


def compare_courses(challenger: Course, incumbent: Course, horizon: int) -> Differences:
    """Compare two plays with the same actions.

    An episode that is not over in either play where one of the two ends before the horizon can't be
    compared to its end: it counts as one that ends elsewhere.
    """
    steps = min(challenger.steps, incumbent.steps)
    a_done, b_done = challenger.done[:steps], incumbent.done[:steps]
    either = a_done | b_done
    live = np.cumsum(either, axis=0) - either == 0
    a, b = challenger.rewards[:steps], incumbent.rewards[:steps]
    is_open = ~either.any(axis=0) & (steps < horizon)
    return Differences(
        observations=_observations_differ(challenger, incumbent, live & ~either),
        rewards=(~np.isclose(a, b, REWARD_RTOL, REWARD_ATOL) & live).any(axis=0),
        ends=((a_done != b_done) & live).any(axis=0) | is_open,
        successes=_successes_differ(challenger.success[:steps], incumbent.success[:steps], live),
        challenger_rewards=a[live],
        incumbent_rewards=b[live],
    )


def _observations_differ(challenger: Course, incumbent: Course, acted_on: np.ndarray) -> np.ndarray:
    """Return whether each slot's differ, `[N]`, in those after the steps `[T, N]` that count."""
    a, b = challenger.digests, incumbent.digests
    if challenger.observation_shape != incumbent.observation_shape:
        return np.ones(a.shape[1], dtype=bool)
    steps = len(acted_on)
    later = ((a[1 : steps + 1] != b[1 : steps + 1]) & acted_on).any(axis=0)
    return np.asarray((a[0] != b[0]) | later)


def _successes_differ(a: np.ndarray, b: np.ndarray, live: np.ndarray) -> np.ndarray:
    """Return whether each slot's first success is at another step, `[N]`, or in one play alone."""
    a_ever, b_ever = (np.logical_or.accumulate(one & live, axis=0) for one in (a, b))
    return np.asarray((a_ever != b_ever).any(axis=0))


def common_ratio(differences: Iterable[Differences]) -> float | None:
    """Return the factor from the incumbent's rewards to the challenger's that fits all steps."""
    pairs = [(each.incumbent_rewards, each.challenger_rewards) for each in differences]
    old, new = (np.concatenate(rewards) for rewards in zip(*pairs, strict=True))
    size = float(old @ old)
    if len(old) < _PAIRS_NEEDED or size == 0.0 or np.ptp(old) == 0.0:
        return None
    ratio = float(old @ new) / size
    fits = np.abs(new - ratio * old).max() <= _SAME_RATIO * np.abs(new).max()
    return ratio if fits else None
