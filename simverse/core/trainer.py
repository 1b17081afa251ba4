from abc import ABC, abstractmethod
from collections.abc import Sequence

from simverse.core.agent import SimAgent
from simverse.core.env import SimEnv


class Trainer(ABC):
    """A learning algorithm that improves the policies of agents in an environment."""

    @abstractmethod
    def train(self, env: SimEnv, agents: Sequence[SimAgent], *, title: str = "Training") -> None:
        """Train the agents' policies in place; `title` names the run where it is shown."""
