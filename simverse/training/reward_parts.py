"""The reward's parts in a rollout: recorded to be shown, whatever they hold; never trained on."""

from collections.abc import Mapping
from typing import Any, NamedTuple

import torch
from torch import Tensor

from simverse.part_names import MAX_PARTS, is_part_name


class RewardParts(NamedTuple):
    """`K` parts of the rewards in `T` slots of `N` sub-environments."""

    names: tuple[str, ...]
    values: Tensor
    """`[T, K, N]` float32."""


class PartRecorder:
    """Keeps `info["reward_parts"]` of each slot.

    The names are those of the first step that has any: a part that is missing later is 0, and one
    that is new is left out. Parts that are not tensors `[N]` are all dropped, for the whole of the
    training, and raise nothing: `simverse.testing.check_env` says what is wrong with them.
    """

    def __init__(self, slots: int, num_envs: int, device: torch.device) -> None:
        self._slots = slots
        self._shape = torch.Size((num_envs,))
        self._nothing = torch.zeros(self._shape, device=device)
        self._names: tuple[str, ...] = ()
        self._store: Tensor | None = None
        self._is_dropped = False

    def record(self, slot: int, parts: Any) -> None:
        """Copy a step's parts: they may alias live buffers."""
        if self._is_dropped or (parts is None and self._store is None):
            return
        try:
            self._copy(slot, {} if parts is None else parts)
        except (AttributeError, RuntimeError, TypeError, ValueError):
            self._is_dropped = True

    def first(self, slots: int) -> RewardParts | None:
        """Return the parts of the first `slots` slots, None if there are none."""
        if self._is_dropped or self._store is None:
            return None
        return RewardParts(self._names, self._store[:slots])

    def _copy(self, slot: int, parts: Mapping[str, Tensor]) -> None:
        if self._store is None:
            if not parts:
                return
            self._begin(parts)
        if tuple(parts) == self._names:
            values = list(parts.values())
        else:
            values = [parts.get(name, self._nothing) for name in self._names]
        if any(value.shape != self._shape for value in values):
            raise ValueError("a reward part is no tensor [N]")
        assert self._store is not None
        torch.stack(values, out=self._store[slot])

    def _begin(self, parts: Mapping[str, Tensor]) -> None:
        if len(parts) > MAX_PARTS or not all(map(is_part_name, parts)):
            raise ValueError("too many reward parts, or one without a proper name")
        self._names = tuple(parts)
        shape = (self._slots, len(self._names), *self._shape)
        self._store = torch.zeros(shape, device=self._nothing.device)
