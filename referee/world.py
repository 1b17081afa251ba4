"""The user's world, as the referee drives the worker that holds it."""

import contextlib
import re
from collections.abc import Iterator, Sequence

import numpy as np

from referee import messages, world_messages
from referee.layers import Layers, LayersOf
from referee.messages import Step, WorldJob
from referee.records import CandidateError
from referee.world_files import WorldError
from referee.world_messages import WorldFacts
from sandbox import Channel, ChannelClosedError, ChannelError

LIMIT_S = 60.0
"""How long a world may take to be made, or for one step, in seconds."""
_IN_BRACKETS = re.compile(r" \(task/\w+\.py line \d+\)$")
_LINE = re.compile(r'[/\\]task[/\\](\w+\.py)", line (\d+)')


class WorldEnvironment:
    """One worker's world, batch after batch: it holds no candidate's code that could remember."""

    def __init__(self, channel: Channel, job: WorldJob, *, limit_s: float = LIMIT_S) -> None:
        """Have the worker import the world; each of its answers may take `limit_s` seconds."""
        self._channel = channel
        self._layers = LayersOf(channel)
        self._limit_s = limit_s
        self._num_envs = job.num_envs
        self._view_bytes = 0
        self.facts: WorldFacts | None = None
        """What the first batch said that the world is; every other one must say the same."""
        messages.send_job(channel, job)

    def check_horizon(self, pinned: int | None) -> None:
        """Check that `task.max_steps`, if it is set, is the world's own horizon.

        Raises:
            WorldError: it is another one.
        """
        if pinned is not None and self.facts is not None and self.facts.max_steps != pinned:
            raise WorldError(
                f"task/world.py has a horizon of {self.facts.max_steps} steps, and task.max_steps "
                f"says {pinned}: leave task.max_steps out of config.yaml"
            )

    def create(self, env_seed: int, torch_seed: int, secret: int) -> bytes:
        """Have a batch made; return its first views, packed, float32 `[N, K, 1, 1]`.

        Args:
            env_seed: what `config.seed` is.
            torch_seed: of the global generators.
            secret: 128 bits, by which the world's generators are moved on.

        Raises:
            WorldError: it can't be made, or is another task than the batches before it.
        """
        world_messages.send_world_create(self._channel, env_seed, torch_seed, secret)
        self._await("create_world() and reset()")
        with _worlds_fault():
            facts, views = world_messages.receive_world_reset(self._channel, self._num_envs)
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
        self._await("step()")
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

    def layers(self, slots: Sequence[int]) -> Layers | None:
        """Have some slots of the batch drawn as they are; None if the world does not do that.

        Raises:
            WorldError: it failed.
        """
        with _worlds_fault():
            return self._layers.of(slots)

    def _await(self, what: str) -> None:
        """Wait for an answer. Raises `WorldError` if there is none: no candidate's time is up."""
        if not self._channel.has_news(self._limit_s):
            raise WorldError(
                f"task/world.py: {what} did not return within {self._limit_s:g} s: it hangs"
            )


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
        reason = error.reason.removeprefix("EnvironmentContractError: ").rstrip(": ")
        reason = _IN_BRACKETS.sub("", reason)  # it comes first here
        said = reason if reason.startswith("task/") else f"{where}: {reason}"
        raise WorldError(said) from error
    except ChannelClosedError:
        raise
    except ChannelError as error:
        raise WorldError(f"task/world.py: its worker broke protocol: {error}") from error
