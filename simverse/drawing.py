"""What a replay looks like: grids of cells for every step, each cell of one named plane.

Drawn are the environment's own layers if the replay has them, else the observation's channels or a
view's fields. A plane that is one value all over is a number beside the grid. No torch.
"""

import math
import re
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from simverse.replay_document import Frame
from simverse.replay_reading import decoded

Grid = list[list[float]]
"""`[H][W]`."""
_FIELD = re.compile(r"(.{1,40}?) (bool|uint8|int8|int16|int32|int64|float32) \[([\d, ]*)\](?:, |$)")
_MOST_SHOWN = 12
"""Most numbers of a field, or numbers of their own, that are shown beside the grids."""
_MOST_NUMBERS = 4_000_000
"""Most numbers that are drawn; of what is larger the first steps are."""
_EPSILON = 1e-6


@dataclass(frozen=True)
class Plane:
    """A named grid over all steps."""

    name: str
    frames: list[Grid]
    """Before each step."""


@dataclass(frozen=True)
class Board:
    """Planes of one size, the lowest first."""

    height: int
    width: int
    names: tuple[str, ...]
    cells: list[list[list[tuple[int, float] | None]]]
    """By step, row and column: which plane is on top, and how strong it is there (0 to 1)."""


@dataclass(frozen=True)
class Movie:
    """A replay, ready to be drawn."""

    title: str
    boards: list[Board]
    captions: list[str]
    """What is said of each step."""
    numbers: list[str]
    """What is no grid, step by step."""


def movie(document: dict[str, Any]) -> Movie:
    """Return what a valid replay looks like."""
    planes: list[Plane] = []
    scalars: list[Plane] = []
    has_layers = "layers" in document
    for plane in _planes(document):
        is_number = not has_layers and _is_flat(plane)
        (scalars if is_number else planes).append(plane)
    sizes = dict.fromkeys(_size(plane) for plane in planes)
    boards = [
        _board([plane for plane in planes if _size(plane) == size], keep_order=has_layers)
        for size in sizes
    ]
    count = len(document["steps"]) + (document["last_frame"] is not None and not has_layers)
    count = min([count, *(len(plane.frames) for plane in (*planes, *scalars))])
    numbers = [_numbers(scalars, step) for step in range(count)]
    title = f"{plain(document['env'])}: {plain(document['description'])}"
    return Movie(title, boards, list(_captions(document, count)), numbers)


def plain(text: str, most: int = 500) -> str:
    """Return a foreign text in one line that no terminal obeys."""
    shown = " ".join(text.split())
    return "".join(char if char.isprintable() else "?" for char in shown)[:most]


# -- planes ----------------------------------------------------------------------------------------


def _planes(document: dict[str, Any]) -> Iterator[Plane]:
    if layers := document.get("layers"):
        frames = _first(layers["frames"], layers["shape"])
        yield from _split(layers["names"], layers["shape"], frames)
        return
    encoded, shape = [step["frame"] for step in document["steps"]], document["observation_shape"]
    encoded += [] if document["last_frame"] is None else [document["last_frame"]]
    frames = _first(encoded, shape)
    if "view" in document:
        yield from _fields(document["view"], frames)
        return
    names = document["channels"] or [f"channel {index}" for index in range(shape[0])]
    yield from _split(names, shape, frames)


