import math
from typing import Any, Literal

import torch
from torch import Tensor, nn

from simverse.core.recurrence import State
from simverse.policies.simple import Tanh, action_outputs, orthogonal


class RecurrentPolicy(nn.Module):
    """A tanh layer over the flattened observation, then a GRU or LSTM that remembers.

    Policy and critic share both, of width `hidden`. Orthogonal initialisation with gain sqrt(2), 1
    in the cell, 0.01 for the logits and 1 for the value; biases are 0 (Huang et al. 2022, "details
    for LSTM" 1). Actions and `squashed` are those of `SimplePolicy`. PPO begins the state anew with
    each episode (`simverse.core.recurrence`).
    """

    log_std: nn.Parameter | None
    """`[d]`, None where actions are no box."""

    def __init__(
        self,
        obs_space: Any,
        action_space: Any,
        hidden: int = 64,
        *,
        cell: Literal["gru", "lstm"] = "gru",
        squashed: bool = False,
    ) -> None:
        super().__init__()
        if cell not in {"gru", "lstm"}:
            raise ValueError(f"cell must be 'gru' or 'lstm', got {cell!r}")
        inputs = math.prod(int(size) for size in obs_space.shape)
        self.hidden = hidden
        self.squashed = squashed
        outputs, self.log_std = action_outputs(action_space, self)
        first = orthogonal(nn.Linear(inputs, hidden), gain=math.sqrt(2))
        self.encoder = nn.Sequential(nn.Flatten(), first, Tanh())
        self.cell = (nn.GRUCell if cell == "gru" else nn.LSTMCell)(hidden, hidden)
        for name, parameter in self.cell.named_parameters():
            if name.startswith("bias"):
                nn.init.zeros_(parameter)
            else:
                nn.init.orthogonal_(parameter)
        self.actor = orthogonal(nn.Linear(hidden, outputs), gain=0.01)
        self.critic = orthogonal(nn.Linear(hidden, 1), gain=1.0)

    def initial_state(self, batch: int) -> State:
        """Return zeros `[B, hidden]`, of an LSTM two of them: its output and its cell."""
        zeros = self.critic.weight.new_zeros(batch, self.hidden)
        return (zeros, zeros) if isinstance(self.cell, nn.LSTMCell) else zeros

    def forward(self, obs: Tensor, state: State) -> tuple[Tensor, Tensor, State]:
        """Return logits `[B, n]`, value `[B, 1]` and the next state for `obs [B, C, H, W]`.

        For actions other than `Discrete` see `SimplePolicy`.
        """
        state = self.cell(self.encoder(obs), state)
        seen = state if isinstance(state, Tensor) else state[0]
        outputs = self.actor(seen)
        if self.log_std is not None:
            outputs = torch.cat((outputs, self.log_std.expand_as(outputs)), dim=1)
        return outputs, self.critic(seen), state
