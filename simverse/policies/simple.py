import math
from typing import Any

import torch
from torch import Tensor, nn

from simverse.core.distributions import DiagonalGaussian, action_distribution


class SimplePolicy(nn.Module):
    """Two tanh networks over the flattened observation, one for the policy and one for the critic.

    Both have two hidden layers of width `hidden` and share nothing, but are computed side by side:
    at these sizes the cost of a layer is that of calling it. Orthogonal initialisation with gain
    sqrt(2), 0.01 for the logits and 1 for the value (Huang et al. 2022, details 2 and 13).

    The actions may be `Discrete`, `MultiDiscrete` or a `Box` of shape `(d,)`. For a box the policy
    has means, and log standard deviations `log_std` `[d]` that no observation changes, 0 at first;
    `squashed` says whether its actions are squashed into the box by tanh or clipped to it
    (`simverse.core.distributions`).

    In a `Dict` space of `obs` and `features` (a vector, `[B, F]`) the features are inputs beside
    the observation; without them `forward` takes zeros.
    """

    log_std: nn.Parameter | None
    """`[d]`, None where actions are no box."""
    feature_count: int | None
    """`F`, None where there are no features."""

    def __init__(
        self, obs_space: Any, action_space: Any, hidden: int = 64, *, squashed: bool = False
    ) -> None:
        super().__init__()
        parts = getattr(obs_space, "spaces", {"obs": obs_space})
        self.feature_count = _size(parts["features"]) if "features" in parts else None
        inputs = _size(parts["obs"]) + (self.feature_count or 0)
        self.squashed = squashed
        outputs, self.log_std = action_outputs(action_space, self)
        self.hidden = hidden
        self.first = nn.Linear(inputs, 2 * hidden)
        self.second = nn.Parameter(torch.empty(2, hidden, hidden))
        self.second_bias = nn.Parameter(torch.zeros(2, 1, hidden))
        self.actor = orthogonal(nn.Linear(hidden, outputs), gain=0.01)
        self.critic = orthogonal(nn.Linear(hidden, 1), gain=1.0)
        nn.init.zeros_(self.first.bias)
        for half in (*self.first.weight.view(2, hidden, inputs), *self.second):
            nn.init.orthogonal_(half, math.sqrt(2))

    def forward(self, obs: Tensor, features: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """Return logits `[B, n]` and value `[B, 1]` for `obs [B, C, H, W]`.

        For a box means and log standard deviations `[B, 2d]` instead of logits, and for
        `MultiDiscrete` the logits of all components `[B, sum(nvec)]`.
        """
        inputs = obs.flatten(start_dim=1)
        if self.feature_count is not None:
            inputs = self._with_features(inputs, features)
        sides = tanh(self.first(inputs)).view(-1, 2, self.hidden).transpose(0, 1)
        sides = tanh(torch.baddbmm(self.second_bias, sides, self.second))
        outputs = self.actor(sides[0])
        if self.log_std is not None:
            outputs = torch.cat((outputs, self.log_std.expand_as(outputs)), dim=1)
        return outputs, self.critic(sides[1])

    def _with_features(self, inputs: Tensor, features: Tensor | None) -> Tensor:
        if features is None:
            features = inputs.new_zeros(len(inputs), self.feature_count or 0)
        return torch.cat((inputs, features.flatten(start_dim=1)), dim=1)


def action_outputs(action_space: Any, policy: nn.Module) -> tuple[int, nn.Parameter | None]:
    """Return how many numbers a policy's last layer has, and for a box `log_std` `[d]`, all 0.

    Raises `EnvironmentContractError` for a space that PPO has no distribution for.
    """
    actions = action_distribution(action_space, policy)
    if not isinstance(actions, DiagonalGaussian):
        return actions.width, None
    (numbers,) = actions.shape
    return numbers, nn.Parameter(torch.zeros(numbers))


def _size(box: Any) -> int:
    return math.prod(int(size) for size in box.shape)


def tanh(inputs: Tensor) -> Tensor:
    """Return the hyperbolic tangent of each element, within 1e-6, in a fraction of torch's time.

    It is `1 - 2 sigmoid(-2x)`; on a CPU torch's sigmoid takes a tenth of its tanh's time.
    """
    if not torch.is_grad_enabled():
        return _by_sigmoid(inputs)
    outputs: Tensor = _Tanh.apply(inputs)  # type: ignore[no-untyped-call]
    return outputs


def _by_sigmoid(inputs: Tensor) -> Tensor:
    return torch.rsub((inputs * -2.0).sigmoid_(), 1.0, alpha=2)


class _Tanh(torch.autograd.Function):
    """With tanh's own derivative, one pass where those of the steps would be four."""

    @staticmethod
    def forward(ctx: Any, inputs: Tensor) -> Tensor:
        outputs = _by_sigmoid(inputs)
        ctx.save_for_backward(outputs)
        return outputs

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> Tensor:
        (outputs,) = ctx.saved_tensors
        gradient: Tensor = torch.ops.aten.tanh_backward(gradients[0], outputs)
        return gradient


class Tanh(nn.Module):
    """`tanh` as a layer."""

    def forward(self, inputs: Tensor) -> Tensor:
        """Return the hyperbolic tangent of each element."""
        return tanh(inputs)


def orthogonal(layer: nn.Linear, *, gain: float) -> nn.Linear:
    """Return the layer with orthogonal weights of that gain, and no bias."""
    nn.init.orthogonal_(layer.weight, gain)
    nn.init.zeros_(layer.bias)
    return layer
