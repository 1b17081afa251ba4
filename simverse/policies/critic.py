import math
from typing import Any

from torch import Tensor, nn

from simverse.policies.simple import Tanh, orthogonal


class CentralizedCritic(nn.Module):
    """A value of the whole state, for `PPOTrainer(centralized_critic=...)` (Yu et al. 2021).

    `state_space` is the shape of the observation dict's `obs`; `num_agents` above 1 asks for a
    value of each agent's own. Initialised as `SimplePolicy`'s critic.
    """

    def __init__(self, state_space: Any, num_agents: int = 1, hidden: int = 64) -> None:
        super().__init__()
        inputs = math.prod(int(size) for size in state_space.shape)
        self.network = nn.Sequential(
            orthogonal(nn.Linear(inputs, hidden), gain=math.sqrt(2)),
            Tanh(),
            orthogonal(nn.Linear(hidden, hidden), gain=math.sqrt(2)),
            Tanh(),
            orthogonal(nn.Linear(hidden, num_agents), gain=1.0),
        )

    def forward(self, state: Tensor) -> Tensor:
        """Return values `[B, num_agents]` for states `[B, C, H, W]`."""
        values: Tensor = self.network(state.flatten(start_dim=1))
        return values
