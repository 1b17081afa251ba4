from collections.abc import Callable, Sequence
from typing import Any

from torch import nn

from simverse.core.agent import SimAgent
from simverse.core.env import SimEnv
from simverse.core.trainer import Trainer

AgentFactory = Callable[[int, nn.Module, SimEnv], SimAgent]
"""`agent_factory(agent_id, policy, env)`."""


class Simulator:
    """Wires an environment, its agents and a trainer together.

    `policies` holds one policy per agent, or a single one that all of them share. Raises
    `ValueError` for any other number.
    """

    def __init__(
        self,
        env: SimEnv,
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
        agents = self._build_agents()
        if callable(getattr(self.env, "assign_agents", None)):
            self.env.assign_agents(agents)
        self.loss_trainer.train(self.env, agents, *args, **kwargs)

    def _build_agents(self) -> list[SimAgent]:
        policies = self.policies if len(self.policies) > 1 else self.policies * self.num_agents
        return [
            self.agent_factory(agent_id, policy, self.env)
            for agent_id, policy in enumerate(policies)
        ]
