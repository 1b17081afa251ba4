"""A replay shown: in a terminal, as plain text, or as an animated GIF. No torch."""

import json
import os
import shutil
import sys
import textwrap
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, TextIO

from simverse.drawing import Board, Movie, movie
from simverse.errors import SimverseError
from simverse.replay_reading import check_replay

DELAY_S = 0.2
"""Between two steps."""
MAX_GIF_FRAMES = 2000
_MAX_BYTES = 64 * 2**20
_LAST_MS = 1500
_SYMBOLS = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789"
_EMPTY = "."
_COLOURS = (
    (120, 120, 120), (86, 180, 233), (230, 159, 0), (0, 158, 115), (240, 228, 66), (204, 121, 167),
    (213, 94, 0), (0, 114, 178), (170, 220, 120), (160, 120, 230),
)  # fmt: skip
"""By plane; told apart by colour-blind people too (Okabe and Ito)."""
_GROUND = (24, 24, 24)
_INK = (235, 235, 235)
_HOME, _CLEAR_LINE, _CLEAR_BELOW = "\x1b[H", "\x1b[K", "\x1b[J"
_HIDE, _SHOW, _PLAIN = "\x1b[?25l\x1b[2J", "\x1b[?25h", "\x1b[0m"


class WatchError(SimverseError):
    """The replay can't be read or drawn; its text is one line."""


def read(source: Path | None) -> Movie:
    """Return the replay in a file, or on standard input.

    Raises:
        WatchError: it is none.
    """
    try:
        stream = sys.stdin.buffer if source is None else source.open("rb")
        with stream:
            text = stream.read(_MAX_BYTES + 1)
        if len(text) > _MAX_BYTES:
            raise WatchError(f"the replay is larger than {_MAX_BYTES >> 20} MiB")
        document: Any = json.loads(text)
        check_replay(document)
    except OSError as error:
        raise WatchError(f"{source}: {error.strerror}") from error
    except (ValueError, RecursionError) as error:
        raise WatchError(f"{source or 'standard input'} is no replay: it is no JSON") from error
    except SimverseError as error:
        raise WatchError(f"{source or 'standard input'}: {error}") from error
    return movie(document)


# -- terminal --------------------------------------------------------------------------------------


def show(found: Movie, stream: TextIO, *, ascii_only: bool, delay_s: float = DELAY_S) -> None:
    """Show a replay: animated on a terminal that takes codes, else frame after frame as text."""
    takes_codes = stream.isatty() and os.environ.get("TERM", "dumb") not in {"dumb", "unknown"}
    is_coloured = takes_codes and not ascii_only and not os.environ.get("NO_COLOR")
    columns = shutil.get_terminal_size().columns if takes_codes else 200
    pages = (_page(found, step, columns, is_coloured) for step in range(len(found.captions)))
    if not takes_codes:
        stream.write("\n\n".join("\n".join(page) for page in pages) + "\n")
        return
    stream.write(_HIDE)
    try:
        for number, page in enumerate(pages):
            if number:
                time.sleep(delay_s)
            stream.write(_HOME + "".join(f"{line}{_CLEAR_LINE}\n" for line in page) + _CLEAR_BELOW)
            stream.flush()
    finally:
        stream.write(_PLAIN + _SHOW)
        stream.flush()


