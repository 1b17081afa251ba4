"""Whole sequences for recurrent policies to learn from.

A minibatch is the segments of some sub-environments. Each is run again from the state that it
began with, the state beginning anew where an episode did, so that the gradient flows through the
whole segment (Huang et al. 2022, "details for LSTM"; CleanRL's `ppo_atari_lstm`).
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Self

import torch
from torch import Tensor

from simverse.core.recurrence import State, mapped, restarted
from simverse.training.actor_critic import ActorCritic


@dataclass(frozen=True)
class Sequences:
    """The segments of `N` sub-environments, `T` slots each."""

    obs: Tensor
    """`[T, N, C, H, W]` float32."""
    begins: Tensor
    """`[T, N]` bool: the slots before which the state begins anew."""
    live: Tensor
    """`[T, N]` bool: the slots that are trained on."""
    state: State
    """`[N, ...]`: the state before the first slot."""

    @classmethod
    def of(cls, obs: Tensor, dones: Tensor, live: Tensor, state: State) -> Self:
        """Return the sequences of a rollout, of which `dones` `[T, N]` are the episodes' ends."""
        begins = torch.zeros_like(dones)
        begins[1:] = (dones | ~live)[:-1]
        return cls(obs, begins, live, state)

    @property
    def trainable(self) -> Tensor:
        """Return the sub-environments with a live slot, int64 `[M]`."""
        return self.live.any(dim=0).nonzero().squeeze(1)

    def deal(self, parts: int, generator: torch.Generator) -> Iterator[tuple[Tensor, "Sequences"]]:
        """Deal the sub-environments out in random order, as evenly as can be.

        Yields, for each of at most `parts` groups, the numbers of its live slots among all live
        ones in order of time (int64, the rows of a rollout's `batch`), and its sequences.
        """
        rows = (self.live.flatten().cumsum(dim=0) - 1).view_as(self.live)
        trainable = self.trainable
        order = torch.randperm(len(trainable), generator=generator, device=generator.device)
        for chosen in trainable[order].tensor_split(min(parts, len(trainable))):
            live = self.live[:, chosen]
            part = Sequences(
                self.obs[:, chosen],
                self.begins[:, chosen],
                live,
                mapped(lambda whole, chosen=chosen: whole[chosen], self.state),
            )
            yield rows[:, chosen][live], part

    def run(self, actor_critic: ActorCritic) -> tuple[Tensor, Tensor]:
        """Run the policy again; return its outputs `[M, w]` and values `[M]` at the live slots."""
        state, outputs, values = self.state, [], []
        for obs, begins in zip(self.obs, self.begins, strict=True):
            state = restarted(actor_critic.policy, state, begins)
            output, value, state = actor_critic.step(obs, state)
            outputs.append(output)
            values.append(value)
        return torch.stack(outputs)[self.live], torch.stack(values)[self.live]
