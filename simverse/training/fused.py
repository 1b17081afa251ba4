"""PPO's arithmetic for small policies, several times as fast: numpy in place of torch's autograd.

At the sizes of most policies here, forward, loss gradient, backward, clipping and Adam take far
less time than torch's dispatch of them. For policies that are known to be multilayer perceptrons
of dense layers with tanh, ReLU or SiLU (`fused_reader`), all of it runs in numpy on the policy's
own parameters. Results agree with torch's to rounding, and repeat to the bit.
"""

import math
from collections.abc import Mapping
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from simverse.core.distributions import Categorical
from simverse.training.actor_critic import ActorCritic
from simverse.training.config import PPOConfig
from simverse.training.fused_loss import LossGradient
from simverse.training.fused_network import Array, Network, Pass, empty
from simverse.training.fused_reader import recognise
from simverse.training.fused_structure import NotRecognisedError
from simverse.training.loss import Batch
from simverse.training.stats import TrainingPath
from simverse.training.update import epochs

_MOST_PARAMETERS = 2**19
"""Of a policy: beyond, the products take the time, and torch's single passes are better."""
_PROBED = 5
"""Rows of the batch on which a network is compared with its policy."""
_TOLERANCE = 1e-4
"""Largest difference from torch's outputs and gradients, relative to the largest number."""


class FusedLearner(ActorCritic):
    """A recognised policy with the optimiser that trains it."""

    path: TrainingPath = "fused"

    def __init__(
        self, policy: nn.Module, network: Network, actions: Categorical, config: PPOConfig
    ) -> None:
        super().__init__(policy, actions)
        self.optimizer = FlatAdam(network.weights, network.gradient, lr=config.lr)
        self._network = network
        self._config = config
        self._passes: dict[int, tuple[Pass, LossGradient]] = {}

    @property
    def actor_critic(self) -> ActorCritic:
        """The policy, as it acts in a rollout."""
        return self

    def __call__(self, obs: Tensor) -> tuple[Tensor, Tensor]:
        """Return the logits `[B, n]` and values `[B]`, until the next call with as many rows."""
        return self.forward(obs)[0].tensors

    def update(self, batch: Batch, generator: torch.Generator) -> tuple[int, list[float]]:
        """Improve the policy on a batch, as `simverse.training.update.update` does."""
        return epochs(self.learn, batch, self._config, generator, self.distribution)

    def learn(self, minibatch: Batch) -> tuple[Tensor, Tensor]:
        """Take one step on a minibatch; return the logits and values before it."""
        outputs, loss = self.forward(minibatch.obs)
        with np.errstate(all="ignore"):  # what is not finite is reported with the loss
            loss.write(minibatch)
            outputs.backward()
            self._clip()
            self.optimizer.step()
        logits, values = outputs.tensors
        return logits.clone(), values.clone()  # the buffers are those of the next minibatch too

    def forward(self, obs: Tensor) -> tuple[Pass, LossGradient]:
        """Compute the outputs; return them with what gives the gradient of a loss at them."""
        rows = len(obs)
        found = self._passes.get(rows)
        if found is None:
            outputs = Pass(self._network, rows)
            found = self._passes[rows] = outputs, LossGradient(outputs, self._config)
        with np.errstate(all="ignore"):
            found[0].forward(obs.numpy().reshape(rows, -1))
        return found

    def _clip(self) -> None:
        """Scale the gradient down to `max_grad_norm`, as `update` does."""
        longest, gradient = self._config.max_grad_norm, self._network.gradient
        if longest > 0:
            scale = longest / (math.sqrt(np.dot(gradient, gradient)) + 1e-6)
            if scale < 1.0:
                np.multiply(gradient, scale, out=gradient)


