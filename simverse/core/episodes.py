"""Where episodes begin, in environments and worlds that restart by themselves."""

import torch
from torch import Tensor


class StartFlags:
    """Tells which sub-environments begin an episode with an observation, step by step.

    One that resets itself inside `step` begins with the observation that comes with `done`; one
    that is marked `done` in its observation begins with the first that is not.
    """

    def __init__(self) -> None:
        self._was_marked: Tensor | None = None

    def reset(self, marked: Tensor | None) -> None:
        """Note the first observation's `done` entry, bool `[N]`, None if it has none."""
        self._was_marked = None if marked is None else marked.clone()

    def after(self, done: Tensor, marked: Tensor | None) -> Tensor:
        """Return who begins with a step's observation, bool `[N]`, of its `done` and its entry."""
        if marked is None:
            return done
        begun = done if self._was_marked is None else done | self._was_marked
        self._was_marked = marked.clone()
        return begun & ~marked

    def live(self, like: Tensor) -> Tensor:
        """Return whose next step counts, bool `[N]` as `like`: those that are not marked."""
        if self._was_marked is None:
            return torch.ones_like(like, dtype=torch.bool)
        return ~self._was_marked.to(like.device)
