"""What acts in a rollout and learns from it: fused where the policy is known, torch elsewhere."""

from typing import Any, Protocol

import torch
from torch import nn

from simverse.core.checks import observation_shape
from simverse.core.distributions import Categorical, action_distribution
from simverse.core.recurrence import is_recurrent
from simverse.training.actor_critic import ActorCritic, Precision
from simverse.training.config import PPOConfig
from simverse.training.fused import fused_learner
from simverse.training.loss import Batch
from simverse.training.stats import TrainingPath
from simverse.training.update import update
from simverse.training.utils import HasGroups, adam


class Learner(Protocol):
    """A policy and its optimiser."""

    @property
    def path(self) -> TrainingPath:
        """What trains the policy."""

    @property
    def actor_critic(self) -> ActorCritic:
        """The policy, as it acts in a rollout."""

    @property
    def optimizer(self) -> HasGroups:
        """What steps, with its step sizes."""

    def update(self, batch: Batch, generator: torch.Generator) -> tuple[int, list[float]]:
        """Improve the policy on a batch; see `simverse.training.update.epochs`."""


class TorchLearner:
    """Any policy and any optimiser, by torch's autograd."""

    path: TrainingPath = "torch"

    def __init__(
        self, actor_critic: ActorCritic, optimizer: torch.optim.Optimizer, config: PPOConfig
    ) -> None:
        self.actor_critic = actor_critic
        self.optimizer = optimizer
        self._config = config

    def update(self, batch: Batch, generator: torch.Generator) -> tuple[int, list[float]]:
        """Improve the policy on a batch."""
        return update(self.actor_critic, self.optimizer, batch, self._config, generator)


def make_learner(
    env: Any,
    policy: nn.Module,
    config: PPOConfig,
    optimizer: torch.optim.Optimizer | None,
    *,
    precision: Precision = "fp32",
    path: TrainingPath = "fused",
) -> Learner:
    """Return what trains a policy in an environment, on the policy's device.

    With `path` `fused`, a policy that is recognised is trained fused unless an optimiser is given,
    or bf16 or `torch_fastpath=False` asked for. Raises `PolicyError` if there is nothing to train.
    """
    actions = action_distribution(env.action_space, policy)
    asked = path == "fused" and optimizer is None and precision == "fp32" and config.torch_fastpath
    if asked and isinstance(actions, Categorical) and not is_recurrent(policy):
        fused = fused_learner(policy, observation_shape(env), actions, config)
        if fused is not None:
            return fused
    optimizer = optimizer or adam(policy, lr=config.lr, flat=True)
    return TorchLearner(ActorCritic(policy, actions, precision), optimizer, config)
