"""Dictionaries and tuples of observations as rows of numbers, and back to named tensors.

The order is that of `gymnasium.spaces.utils.flatten`: a `Dict`'s keys as the space has them, which
is sorted unless it was told otherwise; a `Tuple`'s in order. `Discrete` and `MultiDiscrete` become
one-hot, all else its numbers in row-major order, as they are. Only what is said to be an image is
treated as one.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Literal, get_args

import numpy as np
import torch
from gymnasium import spaces
from torch import Tensor

ImageOrder = Literal["HWC", "CHW"]
"""Where an image's channels are before: last or first."""


@dataclass(frozen=True, kw_only=True)
class Field:
    """One part of an observation, say `camera` or `arm.joints` or, of a tuple, `0`."""

    name: str
    path: tuple[Any, ...]
    """The keys and indices that lead to it."""
    shape: tuple[int, ...]
    """What a policy sees of one sub-environment: `(C, H, W)` of an image, `(n,)` of a one-hot."""
    counts: tuple[int, ...] = ()
    """Of a one-hot, how many values each of its numbers has; empty for plain numbers."""
    starts: tuple[int, ...] = ()
    """Of a one-hot, the least value of each."""
    image: ImageOrder | None = None
    scale: float = 1.0
    """What its numbers are divided by."""

    @property
    def size(self) -> int:
        """How many numbers of a row it takes."""
        return math.prod(self.shape)

    def encode(self, values: Tensor) -> Tensor:
        """Return `[N, size]` float32 of a batch `[N, ...]` of the space's own values.

        Raises `ValueError` for a discrete value outside of its space.
        """
        count = len(values)
        if self.counts:
            return self._one_hot(values.reshape(count, -1).long())
        numbers = values.reshape(count, *self._before) if self.image else values
        if self.image == "HWC":
            numbers = numbers.movedim(-1, 1)
        flat = numbers.reshape(count, self.size).to(torch.float32)
        return flat if self.scale == 1.0 else flat / self.scale

    @property
    def _before(self) -> tuple[int, ...]:
        channels, height, width = self.shape
        return (height, width, channels) if self.image == "HWC" else self.shape

    def _one_hot(self, values: Tensor) -> Tensor:
        counts = values.new_tensor(self.counts)
        index = values - values.new_tensor(self.starts)
        outside = (index < 0) | (index >= counts)
        if bool(outside.any()):
            row, column = outside.nonzero()[0].tolist()
            least, number = self.starts[column], self.counts[column]
            raise ValueError(
                f"the observation {self.name!r} is {int(values[row, column])}, and its space has "
                f"the values {least} to {least + number - 1}"
            )
        hot = torch.zeros(len(values), self.size, device=values.device)
        return hot.scatter_(1, index + counts.cumsum(0) - counts, 1.0)

    def describe(self) -> str:
        """Say how it is taken, say `direction: one of 4`."""
        sizes = " x ".join(map(str, self.shape))
        if self.counts:
            return f"{self.name}: one of {', one of '.join(map(str, self.counts))}"
        if self.image:
            scaled = f", divided by {self.scale:g}" if self.scale != 1.0 else ""
            return f"{self.name}: image {sizes}{scaled}"
        return f"{self.name}: {sizes} numbers"


@dataclass(frozen=True)
class FlatLayout:
    """Where each field is in a row, and how rows are made: for batches of `N` sub-environments."""

    fields: tuple[Field, ...]

    @property
    def width(self) -> int:
        """How many numbers a row has."""
        return sum(field.size for field in self.fields)

    @property
    def shape(self) -> tuple[int, int, int]:
        """Return `(C, H, W)` of a row, `(1, 1, width)`."""
        return (1, 1, self.width)

    @cached_property
    def space(self) -> "FlatBox":
        """The rows' observation space, from which a policy gets this layout."""
        return FlatBox(self)

    def pack(self, batch: Any) -> Tensor:
        """Return rows `[N, 1, 1, width]` float32, a copy.

        `batch` is what a vector environment gives: mappings and tuples nested as the space, of
        arrays or tensors `[N, ...]`. Whole numbers are exact up to 2**24. Raises `ValueError` for
        a discrete value outside of its space.
        """
        parts = [field.encode(_tensor(_at(batch, field))) for field in self.fields]
        return torch.cat(parts, dim=1).view(-1, *self.shape)

    def pack_each(self, observations: Sequence[Any]) -> Tensor:
        """Return rows `[K, 1, 1, width]` of `K` observations, each of one sub-environment."""
        parts = [
            field.encode(_tensor(np.stack([np.asarray(_at(one, field)) for one in observations])))
            for field in self.fields
        ]
        return torch.cat(parts, dim=1).view(-1, *self.shape)

    def unpack(self, rows: Tensor) -> dict[str, Tensor]:
        """Return views of rows `[B, 1, 1, width]` by name, each `[B, *shape]` of its field.

        Raises `ValueError` for rows of another width, a stack of frames say.
        """
        if tuple(rows.shape[1:]) != self.shape:
            raise ValueError(
                f"named observations are rows [B, 1, 1, {self.width}], got {list(rows.shape)}: "
                "a policy that takes them by name sees single frames"
            )
        sizes = [field.size for field in self.fields]
        parts = rows.flatten(1).split_with_sizes(sizes, dim=1)
        pairs = zip(self.fields, parts, strict=True)
        return {field.name: part.view(len(rows), *field.shape) for field, part in pairs}

    def describe(self) -> str:
        """Say in one line how each field is taken."""
        return "; ".join(field.describe() for field in self.fields)


