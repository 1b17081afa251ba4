"""The user's world, as the referee drives the worker that holds it."""

import contextlib
import re
from collections.abc import Iterator

import numpy as np

from referee import messages
from referee.messages import Step, WorldFacts, WorldJob
from referee.records import CandidateError
from referee.world_files import WorldError
from sandbox import Channel, ChannelClosedError, ChannelError

_LINE = re.compile(r'[/\\]task[/\\](\w+\.py)", line (\d+)')


class WorldEnvironment:
    """One worker's world, batch after batch: it holds no candidate's code that could remember."""

    def __init__(self, channel: Channel, job: WorldJob) -> None:
        """Have the worker import the world."""
        self._channel = channel
        self._num_envs = job.num_envs
        self._view_bytes = 0
        self.facts: WorldFacts | None = None
        """What the first batch said that the world is; every other one must say the same."""
        messages.send_job(channel, job)

    def create(self, env_seed: int, torch_seed: int) -> bytes:
        """Have a batch made; return its first views, packed, float32 `[N, K, 1, 1]`.

        Raises:
            WorldError: it can't be made, or is another task than the batches before it.
        """
        messages.send_create(self._channel, env_seed, torch_seed)
        with _worlds_fault():
            facts, views = messages.receive_world_reset(self._channel, self._num_envs)
        _check_same(self.facts or facts, facts)
        self.facts, self._view_bytes = facts, len(views)
        return views

    def step(self, actions: bytes, running: np.ndarray) -> Step:
        """Take one step of the batch with actions int64 `[N]`.

        Args:
            actions: int64 `[N]`.
            running: bool `[N]`, whose rewards must be within the world's bound.

        Raises:
            WorldError: it failed, or paid what it may not.
        """
        messages.send_step_request(self._channel, actions)
        with _worlds_fault():
            step = messages.receive_step(self._channel, self._num_envs, self._view_bytes)
        if not np.isfinite(step.reward).all():
            raise WorldError("task/world.py: a reward is not finite")
        bound = None if self.facts is None else self.facts.reward_bound
        if bound is not None and np.abs(step.reward[running]).max() > bound * (1 + 1e-6):
            worst = float(np.abs(step.reward[running]).max())
            raise WorldError(
                f"task/world.py: a reward of magnitude {worst:g} exceeds its own reward_bound of "
                f"{bound:g}"
            )
        return step


def _check_same(first: WorldFacts, other: WorldFacts) -> None:
    for name in ("max_steps", "num_actions", "view"):
        one, two = getattr(first, name), getattr(other, name)
        if one != two:
            raise WorldError(
                f"task/world.py: {name} differs between seeds: {one} and {two}; a world's sizes "
                "may not depend on config.seed"
            )


@contextlib.contextmanager
def _worlds_fault() -> Iterator[None]:
    """Turn what its worker did wrong into a `WorldError`."""
    try:
        yield
    except CandidateError as error:
        places = _LINE.findall(error.details)
        where = "task/{} line {}".format(*places[-1]) if places else "task/world.py"
        raise WorldError(f"{where}: {error.reason}") from error
    except ChannelClosedError:
        raise  # it has died: its block says what that means
    except ChannelError as error:
        raise WorldError(f"task/world.py: {error}") from error
