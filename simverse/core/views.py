"""Views: what a world shows of itself, as a dict of tensors, and how they cross to a policy.

A view is all that a policy may know. Its fields are checked as they leave the world, and packed
into one array of float32, which holds every allowed value exactly.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor

from simverse.errors import EnvironmentContractError
from simverse.part_names import MAX_NAME_CHARS, is_part_name

if TYPE_CHECKING:
    from gymnasium import spaces

View = dict[str, Tensor]
"""Fields by name, `[N, ...]` each."""

DONE = "done"
"""The field that marks sub-environments whose episode is over until `reset`: bool `[N]`."""
MAX_FIELDS = 64
MAX_EXACT = 2**24
"""Largest magnitude of a whole number: float32 holds every one up to it."""
_DTYPES: Mapping[torch.dtype, type[np.generic]] = {
    torch.bool: np.uint8,  # gymnasium's boxes have numbers
    torch.uint8: np.uint8,
    torch.int8: np.int8,
    torch.int16: np.int16,
    torch.int32: np.int32,
    torch.int64: np.int64,
    torch.float32: np.float32,
}
_WIDE = frozenset({torch.int32, torch.int64})
"""Whole numbers that float32 does not hold all of."""


@dataclass(frozen=True)
class ViewField:
    """One field of a view."""

    name: str
    dtype: torch.dtype
    shape: tuple[int, ...]
    """Without the sub-environments."""

    @property
    def numbers(self) -> int:
        """How many numbers it has."""
        return math.prod(self.shape)

    @property
    def space(self) -> "spaces.Box":
        """The space of its values; those of whole numbers are bounded."""
        # Only here: whoever checks views has no need of Gymnasium.
        from gymnasium import spaces

        if self.dtype == torch.float32:
            low, high = -np.inf, np.inf
        elif self.dtype == torch.bool:
            low, high = 0, 1
        else:
            info = torch.iinfo(self.dtype)
            low, high = max(info.min, -MAX_EXACT), min(info.max, MAX_EXACT)
        return spaces.Box(low, high, shape=self.shape, dtype=_DTYPES[self.dtype])


@dataclass(frozen=True)
class ViewLayout:
    """The fields of a world's views, in their order."""

    fields: tuple[ViewField, ...]

    @classmethod
    def of(cls, view: Any, num_envs: int) -> "ViewLayout":
        """Return the layout of a world's first view; `EnvironmentContractError` if it has none."""
        if not isinstance(view, Mapping) or not view:
            raise EnvironmentContractError(
                f"a view must be a dict of tensors [{num_envs}, ...], got {_kind(view)}"
            )
        if len(view) > MAX_FIELDS:
            raise EnvironmentContractError(
                f"a view has {len(view)} fields, at most {MAX_FIELDS} are allowed"
            )
        return cls(tuple(_field(name, value, num_envs) for name, value in view.items()))

    @property
    def numbers(self) -> int:
        """Numbers in one sub-environment's view."""
        return sum(field.numbers for field in self.fields)

    @property
    def spaces(self) -> "dict[str, spaces.Box]":
        """The space of each field, without the sub-environments."""
        return {field.name: field.space for field in self.fields}

    def describe(self) -> str:
        """Return the fields in one line: `walls bool [7, 7], distance float32 []`."""
        kinds = ((field, str(field.dtype).removeprefix("torch.")) for field in self.fields)
        return ", ".join(f"{field.name} {kind} {list(field.shape)}" for field, kind in kinds)

    def check(self, view: Any, num_envs: int) -> View:
        """Return a later view if it has the same fields, else raise `EnvironmentContractError`."""
        if not isinstance(view, Mapping) or view.keys() != {field.name for field in self.fields}:
            names = ", ".join(field.name for field in self.fields)
            raise EnvironmentContractError(
                f"a view must have the fields {names}, got {_kind(view)}"
            )
        for field in self.fields:
            value = view[field.name]
            if (
                not isinstance(value, Tensor)
                or value.dtype != field.dtype
                or value.shape != (num_envs, *field.shape)
            ):
                raise EnvironmentContractError(
                    f"the view's {field.name!r} must be {field.dtype} "
                    f"{[num_envs, *field.shape]}, got {_kind(value)}"
                )
        return dict(view)

    def pack(self, view: View, begun: Tensor) -> Tensor:
        """Return a checked view as float32 `[N, numbers + 1]`.

        Args:
            view: as `check` returned it.
            begun: bool `[N]`, the last column: whether an episode begins with this view.

        Raises:
            EnvironmentContractError: a value is not finite, or a whole number too large to be
                held exactly.
        """
        count = len(begun)
        columns = []
        for field in self.fields:
            value = view[field.name].detach().reshape(count, -1)
            # Not by the magnitude: that of the least int64 is negative again.
            if field.dtype in _WIDE and bool(((value > MAX_EXACT) | (value < -MAX_EXACT)).any()):
                raise EnvironmentContractError(
                    f"the view's {field.name!r} has a whole number beyond {MAX_EXACT:,}"
                )
            columns.append(value.to(torch.float32))
        packed = torch.cat([*columns, begun.to(torch.float32).reshape(count, 1)], dim=1)
        if not bool(packed.isfinite().all()):
            name = next(f.name for f in self.fields if not bool(view[f.name].isfinite().all()))
            raise EnvironmentContractError(f"the view's {name!r} is not finite")
        return packed

    def unpack(self, packed: Tensor) -> tuple[View, Tensor]:
        """Return the view and `begun` that `pack` packed: the same values, dtypes and shapes."""
        count = len(packed)
        sizes = [field.numbers for field in self.fields]
        *columns, begun = torch.split(packed.reshape(count, -1), [*sizes, 1], dim=1)
        view = {
            field.name: column.to(field.dtype).reshape(count, *field.shape).contiguous()
            for field, column in zip(self.fields, columns, strict=True)
        }
        return view, begun.reshape(count) > 0


def _field(name: Any, value: Any, num_envs: int) -> ViewField:
    if not is_part_name(name):
        raise EnvironmentContractError(
            f"a view's fields must be named by printable texts of 1 to {MAX_NAME_CHARS} "
            f"characters, got {name!r:.60}"
        )
    if not isinstance(value, Tensor) or value.shape[:1] != (num_envs,):
        raise EnvironmentContractError(
            f"the view's {name!r} must be a tensor [{num_envs}, ...], got {_kind(value)}"
        )
    if value.numel() == 0:
        raise EnvironmentContractError(f"the view's {name!r} is empty: {_kind(value)}")
    if value.dtype not in _DTYPES:
        allowed = ", ".join(str(dtype).removeprefix("torch.") for dtype in _DTYPES)
        raise EnvironmentContractError(
            f"the view's {name!r} is {value.dtype}; allowed are {allowed}"
        )
    if name == DONE and (value.dtype != torch.bool or value.dim() != 1):
        raise EnvironmentContractError(
            f"the view's 'done' must be bool [{num_envs}], got {_kind(value)}"
        )
    return ViewField(name, value.dtype, tuple(value.shape[1:]))


def _kind(value: Any) -> str:
    if isinstance(value, Tensor):
        return f"{value.dtype} {list(value.shape)}"
    if isinstance(value, Mapping):
        return "the fields " + ", ".join(f"{name!s:.40}" for name in list(value)[:MAX_FIELDS])
    return f"a {type(value).__name__}"
