"""Greedy evaluation in held-out episodes while training goes on, and the best policy of it."""

import contextlib
import math
from collections.abc import Callable, Iterator, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from torch import nn

from simverse import checkpoint as checkpoints
from simverse.core.distributions import action_distribution
from simverse.core.random_state import (
    env_state,
    global_state,
    set_env_state,
    set_global_state,
)
from simverse.play import Episodes, greedy, play_many
from simverse.training.checkpoints import checkpoint_of
from simverse.training.stats import EpisodeStats


@dataclass(frozen=True, kw_only=True)
class Evaluation:
    """A policy's greedy episodes in a held-out environment."""

    trained_episodes: int
    """PPO episodes that it was trained for."""
    env_steps: int
    """Sub-environment steps that it was trained for."""
    episodes: int
    """How many were played."""
    mean_return: float
    """Of the task's own reward, without discount."""
    standard_error: float
    """Of the mean, over episodes."""
    solve_rate: float
    mean_length: float
    """In steps."""
    is_best: bool
    """Whether no evaluation before had as high a mean."""

    def __str__(self) -> str:
        """Return a line for people."""
        return (
            f"return {self.mean_return:.3f} ± {self.standard_error:.3f} (standard error), "
            f"solved {self.solve_rate:.0%}, {self.mean_length:.1f} steps, over {self.episodes} "
            f"held-out episodes, after {self.trained_episodes} of training"
        )


class EvaluateEvery:
    """Plays greedily after every few PPO episodes, as the `on_episode` of `ppo.train`.

    Each evaluation plays fresh episodes. Training is left as it is: the modes of the modules and
    the global generators are put back, and wrappers learn nothing from what is played. Give the
    environment statistics that it shares with the one of training (`NormalizeObservation`).

    The best policy is that of the highest mean. As the highest of several estimates its mean is
    too high on average: play it anew for a number to report.
    """

    def __init__(
        self,
        env: Any,
        policy: nn.Module,
        *,
        every: int,
        episodes: int,
        max_steps: int,
        best: Path | None = None,
        name: str | None = None,
        training: Mapping[str, Any] | None = None,
        on_evaluation: Callable[[Evaluation], None] | None = None,
    ) -> None:
        """Prepare.

        Args:
            env: to play in, never that of training; its seed is another one.
            policy: the one that is trained.
            every: PPO episodes from one evaluation to the next.
            episodes: to play at a time, at least 2.
            max_steps: the horizon, in steps.
            best: where the best policy is kept, a file of `simverse.checkpoint`, replaced as a
                whole.
            name: of the environment, for that file; its class's without one.
            training: how the policy is trained, for that file: plain numbers, text, booleans.
            on_evaluation: called with each evaluation.

        Raises:
            ValueError: `every` is below 1 or `episodes` below 2.
        """
        if every < 1:
            raise ValueError(f"every must be at least 1 episode, got {every}")
        if episodes < 2:
            raise ValueError(f"a standard error needs at least 2 episodes, got {episodes}")
        self.env, self.policy = env, policy
        self.every, self.episodes, self.max_steps = every, episodes, max_steps
        self._file, self._name = best, name
        self._training = dict(training or {})
        self._on_evaluation = on_evaluation
        self._env_steps = 0
        self.history: list[Evaluation] = []
        """All of them, in order."""

    @property
    def best(self) -> Evaluation | None:
        """The best so far."""
        return max(self.history, key=lambda found: found.mean_return, default=None)

    def __call__(self, stats: EpisodeStats) -> None:
        """Note a PPO episode, and evaluate when it is time."""
        self._env_steps += stats.env_steps
        if (stats.episode + 1) % self.every == 0:
            self.evaluate(stats.episode + 1)

    def evaluate(self, trained_episodes: int) -> Evaluation:
        """Play now, and keep the policy if it is the best."""
        with _undisturbed(self.env, self.policy):
            act = greedy(self.policy, action_distribution(self.env.action_space, self.policy))
            played = play_many(self.env, act, episodes=self.episodes, max_steps=self.max_steps)
        found = self._summary(played, trained_episodes)
        self.history.append(found)
        if found.is_best and self._file is not None:
            facts = {"episodes": trained_episodes, "evaluated_return": found.mean_return}
            checkpoints.save(
                self._file,
                checkpoint_of(self.env, self.policy, self._name, self._training | facts),
            )
        if self._on_evaluation is not None:
            self._on_evaluation(found)
        return found

    def state_dict(self) -> dict[str, Any]:
        """Return what a training that is resumed needs of it."""
        return {
            "env_steps": self._env_steps,
            "history": [asdict(found) for found in self.history],
            "env": env_state(self.env),
        }

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Go on from a state; the best policy is in its file. `ValueError` if it does not fit."""
        self.env.reset()  # what an environment keeps for its first reset is used up
        set_env_state(self.env, state["env"])
        self._env_steps = state["env_steps"]
        self.history = [Evaluation(**found) for found in state["history"]]

    def _summary(self, played: Episodes, trained_episodes: int) -> Evaluation:
        returns, best = played.returns, self.best
        mean = float(returns.mean())
        return Evaluation(
            trained_episodes=trained_episodes,
            env_steps=self._env_steps,
            episodes=len(returns),
            mean_return=mean,
            standard_error=float(returns.std()) / math.sqrt(len(returns)),
            solve_rate=float(played.success.double().mean()),
            mean_length=float(played.lengths.double().mean()),
            is_best=best is None or mean > best.mean_return,
        )


@contextlib.contextmanager
def _undisturbed(env: Any, policy: nn.Module) -> Iterator[None]:
    """Put both in evaluation mode; afterwards all is as before, global generators included."""
    device = getattr(env, "device", "cpu")
    modules = [
        part for root in (env, policy) if isinstance(root, nn.Module) for part in root.modules()
    ]
    modes = [(part, part.training) for part in modules]
    states = global_state(device)
    for part in modules:
        part.training = False
    try:
        yield
    finally:
        for part, mode in modes:
            part.training = mode
        set_global_state(states, device)
