"""How observations of Gymnasium's spaces become `[N, C, H, W]`, and what its actions are here."""

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from gymnasium import spaces
from torch import Tensor

from simverse.wrappers.flatten import FlatLayout, layout_of

IMAGE_PIXELS = 36
"""Bytes of at least so many rows and columns are an image's, as in Stable-Baselines3's check of
environments (the least that its convolutions take); fewer are numbers of kinds, as in MiniGrid."""
_IMAGE_CHANNELS = {1, 3, 4}


@dataclass(frozen=True)
class ActionLayout:
    """How actions are chosen here, and as Gymnasium takes them."""

    space: spaces.Space[Any]
    """What a policy chooses from: numbers from 0, or a box of one axis."""
    convert: Callable[[np.ndarray], np.ndarray]
    """Turns a batch `[N, ...]` of its values into one of Gymnasium's."""


def action_layout(space: spaces.Space[Any]) -> ActionLayout:
    """Return how actions are chosen.

    `Discrete` is int64 `[N]`, `MultiDiscrete` int64 `[N, k]`, both counted from 0; `Box` float32
    `[N, d]`, its numbers in row-major order.

    Raises:
        ValueError: the space is of another kind.
    """
    if isinstance(space, spaces.Discrete):
        return ActionLayout(spaces.Discrete(int(space.n)), lambda chosen: chosen + int(space.start))
    if isinstance(space, spaces.MultiDiscrete):
        counts, start = space.nvec.flatten(), getattr(space, "start", np.zeros_like(space.nvec))
        return ActionLayout(
            spaces.MultiDiscrete(counts), lambda chosen: chosen.reshape(-1, *space.shape) + start
        )
    if isinstance(space, spaces.Box) and np.issubdtype(space.dtype, np.floating):
        low, high = (np.asarray(limit.flatten(), np.float32) for limit in (space.low, space.high))
        return ActionLayout(
            spaces.Box(low, high, dtype=np.float32),
            lambda chosen: chosen.reshape(-1, *space.shape).astype(space.dtype),
        )
    raise ValueError(f"actions must be Discrete, MultiDiscrete or a Box of floats, got {space}")


@dataclass(frozen=True)
class ObservationLayout:
    """How observations become `[N, C, H, W]`."""

    space: spaces.Space[Any]
    """What a policy sees, `(C, H, W)`."""
    pack: Callable[[Any], Tensor]
    """Turns a batch of a vector environment's, `[N, ...]`, into `[N, C, H, W]`, a copy."""
    pack_each: Callable[[Sequence[Any]], Tensor]
    """Turns `K` observations, each of one sub-environment, into `[K, C, H, W]`."""
    rule: str
    """What was done, for people: `channels last before, bytes as they are`; empty if nothing."""

    def __str__(self) -> str:
        sizes = f"observations {self.space.shape}"
        return f"{sizes}, {self.rule}" if self.rule else sizes