class FlatAdam:
    """Adam (Kingma & Ba 2015) over one vector `[P]`, with the settings of `utils.adam`."""

    def __init__(self, weights: Array, gradient: Array, *, lr: float) -> None:
        self.param_groups: list[dict[str, Any]] = [{"lr": lr}]
        self._weights = weights
        self._gradient = gradient
        self._mean, self._square, self._scratch = (empty(len(weights)) for _ in range(3))
        self._steps = 0

    def state_dict(self) -> dict[str, Any]:
        """Return the steps taken, both moments `[P]` and the step size."""
        moments = {"mean": self._mean, "square": self._square}
        copies = {name: torch.from_numpy(moment.copy()) for name, moment in moments.items()}
        return {"steps": self._steps, "lr": self.param_groups[0]["lr"], **copies}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Take over such a state; `ValueError` if it is another's."""
        sizes = {len(state.get(name, ())) for name in ("mean", "square")}
        if sizes != {len(self._weights)}:
            raise ValueError("it was not trained fused, and now is")
        self._steps, self.param_groups[0]["lr"] = int(state["steps"]), float(state["lr"])
        np.copyto(self._mean, state["mean"].numpy())
        np.copyto(self._square, state["square"].numpy())

    def step(self) -> None:
        """Take one step along the gradient."""
        mean, square, scratch, gradient = self._mean, self._square, self._scratch, self._gradient
        self._steps += 1
        np.multiply(gradient, 1.0 - _BETA_1, out=scratch)
        np.multiply(mean, _BETA_1, out=mean)
        np.add(mean, scratch, out=mean)
        np.multiply(gradient, gradient, out=scratch)
        np.multiply(scratch, 1.0 - _BETA_2, out=scratch)
        np.multiply(square, _BETA_2, out=square)
        np.add(square, scratch, out=square)
        np.sqrt(square, out=scratch)
        np.multiply(scratch, 1.0 / math.sqrt(1.0 - _BETA_2**self._steps), out=scratch)
        np.add(scratch, _EPSILON, out=scratch)
        np.divide(mean, scratch, out=scratch)
        step_size = self.param_groups[0]["lr"] / (1.0 - _BETA_1**self._steps)
        np.multiply(scratch, step_size, out=scratch)
        np.subtract(self._weights, scratch, out=self._weights)


_BETA_1, _BETA_2, _EPSILON = 0.9, 0.999, 1e-5


def fused_learner(
    policy: nn.Module, obs_shape: tuple[int, ...], actions: Categorical, config: PPOConfig
) -> FusedLearner | None:
    """Return what trains a policy fused, in float32 on the CPU; None if it is left to torch.

    Its parameters become views of one vector. Besides being recognised, it must give what torch
    gives, outputs and gradients, on a random batch of observations `[B, *obs_shape]`.
    """
    try:
        structure = recognise(policy, math.prod(obs_shape), actions.n)
    except (NotRecognisedError, RecursionError):
        return None
    if sum(parameter.numel() for parameter in policy.parameters()) > _MOST_PARAMETERS:
        return None
    network = Network(structure)
    if not _agrees(policy, network, obs_shape):
        return None
    return FusedLearner(policy, network, actions, config)


def _agrees(policy: nn.Module, network: Network, obs_shape: tuple[int, ...]) -> bool:
    """Return whether a network does on a random batch what its policy does."""
    rows, generator = _PROBED, torch.Generator().manual_seed(0)
    obs = torch.randn((rows, *obs_shape), generator=generator)
    with torch.enable_grad():
        logits, values = policy(obs)
        at_logits, at_values = (torch.randn(o.shape, generator=generator) for o in (logits, values))
        parameters = list(policy.parameters())
        expected = torch.autograd.grad((logits, values), parameters, (at_logits, at_values))
    found = Pass(network, rows)
    found.forward(obs.numpy().reshape(rows, -1))
    np.copyto(found.at_logits, at_logits.numpy().T)
    np.copyto(found.at_values, at_values.numpy()[:, 0])
    found.backward()
    gradients = [parameter.grad for parameter in parameters if parameter.grad is not None]
    return (
        _are_close(found.logits.T, logits)
        and _are_close(found.values, values.squeeze(1))
        and all(_are_close(g.numpy(), e) for g, e in zip(gradients, expected, strict=True))
    )


def _are_close(found: Array, expected: Tensor) -> bool:
    difference = np.abs(found - expected.detach().numpy()).max()
    largest = float(expected.detach().abs().max())
    return bool(difference <= _TOLERANCE * max(largest, 1e-3))
