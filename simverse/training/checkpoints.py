"""Checkpoints of a training: kept while it goes on, and continued from, to the bit.

A training that was continued gives the weights of one that was never interrupted, provided that all
that it draws from, and all that it keeps from one PPO episode to the next, is covered: the policy,
the optimiser, the step size's schedule, the sampling of actions and minibatches, and the
environment as `simverse.core.random_state` says. A rollout begins with `env.reset()`, so that
what an environment forgets there need not be saved.

`Checkpointer` keeps the policies of several agents, without the rest.
"""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from uuid import uuid4

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
        observation_shape=files.observation_shape(env),
        num_actions=action_distribution(env.action_space).width,
        weights=policy.state_dict(),
        training=dict(training),
        wrappers=names_of(env),
        statistics=statistics_of(env),
    )


# -- all agents' policies --------------------------------------------------------------------------


class Checkpointer:
    """Saves and loads the policies of `env.agents`, each run in a folder of its own.

    A file holds tensors and text, and nothing in it is executed when it is read. It holds no
    settings of the environment: an environment is loaded into as it was made.
    """

    def __init__(self, env: Any, run_id: str | None = None) -> None:
        """Prepare; `run_id` names the run's folder, by default the time and a random part."""
        self.env = env
        self.run_id = run_id or f"run_{datetime.now(UTC):%Y%m%dT%H%M%SZ}_{uuid4().hex[:8]}"
        self.run_directory: Path | None = None

    def resolve_checkpoint_path(self, state_dict_path: str | Path) -> Path:
        """Return where a checkpoint goes: `folder/file` is `folder/<run_id>/file`.

        The folder of the first stays that of the later ones.
        """
        path = Path(state_dict_path)
        if self.run_directory is None:
            self.run_directory = path.parent / self.run_id
        return self.run_directory / path.name

    def save(self, state_dict_path: str | Path) -> Path:
        """Write the agents' policies; return the file's path."""
        path = self.resolve_checkpoint_path(state_dict_path)
        save_policies(path, self.env, _policies(self.env))
        return path

    def load(self, state_dict_path: str | Path) -> None:
        """Read a file that `save` returned; `CheckpointError` if it does not fit the agents."""
        load_policies(Path(state_dict_path), self.env, _policies(self.env))


def save_policies(path: Path, env: Any, policies: Sequence[nn.Module]) -> None:
    """Write one policy an agent, in the order of agents."""
    together = nn.ModuleList(policies)
    files.save(path, checkpoint_of(env, together, None, {"num_agents": len(policies)}))


def load_policies(path: Path, env: Any, policies: Sequence[nn.Module]) -> None:
    """Read what `save_policies` wrote; `CheckpointError` if it does not fit.

    The file of `sim train` fits an only agent.
    """
    stored = files.load(path)
    count = stored.training.get("num_agents")
    if count is None and len(policies) == 1:
        files.restore(policies[0], stored, env)
        return
    if count != len(policies):
        raise CheckpointError(
            f"{path} holds the policies of {count or 1} agent(s), here are {len(policies)}"
        )
    files.restore(nn.ModuleList(policies), stored, env)


def _policies(env: Any) -> list[nn.Module]:
    agents = list(getattr(env, "agents", None) or [])
    found = [agent.policy for agent in agents]
    if not found or None in found:
        raise ValueError(
            "a checkpoint is of the policies of env.agents: assign agents first, all with a policy"
        )
    return found
