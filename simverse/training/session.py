"""What is at work while a policy is trained, for whoever keeps it in a file."""

from typing import Any, NamedTuple, Protocol

import torch
from torch import nn

from simverse.training.config import PPOConfig
from simverse.training.stats import EpisodeStats


class HasState(Protocol):
    """Something with a state of plain numbers, text, lists, dictionaries and tensors."""

    def state_dict(self) -> dict[str, Any]:
        """Return it."""

    def load_state_dict(self, state: Any, /) -> Any:
        """Take it over; `ValueError`, `KeyError` or `RuntimeError` if it does not fit."""


class Session(NamedTuple):
    """One call of `simverse.training.ppo.train`."""

    env: Any
    policy: nn.Module
    optimizer: HasState
    generator: torch.Generator
    """Draws actions and the order of minibatches."""
    annealing: HasState | None
    config: PPOConfig
    seed: int
    episodes: int
    """How many are to be trained, those before an interruption included."""


class Keeper(Protocol):
    """Keeps a training, and continues it (`simverse.training.checkpoints`)."""

    def begin(self, session: Session) -> int:
        """Take over what was kept, if anything; return how many episodes are behind."""

    def keep(self, stats: EpisodeStats) -> None:
        """Note a PPO episode that is over, updates included."""
