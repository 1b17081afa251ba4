from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Protocol

import torch
from torch import nn

from simverse.core.acting import Actor, apart, first_observation, outcome, together
from simverse.core.agent import SimAgent
from simverse.core.env import SimEnv
from simverse.core.trainer import Trainer

AgentFactory = Callable[[int, nn.Module, SimEnv], SimAgent]
"""`agent_factory(agent_id, policy, env)`."""


class Renderer(Protocol):
    """Shows an environment while `Simulator.run` plays."""

    def handle_events(self) -> None:
        """Look after the window; called before each step."""

    def draw(self, env: Any) -> None:
        """Show the environment; called after each step."""

    def close(self) -> None:
        """Put the window away; called once, whatever happened."""


class Simulator:
    """Wires an environment, its agents and a trainer together.

    `policies` holds one policy per agent, or a single one that all of them share. Raises
    `ValueError` for any other number.
    """

    def __init__(
        self,
        env: Any,
        num_agents: int,
        policies: Sequence[nn.Module],
        loss_trainer: Trainer,
        agent_factory: AgentFactory,
    ) -> None:
        if len(policies) not in {1, num_agents}:
            raise ValueError(f"expected 1 or {num_agents} policies, got {len(policies)}")
        self.env = env
        self.num_agents = num_agents
        self.policies = list(policies)
        self.loss_trainer = loss_trainer
        self.agent_factory = agent_factory

    def train(self, *args: Any, **kwargs: Any) -> None:
        """Build the agents, seat them in the environment and train (arguments as the trainer's)."""
        self.loss_trainer.train(self.env, self._seated_agents(), *args, **kwargs)

    def load_checkpoint(self, checkpoint_path: str | Path) -> None:
        """Load the agents' policies from a file of `Trainer.save_checkpoint` or `Checkpointer`.

        Raises `CheckpointError` if it is none or does not fit.
        """
        from simverse.training.checkpoints import load_policies

        load_policies(Path(checkpoint_path), self.env, self._policy_of_each())

    @torch.no_grad()
    def run(
        self,
        checkpoint_path: str | Path | None = None,
        max_steps: int | None = None,
        renderer: Renderer | None = None,
    ) -> None:
        """Play until every sub-environment has finished an episode, or up to `max_steps`.

        Actions are drawn from the policies, by torch's global generator. Without `max_steps` the
        horizon is the environment's own (`max_steps`, else `config.max_steps`), if it has one.

        An environment that is no `SimEnv` may speak Gymnasium's way: arrays, `(obs, info)` from
        `reset`, `(obs, reward, terminated, truncated, info)` from `step`. It is given a dict of
        agents' actions for each sub-environment, in a list unless there is one alone.

        Raises `PolicyError` and `EnvironmentContractError` when one of the two breaks its contract.
        """
        agents = self._seated_agents()
        if checkpoint_path is not None:
            self.load_checkpoint(checkpoint_path)
        horizon = horizon_of(self.env) if max_steps is None else max_steps
        cloned = getattr(self.env, "clone_payload_tensors", False)
        if isinstance(self.env, SimEnv):
            self.env.set_fast_payload_mode(False)
        try:
            self._play(Actor(self.env, [agent.get_policy() for agent in agents]), horizon, renderer)
        finally:
            if isinstance(self.env, SimEnv):
                self.env.set_fast_payload_mode(not cloned)
            if renderer is not None:
                renderer.close()

    def _play(self, actor: Actor, horizon: int | None, renderer: Renderer | None) -> None:
        obs = first_observation(self.env.reset())
        is_ours = isinstance(self.env, SimEnv)
        over = torch.tensor(False)
        taken = 0
        while not bool(over.all()) and (horizon is None or taken < horizon):
            if renderer is not None:
                renderer.handle_events()
            actions = actor.actions(obs)
            given = together(actions) if is_ours else apart(actions)
            obs, done = outcome(self.env.step(given))
            actor.restart(done)
            over = over | done
            taken += 1
            if renderer is not None:
                renderer.draw(self.env)

    def _seated_agents(self) -> list[SimAgent]:
        agents = self._build_agents()
        if callable(getattr(self.env, "assign_agents", None)):
            self.env.assign_agents(agents)
        return agents

    def _build_agents(self) -> list[SimAgent]:
        return [
            self.agent_factory(agent_id, policy, self.env)
            for agent_id, policy in enumerate(self._policy_of_each())
        ]

    def _policy_of_each(self) -> list[nn.Module]:
        return self.policies if len(self.policies) > 1 else self.policies * self.num_agents


def horizon_of(env: Any) -> int | None:
    """Return an environment's own horizon in steps: `max_steps`, else `config.max_steps`."""
    own = getattr(env, "max_steps", None)
    return getattr(getattr(env, "config", None), "max_steps", None) if own is None else own
