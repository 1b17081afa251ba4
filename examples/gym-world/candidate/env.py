"""What the policy sees of the world: its observation as it is."""

from collections.abc import Mapping
from typing import Any

import torch


def observation_space(view_spaces: Mapping[str, Any]) -> Any:
    """Return the space of `observe`'s observations, shape `(C, H, W)`."""
    return view_spaces["obs"]


def observe(view: Mapping[str, torch.Tensor]) -> torch.Tensor:
    """Return observations `[N, C, H, W]` of a view."""
    return view["obs"]
