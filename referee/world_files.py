"""The files of a user's own world: `task/world.py`, and modules beside it, as text."""

import os
from collections.abc import Mapping
from pathlib import Path

MAX_WORLD_CHARS = 1_000_000
"""Longest world, all of its files together."""
MAIN = "world.py"
WORLD_PATH = f"task/{MAIN}"
AT_FAULT = f"{WORLD_PATH}: "
"""How a line on a fault of the world's begins, unless it names a file of `task/` itself."""


class WorldError(Exception):
    """The user's world is at fault, not the candidate: its text is one line that says how."""


def read_world(folder: Path) -> dict[str, str] | None:
    """Return the texts of the modules in a `task` folder by file name; None if it has no world.

    Raises:
        WorldError: a file is not text or no file, or they are too long.
        OSError: the system has no descriptor or memory to give.
    """
    if not os.path.lexists(folder / MAIN):
        return None
    files = {}
    # An editor's lock (`.#world.py`) or a leftover is no module.
    for path in sorted(file for file in folder.glob("*.py") if file.stem.isidentifier()):
        if not path.is_file():
            raise WorldError(f"task/{path.name} is no regular file: put one there")
        try:
            files[path.name] = path.read_text(encoding="utf-8")
        except (UnicodeDecodeError, PermissionError) as error:
            raise WorldError(f"task/{path.name} can't be read: {error}") from error
    check_world_files(files)
    return files


def check_world_files(files: Mapping[str, str]) -> None:
    """Check that these can be a world's files. Raises `WorldError`."""
    if MAIN not in files:
        raise WorldError(f"task/{MAIN} is missing")
    if sum(map(len, files.values())) > MAX_WORLD_CHARS:
        raise WorldError(f"task/ holds over {MAX_WORLD_CHARS:,} characters")
