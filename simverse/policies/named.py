from abc import ABC, abstractmethod
from collections.abc import Mapping
from typing import Any

from torch import Tensor, nn


class NamedPolicy(nn.Module, ABC):
    """Base class of policies that take `Dict` and `Tuple` observations by name.

    A subclass implements `act`; whoever trains or plays it sees any other policy, of rows
    `[B, 1, 1, width]`. `self.layout` says the names and shapes, for its layers.

    Raises `ValueError` for an observation space that carries no layout (`layout_in`).
    """

    def __init__(self, obs_space: Any) -> None:
        from simverse.wrappers.flatten import layout_in  # imports Gymnasium, which takes time

        super().__init__()
        self.layout = layout_in(obs_space)

    @abstractmethod
    def act(self, obs: Mapping[str, Tensor]) -> tuple[Tensor, Tensor]:
        """Return logits `[B, n]` and value `[B, 1]`, of fields `[B, *shape]` float32 by name."""

    def forward(self, rows: Tensor) -> tuple[Tensor, Tensor]:
        """Return logits `[B, n]` and value `[B, 1]` for rows `[B, 1, 1, width]`."""
        return self.act(self.layout.unpack(rows))
