"""The daemon's log file: its last lines, and new ones as they are written."""

import os
import time
from collections.abc import Iterator
from pathlib import Path

from orchestrator.store.user_files import open_regular


def log_lines(path: Path, count: int) -> list[str]:
    """Return the last `count` lines of the log, from rotated files too if needed."""
    lines: list[str] = []
    for suffix in ("", ".1", ".2", ".3"):
        file = Path(f"{path}{suffix}")
        if not file.exists() or len(lines) >= count:
            break
        with open_regular(file, errors="replace") as stream:
            lines = stream.read().splitlines() + lines
    return lines[-count:] if count else []


def follow_log(path: Path, poll_s: float = 0.25) -> Iterator[str]:
    """Yield lines as they are appended, across rotations, without end."""
    file = open_regular(path, errors="replace") if path.exists() else None
    if file:
        file.seek(0, 2)
    partial = ""
    while True:
        # Checked before the file is read: nothing is appended to one that has been replaced.
        is_replaced = _inode(path) not in {None, file and os.fstat(file.fileno()).st_ino}
        chunk = file.readline() if file else ""
        if chunk:
            partial += chunk
            if partial.endswith("\n"):
                yield partial.rstrip("\n")
                partial = ""
        elif is_replaced:
            if file:
                file.close()
            file = open_regular(path, errors="replace")
        else:
            time.sleep(poll_s)


def _inode(path: Path) -> int | None:
    """Return a file's inode number, None if there is no such file."""
    try:
        return path.stat().st_ino
    except FileNotFoundError:
        return None
