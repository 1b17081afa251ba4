"""Layers: how an environment or a world draws one of its sub-environments, for people to watch.

`render_layers(index)` is optional. It returns a dict of named grids `[H, W]`, bool or numbers, all
of the same size, the lowest first: a replay draws later ones over earlier ones, and their names are
the legend. It is asked before each step of an episode that is recorded to be watched, never in an
evaluation that counts, and must change nothing: neither the state nor a generator.
"""

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

from simverse.errors import EnvironmentContractError
from simverse.part_names import MAX_NAME_CHARS, is_part_name

METHOD = "render_layers"
MAX_LAYERS = 32
MAX_SIDE = 256
MAX_NUMBERS = 2**18
"""Most numbers of one sub-environment's layers."""


def has_layers(env: Any) -> bool:
    """Return whether an environment or world draws itself."""
    return callable(getattr(env, METHOD, None))


def layers_of(env: Any, index: int) -> tuple[list[str], Tensor]:
    """Return the names of a sub-environment's layers and float32 `[L, H, W]` on the CPU.

    Raises:
        EnvironmentContractError: what `render_layers` returned is none.
    """
    found = getattr(env, METHOD)(index)
    if not isinstance(found, Mapping) or not 0 < len(found) <= MAX_LAYERS:
        raise EnvironmentContractError(
            f"{METHOD}() must return a dict of 1 to {MAX_LAYERS} grids, got {_kind(found)}"
        )
    grids = []
    for name, grid in found.items():
        if not is_part_name(name):
            raise EnvironmentContractError(
                f"the layers of {METHOD}() must be named by printable texts of 1 to "
                f"{MAX_NAME_CHARS} characters, got {name!r:.60}"
            )
        is_grid = isinstance(grid, Tensor) and grid.dim() == 2 and not grid.is_complex()
        if not is_grid or not all(0 < size <= MAX_SIDE for size in grid.shape):
            raise EnvironmentContractError(
                f"the layer {name!r} must be a tensor [H, W] of at most {MAX_SIDE} x {MAX_SIDE}, "
                f"got {_kind(grid)}"
            )
        grids.append(grid.detach().to("cpu", torch.float32))
    if len({grid.shape for grid in grids}) > 1 or sum(map(Tensor.numel, grids)) > MAX_NUMBERS:
        shapes = ", ".join(str(list(grid.shape)) for grid in grids[:4])
        raise EnvironmentContractError(
            f"the layers must be of one size and at most {MAX_NUMBERS:,} numbers, got {shapes}"
        )
    stacked = torch.stack(grids)
    if not bool(stacked.isfinite().all()):
        raise EnvironmentContractError(f"a layer of {METHOD}() is not finite")
    return list(found), stacked


def _kind(value: Any) -> str:
    if isinstance(value, Tensor):
        return f"{value.dtype} {list(value.shape)}"
    return f"a {type(value).__name__}" + (f" of {len(value)}" if hasattr(value, "__len__") else "")
