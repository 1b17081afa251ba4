"""The page's own files: what a browser loads before it asks for anything."""

import functools
from pathlib import Path

ASSETS = Path(__file__).parent / "assets"


@functools.cache
def asset_files() -> tuple[str, ...]:
    """Return the paths of all assets below `ASSETS`, as a browser asks for them."""
    found = (path.relative_to(ASSETS).as_posix() for path in ASSETS.rglob("*.*"))
    return tuple(sorted(found))
