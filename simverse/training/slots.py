"""The slots of a rollout as views that are made once: making one costs as much as writing to it."""

from typing import Any, NamedTuple

from torch import Tensor

_MOST_KEPT = 4096


class Slot(NamedTuple):
    """One slot of a `Rollout`, of `N` sub-environments; see there."""

    obs: Tensor
    logits: Tensor
    values: Tensor
    actions: Tensor
    rewards: Tensor
    dones: Tensor
    live: Tensor
    success: Tensor


class Slots:
    """The first slots of a storage, by number; those of a very long one are made when asked for."""

    def __init__(self, storage: Any) -> None:
        self._columns = [getattr(storage, name) for name in Slot._fields]
        kept = [column[:_MOST_KEPT].unbind() for column in self._columns]
        self._kept = [Slot(*views) for views in zip(*kept, strict=False)]  # one more observation

    def __getitem__(self, number: int) -> Slot:
        """Return a slot's views."""
        if number < len(self._kept):
            return self._kept[number]
        return Slot(*(column[number] for column in self._columns))
