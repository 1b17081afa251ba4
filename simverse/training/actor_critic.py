from typing import Any, Literal, get_args

import torch
from torch import Tensor, nn

from simverse.core.checks import check_policy_output
from simverse.core.distributions import ActionDistribution, distribution_of
from simverse.core.recurrence import State, recurrent_forward

Precision = Literal["fp32", "bf16"]
"""`bf16` runs the policy under autocast; losses, returns and weights stay float32."""


class ActorCritic:
    """A policy whose output is float32 and of the right shape, else `PolicyError`.

    `actions` is the distribution that the policy's first output describes, or the number of actions
    of which one is chosen.
    """

    def __init__(
        self,
        policy: nn.Module,
        actions: ActionDistribution | int,
        precision: Precision = "fp32",
    ) -> None:
        if precision not in get_args(Precision):
            raise ValueError(f"precision must be one of {get_args(Precision)}, got {precision!r}")
        self.policy = policy
        self.distribution = distribution_of(actions)
        self.precision = precision

    def __call__(self, obs: Tensor) -> tuple[Tensor, Tensor]:
        """Return the outputs `[B, w]` that the distribution takes, and values `[B]`.

        `obs` is `[B, C, H, W]`.
        """
        if self.precision == "bf16":
            with torch.autocast(obs.device.type, dtype=torch.bfloat16):
                output = self.policy(obs)
        else:
            output = self.policy(obs)
        return self._checked(output, obs.shape[0])

    def step(self, obs: Tensor, state: State) -> tuple[Tensor, Tensor, State]:
        """Return a recurrent policy's outputs `[B, w]`, values `[B]` and next state."""
        with torch.autocast(obs.device.type, torch.bfloat16, enabled=self.precision == "bf16"):
            output, state = recurrent_forward(self.policy, obs, state)
        return *self._checked(output, obs.shape[0]), state

    def _checked(self, output: Any, count: int) -> tuple[Tensor, Tensor]:
        actions = self.distribution
        outputs, values = check_policy_output(output, count, actions.width, name=actions.name)
        return outputs.float(), values.float()
