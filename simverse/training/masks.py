"""The masks of legal actions in a rollout: kept only where there are any."""

import torch
from torch import Tensor


class MaskRecorder:
    """Keeps the mask of each slot's observation, bool `[N, w]`, one for each logit.

    All actions of a slot without one are legal, and nothing is kept until the first mask comes.
    """

    def __init__(self, slots: int, num_envs: int, width: int, device: torch.device) -> None:
        self._shape = (slots + 1, num_envs, width)
        self._device = device
        self._store: Tensor | None = None

    def record(self, slot: int, mask: Tensor | None) -> None:
        """Copy a slot's mask: it may alias a live buffer."""
        if self._store is None:
            if mask is None:
                return
            self._store = torch.ones(self._shape, dtype=torch.bool, device=self._device)
        if mask is None:
            self._store[slot].fill_(True)
        else:
            self._store[slot].copy_(mask)

    def at(self, slot: int) -> Tensor | None:
        """Return a slot's mask `[N, w]`, None if there are none."""
        return None if self._store is None else self._store[slot]

    def begin_with(self, slot: int) -> None:
        """Make the mask of a slot that of the first: the last observation begins a segment."""
        if self._store is not None:
            self._store[0].copy_(self._store[slot])

    def first(self, slots: int) -> Tensor | None:
        """Return the masks of the first `slots` slots `[T, N, w]`, None if there are none."""
        return None if self._store is None else self._store[:slots]
