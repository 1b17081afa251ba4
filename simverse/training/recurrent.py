"""Rollouts of recurrent policies; what they learn from is in `simverse.training.sequences`."""

from dataclasses import replace

import torch
from torch import Tensor

from simverse.core.checks import StepResult
from simverse.core.recurrence import State, initial_state, mapped, restarted
from simverse.training.rollout import Collector, Rollout


class RecurrentCollector(Collector):
    """A collector that carries a recurrent policy's state.

    The state begins anew after an episode's end, and after a slot that is not live.
    """

    _state: State

    @torch.no_grad()
    def begin(self) -> None:
        """Reset the environment, and the state with it."""
        super().begin()
        self._state = initial_state(self.actor_critic.policy, self.num_envs)

    @torch.no_grad()
    def collect(self, slots: int) -> Rollout:
        """As a collector does; the rollout holds the state that it began with."""
        first = mapped(Tensor.clone, self._state)
        return replace(super().collect(slots), state=first)

    def _act(self, obs: Tensor) -> tuple[Tensor, Tensor]:
        outputs, values, self._state = self.actor_critic.step(obs, self._state)
        return outputs, values

    def _value(self, obs: Tensor) -> Tensor:
        return self.actor_critic.step(obs, self._state)[1]

    def _record(self, number: int, result: StepResult) -> None:
        super()._record(number, result)
        ended = self._storage.dones[number] | ~self._storage.live[number]
        self._state = restarted(self.actor_critic.policy, self._state, ended)