def _first(encoded: Sequence[Frame], shape: Sequence[int]) -> list[list[float]]:
    """Return the frames of the first steps, as many as can be drawn."""
    size = math.prod(shape)
    return decoded(encoded[: max(1, _MOST_NUMBERS // size)], size)


def _split(
    names: Sequence[str], shape: Sequence[int], frames: Sequence[list[float]]
) -> Iterator[Plane]:
    """Yield the planes of frames `[C, H, W]`."""
    count, height, width = shape
    for index in range(count):
        start = index * height * width
        yield Plane(plain(names[index], 40), [_grid(f, start, height, width) for f in frames])


def _grid(values: list[float], start: int, height: int, width: int) -> Grid:
    rows = range(start, start + height * width, width)
    return [values[row : row + width] for row in rows]


def _fields(view: str, frames: Sequence[list[float]]) -> Iterator[Plane]:
    """Yield the planes of a view's fields: what has more than two dimensions is cut up."""
    start = 0
    for name, _, sizes in _FIELD.findall(view):
        shape = [int(size) for size in sizes.split(",") if size.strip()]
        *front, height, width = [1, 1, *shape]
        count = math.prod(front)
        for index in range(count):
            label = plain(name, 40) if count == 1 else f"{plain(name, 40)} {index}"
            first = start + index * height * width
            yield Plane(label, [_grid(frame, first, height, width) for frame in frames])
        start += math.prod(shape)


def _size(plane: Plane) -> tuple[int, int]:
    return len(plane.frames[0]), len(plane.frames[0][0])


def _is_flat(plane: Plane) -> bool:
    """Is it no grid to look at: one value all over at each step, or a few numbers in a row?"""
    height, width = _size(plane)
    if height <= 1 and width <= _MOST_SHOWN:
        return True
    return all(value == frame[0][0] for frame in plane.frames for row in frame for value in row)


# -- boards ----------------------------------------------------------------------------------------


def _board(planes: list[Plane], *, keep_order: bool) -> Board:
    """Put planes of one size on top of each other, the fullest lowest if they have no order."""
    levels = [_levels(plane) for plane in planes]
    order = list(range(len(planes)))
    if not keep_order:
        order.sort(key=lambda index: -_fullness(levels[index]))
    height, width = _size(planes[0])
    cells = [
        [
            [_top([levels[index][step][row][column] for index in order]) for column in range(width)]
            for row in range(height)
        ]
        for step in range(len(planes[0].frames))
    ]
    return Board(height, width, tuple(planes[index].name for index in order), cells)


def _top(levels: list[float]) -> tuple[int, float] | None:
    for index in reversed(range(len(levels))):
        if levels[index] > _EPSILON:
            return index, levels[index]
    return None


def _levels(plane: Plane) -> list[Grid]:
    """Return how far each value is from the plane's most common one, from 0 to 1."""
    values = Counter(v for frame in plane.frames for row in frame for v in row)
    usual = values.most_common(1)[0][0]
    if all(value in {0, 1} for value in values):
        usual = 0  # a wall is no less of a wall for being everywhere
    most = max((abs(value - usual) for value in values), default=0) or 1
    return [[[abs(v - usual) / most for v in row] for row in frame] for frame in plane.frames]


def _fullness(levels: list[Grid]) -> int:
    return sum(level > _EPSILON for grid in levels for row in grid for level in row)


# -- texts -----------------------------------------------------------------------------------------


def _numbers(scalars: list[Plane], step: int) -> str:
    shown = []
    for plane in scalars[:_MOST_SHOWN]:
        if step >= len(plane.frames):
            continue
        frame = plane.frames[step]
        height, width = _size(plane)
        values = frame[0] if height == 1 and width <= _MOST_SHOWN else frame[0][:1]
        shown.append(f"{plane.name} {' '.join(f'{value:g}' for value in values)}")
    more = len(scalars) - _MOST_SHOWN
    return "  ".join(shown) + (f"  and {more} more" if more > 0 else "")


def _captions(document: dict[str, Any], count: int) -> Iterator[str]:
    steps, total = document["steps"], 0.0
    for number, step in enumerate(steps, 1):
        total += step["reward"]
        ended = " done" if step["done"] else ""
        solved = " solved" if step["success"] else ""
        yield (
            f"step {number}/{len(steps)}  action {step['action']}  reward {step['reward']:+g}  "
            f"return {total:.4g}{ended}{solved}"
        )
        if number == count:
            return
    if count > len(steps):
        yield f"the end  return {total:.4g}"
