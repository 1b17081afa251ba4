"""Episodes as the referee measures and records them. Pure, numpy alone.

A *slot* is one sub-environment of a batch; only its first episode, up to its first `done`, counts.
`T` is a number of steps, `N` of slots.
"""

import hashlib
import zlib
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Self

import numpy as np

from referee.courses import Course
from referee.messages import Step

RECORDED_STEPS = 1000
"""First steps of a play whose rewards are recorded one by one; of later ones the sums."""
MAX_RECORDED_SLOTS = 64
"""Slots whose rewards are recorded for the flags."""
_MAX_ACTIONS_BYTES = 64 * 2**20
"""Most actions kept to be replayed: very wide and long batches are replayed in part."""


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

    def is_same(self, other: Self, *, exact: bool) -> bool:
        """Did all episodes go alike? Not `exact`: returns may differ by rounding."""
        a, b = self.returns, other.returns
        return bool(
            (a == b if exact else np.isclose(a, b, rtol=1e-4)).all()
            and (self.solved == other.solved).all()
            and (self.lengths == other.lengths).all()
        )

    def add(self, running: np.ndarray, step: Step) -> None:
        """Add one step to the episodes still running (bool `[episodes]`)."""
        self.returns[running] += step.reward[running]
        self.solved[running] |= step.success[running]
        self.lengths[running] += 1


@dataclass(frozen=True)
class Rollout:
    """The first steps of a batch, `[T, N]` each, beyond each slot's first `done` too."""

    rewards: np.ndarray
    done: np.ndarray
    success: np.ndarray
    digest: int | None = None
    """Checksum of all observations, if it was requested."""
    later: np.ndarray | None = None
    """What the first episodes added after these steps: returns, lengths, successes, `[3, N]`."""

    @property
    def live(self) -> np.ndarray:
        """Whether each step belongs to its slot's first episode, `[T, N]`."""
        ended = np.cumsum(self.done, axis=0) - self.done
        return np.asarray(ended == 0)

    @property
    def returns(self) -> np.ndarray:
        """Each first episode's return, `[N]`."""
        recorded = np.asarray(np.where(self.live, self.rewards, 0.0).sum(axis=0))
        return recorded if self.later is None else recorded + self.later[0]

    @property
    def lengths(self) -> np.ndarray:
        """Each first episode's length in steps, `[N]`."""
        recorded = np.asarray(self.live.sum(axis=0))
        return recorded if self.later is None else recorded + self.later[1].astype(int)

    @property
    def solved(self) -> np.ndarray:
        """Whether each first episode succeeded, `[N]`."""
        recorded = np.asarray((self.success & self.live).any(axis=0))
        return recorded if self.later is None else recorded | (self.later[2] > 0)

    def head(self, steps: int) -> "Rollout":
        """Return its first steps."""
        return Rollout(self.rewards[:steps], self.done[:steps], self.success[:steps])


def recorded_slots(num_envs: int, draw: int) -> np.ndarray:
    """Return the slots whose rewards are recorded: all, or as many as may be, by a drawn number.

    A slot knows its own number, so no fixed ones may stand for the others.
    """
    slots = np.random.default_rng(draw).permutation(num_envs)[:MAX_RECORDED_SLOTS]
    return np.sort(slots)


class BatchRecorder:
    """Records a batch while it is played: totals of all slots, some slots' rewards, all actions.

    It holds copies: a view would keep a whole message, with its observations, in memory.
    """

    def __init__(
        self,
        num_envs: int,
        num_actions: int,
        start: bytes,
        course: Course | None = None,
        *,
        recorded: np.ndarray | None = None,
    ) -> None:
        """Begin with the first observations, float32 `[N, C, H, W]` as bytes.

        Args:
            num_envs: slots.
            num_actions: of the environment.
            start: the first observations.
            course: records the play too, to be compared with another one.
            recorded: the slots whose rewards are recorded (`recorded_slots`), if not the first.
        """
        self.course = course
        self.start = hashlib.blake2b(start).digest()
        """Checksum of the first observations."""
        self.totals = EpisodeTotals.zeros(num_envs)
        self.running = np.ones(num_envs, dtype=bool)
        """Whether each slot's first episode is still running."""
        self.steps = 0
        self._slots = np.arange(min(num_envs, MAX_RECORDED_SLOTS)) if recorded is None else recorded
        self._columns: tuple[list[np.ndarray], ...] = ([], [], [])
        self._later: EpisodeTotals | None = None
        self._digest = 0
        self._action = np.min_scalar_type(num_actions - 1)
        self._actions: list[bytes] = []
        self._kept_bytes = 0

    def record(self, actions: bytes, step: Step) -> None:
        """Record one step of the batch: actions int64 `[N]` as bytes, and what followed."""
        kept = np.frombuffer(actions, np.int64).astype(self._action).tobytes()
        if self._kept_bytes + len(kept) <= _MAX_ACTIONS_BYTES:
            self._actions.append(kept)
            self._kept_bytes += len(kept)
        if self.steps < RECORDED_STEPS:
            for column, values in zip(
                self._columns, (step.reward, step.done, step.success), strict=True
            ):
                column.append(values[self._slots])  # a copy
        else:
            self._later = self._later or EpisodeTotals.zeros(len(self.running))
            self._later.add(self.running, step)
        if self.course is not None:
            self.course.record(step)
        self._digest = zlib.crc32(step.obs, self._digest)
        self.totals.add(self.running, step)
        self.running &= ~step.done
        self.steps += 1

    def actions(self, step: int) -> bytes | None:
        """Return a step's actions, int64 `[N]`; None where none were kept."""
        if step >= len(self._actions):
            return None
        return np.frombuffer(self._actions[step], self._action).astype(np.int64).tobytes()

    @property
    def is_whole(self) -> bool:
        """Whether all actions were kept, so that all of it can be replayed."""
        return len(self._actions) == self.steps

    def repeats(self, other: Self, *, exact: bool) -> bool:
        """Is this the same play as another one: starts, episodes to their end, observations?

        Not `exact`: numbers may differ by rounding, so observations are not compared.
        """
        return (
            self.steps == other.steps
            and bool((self.running == other.running).all())
            and self.totals.is_same(other.totals, exact=exact)
            and (not exact or (self.start, self._digest) == (other.start, other._digest))
        )

    def rollout(self) -> Rollout:
        """Return the rewards, ends and successes of the recorded slots."""
        rewards, done, success = (
            np.array(column, dtype).reshape(-1, len(self._slots))
            for column, dtype in zip(self._columns, (float, bool, bool), strict=True)
        )
        later = self._later
        columns = None if later is None else (later.returns, later.lengths, later.solved)
        return Rollout(
            rewards,
            done,
            success,
            self._digest,
            None if columns is None else np.array(columns, dtype=float)[:, self._slots],
        )