class FlatBox(spaces.Box):  # type: ignore[misc, unused-ignore]
    """The space of a layout's rows, `(1, 1, width)`, unbounded."""

    def __init__(self, layout: FlatLayout) -> None:
        super().__init__(-math.inf, math.inf, shape=layout.shape)
        self.layout = layout


def layout_of(
    space: spaces.Space[Any],
    *,
    images: Mapping[str, ImageOrder] | None = None,
    without: Sequence[str] = (),
) -> FlatLayout:
    """Return the layout of a `Dict` or `Tuple` space, nested or not.

    Args:
        space: of `Box`, `Discrete`, `MultiDiscrete`, `MultiBinary`, and `Dict` and `Tuple` of them.
        images: which fields are images, by name, with the order of their axes now. A policy sees
            them as `(C, H, W)`, bytes divided by 255. Without being named here a picture is plain
            numbers: bytes may be categories.
        without: names of fields, or of whole branches, that are left out: text, say.

    Raises:
        ValueError: a field can't be flattened, two have the same name, there is none, or a name in
            `images` or `without` is not among them.
    """
    images, skipped = dict(images or {}), set(without)
    fields: list[Field] = []
    _collect(space, (), images, skipped, fields)
    if unknown := sorted([*images, *skipped]):
        known = ", ".join(field.name for field in fields)
        raise ValueError(f"the observation has no field {unknown[0]!r}; it has: {known}")
    names = [field.name for field in fields]
    if twice := sorted({name for name in names if names.count(name) > 1}):
        raise ValueError(f"two fields of the observation have the name {twice[0]!r}")
    if not sum(field.size for field in fields):
        raise ValueError(f"the observation has no numbers: {space}")
    return FlatLayout(tuple(fields))


def layout_in(space: Any) -> FlatLayout:
    """Return the layout that an observation space carries; `ValueError` if it has none."""
    layout = getattr(space, "layout", None)
    if not isinstance(layout, FlatLayout):
        raise ValueError(  # noqa: TRY004 - its value
            f"the observation space {space!r:.80} has no named fields: named observations come "
            "from a Dict or Tuple space, not stacked"
        )
    return layout


def _collect(
    space: Any,
    path: tuple[Any, ...],
    images: dict[str, ImageOrder],
    skipped: set[str],
    fields: list[Field],
) -> None:
    """Append the fields of a space, in order; names that were used are taken out."""
    name = ".".join(map(str, path)) or "obs"
    if path and name in skipped:
        skipped.remove(name)
    elif isinstance(space, spaces.Dict):
        for key, part in space.spaces.items():
            _collect(part, (*path, key), images, skipped, fields)
    elif isinstance(space, spaces.Tuple):
        for index, part in enumerate(space.spaces):
            _collect(part, (*path, index), images, skipped, fields)
    elif name in images:
        fields.append(_image(space, name, path, images.pop(name)))
    else:
        fields.append(_field(space, name, path))


def _field(space: Any, name: str, path: tuple[Any, ...]) -> Field:
    if isinstance(space, spaces.Discrete):
        count = int(space.n)
        return Field(
            name=name, path=path, shape=(count,), counts=(count,), starts=(int(space.start),)
        )
    if isinstance(space, spaces.MultiDiscrete):
        counts = tuple(int(count) for count in space.nvec.flatten())
        start = getattr(space, "start", np.zeros_like(space.nvec))
        starts = tuple(int(least) for least in np.asarray(start).flatten())
        return Field(name=name, path=path, shape=(sum(counts),), counts=counts, starts=starts)
    if isinstance(space, spaces.Box | spaces.MultiBinary):
        return Field(name=name, path=path, shape=_sizes(space) or (1,))
    raise ValueError(
        f"the observation {name!r} can't be flattened: {space!r:.80}; leave it out with "
        f"without=({name!r},)"
    )


def _image(space: Any, name: str, path: tuple[Any, ...], order: ImageOrder) -> Field:
    if order not in get_args(ImageOrder):
        raise ValueError(f"an image's axes are 'HWC' or 'CHW', got {order!r} for {name!r}")
    sizes = _sizes(space) if isinstance(space, spaces.Box) else ()
    if len(sizes) == 2:
        sizes = (*sizes, 1) if order == "HWC" else (1, *sizes)
    if len(sizes) != 3:
        raise ValueError(f"the observation {name!r} is no image: {space!r:.80}")
    shape = (sizes[2], *sizes[:2]) if order == "HWC" else sizes
    scale = 255.0 if space.dtype == np.uint8 else 1.0
    return Field(name=name, path=path, shape=shape, image=order, scale=scale)


def _sizes(space: Any) -> tuple[int, ...]:
    return tuple(int(size) for size in space.shape)


def _at(batch: Any, field: Field) -> Any:
    for step in field.path:
        batch = batch[step]
    return batch


def _tensor(values: Any) -> Tensor:
    if isinstance(values, Tensor):
        return values
    array = np.asarray(values)
    # torch has no arithmetic on the wider unsigned ones.
    if array.dtype.kind == "u" and array.dtype != np.uint8:
        array = array.astype(np.int64)
    return torch.from_numpy(np.ascontiguousarray(array))
