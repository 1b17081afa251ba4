"""Checkpoints of a training: kept while it goes on, and continued from, to the bit.

A training that was continued gives the weights of one that was never interrupted, provided that all
that it draws from, and all that it keeps from one PPO episode to the next, is covered: the policy,
the optimiser, the step size's schedule, the sampling of actions and minibatches, and the
environment as `simverse.core.random_state` says. A rollout begins with `env.reset()`, so that
what an environment forgets there need not be saved.
"""

from collections.abc import Mapping
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

from torch import nn

from simverse import checkpoint as files
from simverse.checkpoint import Checkpoint, CheckpointError
from simverse.core.distributions import action_distribution
from simverse.core.random_state import (
    env_state,
    global_state,
    set_env_state,
    set_global_state,
)
from simverse.training.session import HasState, Session
from simverse.training.stats import EpisodeStats
from simverse.wrappers.named import names_of, statistics_of


class TrainingCheckpoints:
    """Keeps a training's state in one file, replaced as a whole, and continues from it.

    The file is a checkpoint like any other: its policy can be played. `env_steps` and `episodes`
    say how far the training has come.
    """

    def __init__(
        self,
        path: Path,
        *,
        every: int = 1,
        name: str | None = None,
        also: Mapping[str, HasState] | None = None,
    ) -> None:
        """Prepare; nothing is read or written yet.

        Args:
            path: the file. If it is there, training continues from it.
            every: PPO episodes from one writing to the next; the last is always written.
            name: of the environment, for the file; its class's without one.
            also: what else has a state that goes on, by name: an `EvaluateEvery`. What the file
                does not have begins anew.

        Raises:
            ValueError: `every` is below 1.
        """
        if every < 1:
            raise ValueError(f"every must be at least 1 episode, got {every}")
        self.path, self.every = path, every
        self.episodes = self.env_steps = 0
        self._name, self._also = name, dict(also or {})
        self._session: Session | None = None

    def behind(self) -> tuple[int, int]:
        """Return the PPO episodes and environment steps that the file has; 0 without a file.

        Raises `CheckpointError` if it is no training's.
        """
        if not self.path.exists():
            return 0, 0
        _, state = self._read()
        try:
            return int(state["episodes"]), int(state["env_steps"])
        except (KeyError, TypeError, ValueError) as error:
            raise CheckpointError(f"{self.path} does not say how far it has come") from error

    def begin(self, session: Session) -> int:
        """Continue from the file if it is there; return how many episodes are behind.

        Raises:
            CheckpointError: the file is none, has no state to continue from, or is of another
                training: environment, policy, settings, seed.
        """
        self._session = session
        self.episodes = self.env_steps = 0
        if self.path.exists():
            stored, state = self._read()
            try:
                self._continue(session, stored, state)
            except (AttributeError, LookupError, RuntimeError, TypeError, ValueError) as error:
                text = " ".join(str(error).split())
                raise CheckpointError(
                    f"{self.path} does not fit this training: {text:.300}"
                ) from error
        return self.episodes

    def keep(self, stats: EpisodeStats) -> None:
        """Count a PPO episode, and write the file when it is time."""
        assert self._session is not None
        self.episodes = stats.episode + 1
        self.env_steps += stats.env_steps
        if self.episodes % self.every == 0 or self.episodes == self._session.episodes:
            self.save()

    def save(self) -> None:
        """Write the file now."""
        session = self._session
        assert session is not None
        facts = asdict(session.config) | {"episodes": self.episodes, "seed": session.seed}
        checkpoint = checkpoint_of(session.env, session.policy, self._name, facts)
        files.save(self.path, replace(checkpoint, resume=self._state(session)))

    def _read(self) -> tuple[Checkpoint, Mapping[str, Any]]:
        stored = files.load(self.path)
        if stored.resume is None:
            raise CheckpointError(f"{self.path} holds a policy, but no training to continue")
        return stored, stored.resume

    def _state(self, session: Session) -> dict[str, Any]:
        annealing = session.annealing
        return {
            "episodes": self.episodes,
            "planned_episodes": session.episodes,
            "env_steps": self.env_steps,
            "optimizer": session.optimizer.state_dict(),
            "annealing": None if annealing is None else annealing.state_dict(),
            "generator": session.generator.get_state(),
            "env": env_state(session.env),
            "global": global_state(session.generator.device),
            "also": {name: part.state_dict() for name, part in self._also.items()},
        }

    def _continue(self, session: Session, stored: Checkpoint, state: Mapping[str, Any]) -> None:
        self._check_settings(session, stored, state)
        files.restore(session.policy, stored, session.env)
        # What an environment keeps for its first reset is used up before its state is set.
        session.env.reset()
        set_env_state(session.env, state["env"])
        session.optimizer.load_state_dict(state["optimizer"])
        if session.annealing is not None:
            session.annealing.load_state_dict(state["annealing"])
        session.generator.set_state(state["generator"])
        for name, part in self._also.items():
            if name in state["also"]:
                part.load_state_dict(state["also"][name])
        # Last: what came before may have drawn from the global generators.
        set_global_state(state["global"], session.generator.device)
        self.episodes, self.env_steps = int(state["episodes"]), int(state["env_steps"])

    def _check_settings(
        self, session: Session, stored: Checkpoint, state: Mapping[str, Any]
    ) -> None:
        """Raise `ValueError` if the training was begun with other settings."""
        name = checkpoint_of(session.env, session.policy, self._name, {}).env
        now = asdict(session.config) | {"seed": session.seed, "environment": name}
        if session.config.anneal_lr:
            now["planned_episodes"] = session.episodes
        then = {
            **stored.training,
            "planned_episodes": state["planned_episodes"],
            "environment": stored.env,
        }
        for key, value in now.items():
            if key in then and then[key] != value:
                raise ValueError(f"it was begun with {key} {then[key]}, here it is {value}")


def checkpoint_of(
    env: Any, policy: nn.Module, name: str | None, training: Mapping[str, Any]
) -> Checkpoint:
    """Return a checkpoint of a policy as it is now, with what its environment's wrappers learnt.

    `name` is the environment's, its class's without one; `training` is plain numbers, text and
    booleans.
    """
    inner = getattr(env, "unwrapped", env)
    return Checkpoint(
        env=name or type(inner).__name__,
        observation_shape=tuple(int(size) for size in env.observation_space.shape),
        num_actions=action_distribution(env.action_space).width,
        weights=policy.state_dict(),
        training=dict(training),
        wrappers=names_of(env),
        statistics=statistics_of(env),
    )
