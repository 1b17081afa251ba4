from typing import Literal, get_args

import torch
from torch import Tensor, nn

from simverse.core.checks import check_policy_output
from simverse.core.distributions import ActionDistribution, distribution_of

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
        actions = self.distribution
        logits, values = check_policy_output(output, obs.shape[0], actions.width, name=actions.name)
        return logits.float(), values.float()