def observation_layout(
    space: spaces.Space[Any],
    *,
    scale: float | None = None,
    channels: str | None = None,
    images: Mapping[str, Any] | None = None,
    without: str | Sequence[str] = (),
) -> ObservationLayout:
    """Return how observations of a space become `[N, C, H, W]`.

    A vector of d numbers becomes `(1, 1, d)`, a matrix `(1, H, W)`, an image `(C, H, W)`, a
    `Discrete` one is one-hot, `(1, 1, n)`. The parts of a `Dict`, `Tuple` or `MultiDiscrete` space
    become one row, `(1, 1, width)`, as in `simverse.wrappers.flatten`.

    Args:
        space: of one sub-environment.
        scale: what the numbers of a `Box` are divided by. Without it 255 for bytes that look like
            an image (all from 0 to 255, at least `IMAGE_PIXELS` rows and columns), else 1.
        channels: `first` or `last`, of a `Box` of three axes; without it `channels_last` decides.
        images: parts of a `Dict` or `Tuple` that are images, by name, as `HWC` or `CHW`.
        without: parts that are left out, by name.

    Raises:
        ValueError: the space is of another kind, or an option is of no use for it.
    """
    if scale is not None and not (isinstance(scale, int | float) and 0 < scale < math.inf):
        raise ValueError(f"scale must be a number above 0, got {scale!r}")
    if channels not in {None, "first", "last"}:
        raise ValueError(f"channels must be first or last, got {channels!r}")
    sizes = tuple(int(size) for size in space.shape or ())
    is_box = isinstance(space, spaces.Box | spaces.MultiBinary) and 1 <= len(sizes) <= 3
    if is_box and (images or without):
        raise ValueError(f"images and without name parts of an observation, which is {space}")
    if is_box:
        return _box(space, sizes, scale, channels)
    if scale is not None or channels is not None:
        raise ValueError(f"scale and channels are for a Box of one to three axes, not for {space}")
    if isinstance(space, spaces.Discrete) and not (images or without):
        rule = f"one-hot, before a number from {space.start}"
        return _flat(layout_of(space), rule)
    if isinstance(space, spaces.Dict | spaces.Tuple | spaces.MultiDiscrete):
        skipped = without.split(",") if isinstance(without, str) else without
        layout = layout_of(space, images=images, without=skipped)
        return _flat(layout, f"in a row: {layout.describe()}")
    kinds = "Box, Discrete, MultiBinary, MultiDiscrete, Dict or Tuple"
    raise ValueError(f"observations must be {kinds}, got {space}")


def _flat(layout: FlatLayout, rule: str) -> ObservationLayout:
    return ObservationLayout(layout.space, layout.pack, layout.pack_each, rule)


def _box(
    space: spaces.Space[Any], sizes: tuple[int, ...], scale: float | None, channels: str | None
) -> ObservationLayout:
    is_last = len(sizes) == 3 and (channels or _order(sizes)) == "last"
    target = (1,) * (3 - len(sizes)) + ((sizes[2], *sizes[:2]) if is_last else sizes)
    divisor, said = _scaling(space, target, scale)

    def pack(obs: Any) -> Tensor:
        array = np.array(obs)
        if array.dtype.kind == "u" and array.dtype != np.uint8:
            array = array.astype(np.int64)  # torch has no arithmetic on the wider unsigned ones
        batch = torch.from_numpy(array)
        moved = batch.movedim(-1, 1) if is_last else batch
        return moved.reshape(-1, *target) / divisor

    order = [f"channels {'last' if is_last else 'first'} before"] if len(sizes) == 3 else []
    shown = spaces.Box(-math.inf, math.inf, shape=target)
    return ObservationLayout(
        shown, pack, lambda each: pack(np.stack(each)), ", ".join(order + said)
    )


def channels_last(sizes: tuple[int, ...]) -> bool:
    """Return whether the last of three axes is that of the channels, by their sizes.

    Where two neighbouring axes are equal, they are rows and columns: (7, 7, 20) has its channels
    last, (20, 7, 7) first. Else an axis of 1, 3 or 4 is the channels', the last one if both are;
    else the smaller of the first and the last axis, the first if they are equal.
    """
    first, middle, last = sizes
    if (first == middle) != (middle == last):
        return first == middle
    if last in _IMAGE_CHANNELS or first in _IMAGE_CHANNELS:
        return last in _IMAGE_CHANNELS
    return last < first


def _order(sizes: tuple[int, ...]) -> str:
    return "last" if channels_last(sizes) else "first"


def _scaling(
    space: spaces.Space[Any], target: tuple[int, ...], scale: float | None
) -> tuple[float, list[str]]:
    """Return what numbers are divided by, and that in words where there is something to say."""
    is_bytes = isinstance(space, spaces.Box) and space.dtype == np.uint8
    what = "bytes" if is_bytes else "numbers"
    if scale is not None:
        return float(scale), [f"{what} divided by {scale:g}"]
    if not is_bytes:
        return 1.0, []
    is_image = _is_image(space, target)
    return (255.0, ["bytes divided by 255"]) if is_image else (1.0, ["bytes as they are"])


def _is_image(space: Any, target: tuple[int, ...]) -> bool:
    is_whole_range = bool(np.all(space.low == 0) and np.all(space.high == 255))
    return is_whole_range and min(target[1:]) >= IMAGE_PIXELS
