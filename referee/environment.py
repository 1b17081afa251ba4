"""A batch of sub-environments, as the referee drives the worker that holds it."""

import contextlib
import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from referee import messages
from referee.layers import LayersOf
from referee.messages import EnvironmentJob, Step, checked_actions, checked_shape
from referee.records import CandidateError
from referee.wire import receive, shown
from sandbox import Channel
from sandbox.channel import MAX_PAYLOAD_BYTES

OpenWorker = Callable[[], contextlib.AbstractContextManager[Channel]]
"""Returns the channel of a fresh environment worker, which ends with the block."""
_ANSWER_S = 60.0
"""Time for one answer of the incumbent's environment, which must not hang a challenger."""


@dataclass(frozen=True)
class UnknownBatch:
    """A fresh batch of an environment of which nothing was known before."""

    observation_shape: tuple[int, ...]
    """`(C, H, W)`."""
    num_actions: int
    obs: bytes
    """The first observations, float32 `[N, C, H, W]`."""


def _receive_unknown_reset(channel: Channel, num_envs: int) -> UnknownBatch:
    """Receive the first observations of `num_envs` sub-environments, whatever their shape is."""
    head, obs = receive(
        channel, "reset", payload_bytes=range(MAX_PAYLOAD_BYTES + 1), timeout_s=_ANSWER_S
    )
    sizes = head.get("shape")
    if not isinstance(sizes, list) or sizes[:1] != [num_envs]:
        raise CandidateError("rejected", f"the worker's shape is {shown(sizes)}")
    shape = checked_shape(sizes[1:], num_envs)
    if len(obs) != 4 * num_envs * math.prod(shape):
        raise CandidateError("rejected", f"the worker's reset has {len(obs)} bytes")
    return UnknownBatch(shape, checked_actions(head), obs)


class Environment:
    """One batch of fresh sub-environments of the candidate's."""

    def __init__(
        self, channel: Channel, job: EnvironmentJob, observation_shape: tuple[int, ...]
    ) -> None:
        """Have the worker import the candidate's environment."""
        self._channel = channel
        self.layers = LayersOf(channel)
        """Asks it to draw itself."""
        self._num_envs = job.num_envs
        self._shape = [job.num_envs, *observation_shape]
        messages.send_job(channel, job)

    def create(self, env_seed: int, torch_seed: int) -> bytes:
        """Have the batch made; return its first observations, float32 `[N, C, H, W]`."""
        messages.send_create(self._channel, env_seed, torch_seed)
        return messages.receive_reset(self._channel, self._shape)

    def step(self, actions: bytes) -> Step:
        """Take one step of the batch with actions int64 `[N]`."""
        messages.send_step_request(self._channel, actions)
        return messages.receive_step(self._channel, self._num_envs, 4 * math.prod(self._shape))


class UnknownEnvironment:
    """Likewise the incumbent's, of which nothing is known beforehand; it may not hang either."""

    def __init__(self, channel: Channel, job: EnvironmentJob) -> None:
        """Have the worker import the incumbent's environment."""
        self._channel = channel
        self._num_envs = job.num_envs
        self._obs_bytes = 0
        messages.send_job(channel, job)

    def create(self, env_seed: int, torch_seed: int) -> UnknownBatch:
        """Have the batch made."""
        messages.send_create(self._channel, env_seed, torch_seed)
        batch = _receive_unknown_reset(self._channel, self._num_envs)
        self._obs_bytes = len(batch.obs)
        return batch

    def step(self, actions: bytes) -> Step:
        """Take one step of the batch with actions int64 `[N]`."""
        messages.send_step_request(self._channel, actions)
        return messages.receive_step(
            self._channel, self._num_envs, self._obs_bytes, timeout_s=_ANSWER_S
        )


def reward_fault(rewards: np.ndarray, running: np.ndarray, bound: float) -> str | None:
    """Return what is wrong with one of a step's rewards `[N]`, None if there is nothing.

    Every reward must be finite, as in training; within the bound only those of slots whose first
    episode is `running` (bool `[N]`, one at least), as only they are paid. The reward itself is
    left out: the environment could say anything with it.
    """
    if not np.isfinite(rewards).all():
        return "a reward is not finite"
    # A float32 reward of exactly the bound may exceed it by rounding.
    if np.abs(rewards[running]).max() > bound * (1 + 1e-6):
        return f"a reward is outside [-{bound:g}, {bound:g}] a step (evaluator.reward_bound)"
    return None
