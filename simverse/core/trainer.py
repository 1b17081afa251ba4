from abc import ABC, abstractmethod
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from simverse.core.agent import SimAgent
from simverse.core.env import SimEnv

if TYPE_CHECKING:
    from simverse.training.checkpoints import Checkpointer


class Trainer(ABC):
    """A learning algorithm that improves the policies of agents in an environment.

    A subclass's `train` sets `env`, for `save_checkpoint`.
    """

    env: Any = None
    _checkpointer: "Checkpointer | None" = None

    @abstractmethod
    def train(self, env: SimEnv, agents: Sequence[SimAgent], title: str = "Training") -> None:
        """Train the agents' policies in place; `title` names the run where it is shown."""

    def save_checkpoint(self, checkpoint_path: str | Path) -> Path:
        """Write the policies of the environment's agents; return where they are.

        `folder/file` goes to `folder/<run>/file`, the run being this trainer's in this environment;
        `Simulator.load_checkpoint` reads it. Raises `ValueError` before there are policies.
        """
        from simverse.training.checkpoints import Checkpointer

        if self.env is None:
            raise ValueError("nothing to save yet: train first")
        if self._checkpointer is None or self._checkpointer.env is not self.env:
            self._checkpointer = Checkpointer(self.env)
        return self._checkpointer.save(checkpoint_path)
