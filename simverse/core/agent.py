from abc import ABC, abstractmethod
from typing import Any

from torch import nn


class SimAgent(ABC):
    """Who acts in an environment: a name, an action space and, for a learner, a policy."""

    def __init__(self, name: str, action_space: Any, policy: nn.Module | None = None) -> None:
        self.name = name
        self.action_space = action_space
        self.policy = policy

    @abstractmethod
    def action(self, obs: Any) -> Any:
        """Choose an action for one observation."""

    @abstractmethod
    def info(self) -> dict[str, Any]:
        """Return whatever is worth showing about the agent."""

    @abstractmethod
    def reset(self) -> None:
        """Forget the last episode."""

    @abstractmethod
    def get_memory(self) -> Any:
        """Return what the agent remembers of the episode."""

    @abstractmethod
    def current_state(self) -> Any:
        """Return the agent's own state."""

    def get_action_space(self) -> Any:
        """Return the space actions come from."""
        return self.action_space

    def get_policy(self) -> nn.Module | None:
        """Return the policy, `None` for an agent that does not learn."""
        return self.policy

    def set_policy(self, policy: nn.Module | None) -> None:
        """Replace the policy."""
        self.policy = policy
