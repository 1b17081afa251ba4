"""The page's own files: what a browser loads before it asks for anything."""

from pathlib import Path

ASSETS = Path(__file__).parent / "assets"


def asset_files() -> list[str]:
    """Return the paths of all assets below `ASSETS`, as a browser asks for them."""
    return sorted(path.relative_to(ASSETS).as_posix() for path in ASSETS.rglob("*.*"))