def _page(found: Movie, step: int, columns: int, is_coloured: bool) -> list[str]:
    """Return the lines of one step."""
    lines = [found.title[: columns - 1], found.captions[step][: columns - 1]]
    for board in found.boards:
        glyphs = _glyphs(board.names)
        lines.append("")
        lines += [_row(row, glyphs, is_coloured) for row in _fitted(board, step, columns // 2)]
        lines.append(_legend(board.names, glyphs, columns, is_coloured))
    if found.numbers[step]:
        lines += ["", *textwrap.wrap(found.numbers[step], columns - 1, max_lines=_NUMBER_LINES)]
    return lines


def _row(row: Sequence[tuple[int, float] | None], glyphs: str, is_coloured: bool) -> str:
    if not is_coloured:
        return " ".join(_EMPTY if cell is None else glyphs[cell[0]] for cell in row)
    parts = []
    for cell in row:
        text = f"{_EMPTY} " if cell is None else f"{glyphs[cell[0]]} "
        parts.append(f"{_code(_colour(cell))}{text}")
    return "".join(parts) + _PLAIN


def _legend(names: Sequence[str], glyphs: str, columns: int, is_coloured: bool) -> str:
    marks, used = [], 0
    for index, (glyph, name) in enumerate(zip(glyphs, names, strict=True)):
        used += len(name) + 4
        if used > columns:
            marks.append("…" if is_coloured else "...")
            break
        mark = f"{_code(_colour((index, 1.0)))}{glyph}{_PLAIN}" if is_coloured else glyph
        marks.append(f"{mark} {name}")
    return "  ".join(marks)


def _glyphs(names: Sequence[str]) -> str:
    """Return a character for each name: a letter of its own where one is left."""
    glyphs = ""
    for name in names:
        own = [letter for letter in name.upper() + name.lower() if letter in _SYMBOLS]
        glyphs += next((letter for letter in [*own, *_SYMBOLS] if letter not in glyphs), "#")
    return glyphs


def _fitted(board: Board, step: int, most: int) -> Iterator[list[tuple[int, float] | None]]:
    """Yield the rows of a step, of at most so many cells: of a block the topmost one is shown."""
    cells, block = board.cells[step], -(-board.width // max(1, most))
    for top in range(0, board.height, block):
        yield [
            max(
                (
                    cell
                    for row in cells[top : top + block]
                    for cell in row[left : left + block]
                    if cell is not None
                ),
                default=None,
            )
            for left in range(0, board.width, block)
        ]


def _colour(cell: tuple[int, float] | None) -> tuple[int, ...]:
    if cell is None:
        return _GROUND
    plane, level = cell
    share = 0.35 + 0.65 * min(level, 1.0)
    full = _COLOURS[plane % len(_COLOURS)]
    return tuple(round(g + share * (c - g)) for g, c in zip(_GROUND, full, strict=True))


def _code(colour: Sequence[int]) -> str:
    """Return the codes of a background among a terminal's 256 colours, and of ink to read on it."""
    red, green, blue = (round(value / 51) for value in colour)
    ink = 16 if sum(colour) > 330 else 252
    return f"\x1b[48;5;{16 + 36 * red + 6 * green + blue};38;5;{ink}m"


# -- GIF -------------------------------------------------------------------------------------------

_LINE_PX, _MARGIN_PX, _WIDTH_PX = 14, 8, 360
_SIDE_PX = 320
_TITLE_LINES = 2
_NUMBER_LINES = 6
"""Of what is no grid."""


def write_gif(found: Movie, path: Path, *, delay_s: float = DELAY_S) -> int:
    """Write a replay as an animated GIF; return how many frames it has.

    Raises:
        WatchError: Pillow is missing, or the file can't be written.
    """
    try:
        from PIL import Image, ImageDraw
    except ImportError as error:
        raise WatchError("a GIF needs Pillow: `pip install pillow`") from error
    pictures = []
    for step in range(min(len(found.captions), MAX_GIF_FRAMES)):
        picture = Image.new("RGB", _size(found), _GROUND)
        _paint(ImageDraw.Draw(picture), found, step)
        pictures.append(picture)
    durations = [round(1000 * delay_s)] * (len(pictures) - 1) + [_LAST_MS]
    try:
        pictures[0].save(
            path, "GIF", save_all=True, append_images=pictures[1:], duration=durations, loop=0
        )
    except OSError as error:
        raise WatchError(f"{path} can't be written: {error.strerror or error}") from error
    return len(pictures)


def _cell_px(board: Board) -> int:
    return max(1, min(40, _SIDE_PX // max(board.height, board.width)))


def _size(found: Movie) -> tuple[int, int]:
    width = max([_WIDTH_PX, *(_cell_px(b) * b.width + 2 * _MARGIN_PX for b in found.boards)])
    lines = 1 + _TITLE_LINES + (_NUMBER_LINES if any(found.numbers) else 0)
    height = lines * _LINE_PX + 2 * _MARGIN_PX
    for board in found.boards:
        height += _cell_px(board) * board.height + _LINE_PX * len(board.names) + 2 * _MARGIN_PX
    return width, height


def _paint(draw: Any, found: Movie, step: int) -> None:
    left = top = _MARGIN_PX
    chars = (_size(found)[0] - 2 * _MARGIN_PX) // 6
    lines = [*_lines(found.title, chars, _TITLE_LINES), found.captions[step]]
    if any(found.numbers):
        lines += _lines(found.numbers[step], chars, _NUMBER_LINES)
    for line in lines:
        draw.text((left, top), _latin(line)[:chars], fill=_INK)
        top += _LINE_PX
    top += _MARGIN_PX
    for board in found.boards:
        side = _cell_px(board)
        gap = 1 if side >= 8 else 0
        for row, cells in enumerate(board.cells[step]):
            for column, cell in enumerate(cells):
                x, y = left + column * side, top + row * side
                fill = (44, 44, 44) if cell is None else _colour(cell)
                draw.rectangle((x, y, x + side - 1 - gap, y + side - 1 - gap), fill=fill)
        top += side * board.height + _MARGIN_PX
        for index, name in enumerate(board.names):
            draw.rectangle((left, top + 2, left + 9, top + 11), fill=_colour((index, 1.0)))
            draw.text((left + 16, top), _latin(name)[:chars], fill=_INK)
            top += _LINE_PX
        top += _MARGIN_PX


def _lines(text: str, chars: int, count: int) -> list[str]:
    """Return a text as so many lines, whatever its length."""
    lines = textwrap.wrap(text, chars, max_lines=count, placeholder=" ...")
    return lines + [""] * (count - len(lines))


def _latin(text: str) -> str:
    """Return a text as Pillow's own font has it."""
    return text.encode("latin-1", "replace").decode("latin-1")
