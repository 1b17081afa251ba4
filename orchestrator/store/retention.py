"""Disk space: a warning before it runs out, and removal of old experiments' folders.

The ledger is never pruned. It has everything of a folder except prompts, replays and
weights, and the last two can be made again.
"""

import contextlib
import shutil
from collections.abc import Callable, Collection
from pathlib import Path

from orchestrator.config.schema import Config

_PRUNE_TO = 0.9


class Retention:
    """Keeps the folders of one workspace within `logs.experiments_max_mb`."""

    def __init__(
        self, workspace: Path, config: Config, protected: Callable[[], Collection[int]]
    ) -> None:
        """Set up.

        Args:
            workspace: the folder whose disk is checked.
            config: `limits.min_free_mb` and `logs.experiments_max_mb`.
            protected: returns the experiments whose folders are kept: accepted and open ones.
        """
        self._workspace = workspace
        self._folder = workspace / "logs" / "experiments"
        self._protected = protected
        self._used_mb: float | None = None
        self.configure(config)

    def configure(self, config: Config) -> None:
        """Take the limits from a configuration."""
        self._least_free_mb = config.limits.min_free_mb
        self._most_mb = config.logs.experiments_max_mb

    def low_disk(self) -> str | None:
        """Return a warning if the disk is nearly full, None if it is not."""
        if self._least_free_mb is None:
            return None
        free_mb = shutil.disk_usage(self._workspace).free / 1e6
        if free_mb >= self._least_free_mb:
            return None
        return (
            f"the disk is nearly full: {free_mb:.0f} MB free, less than the "
            f"{self._least_free_mb:g} of limits.min_free_mb; free some, and it resumes by itself"
        )

    def prune_for(self, n: int) -> list[int]:
        """Count experiment `n`'s folder, and remove older ones if their total is too large.

        The oldest are removed first, never a protected experiment's, until the total is at most
        nine tenths of `logs.experiments_max_mb`.

        Returns:
            The experiments whose folders were removed.
        """
        if self._most_mb is None:
            return []
        if self._used_mb is None:
            self._used_mb = sum(map(_size_mb, self._folders().values()))
        else:
            self._used_mb += _size_mb(self._folder / str(n))
        if self._used_mb <= self._most_mb:
            return []
        folders = self._folders()
        sizes = {number: _size_mb(folder) for number, folder in folders.items()}
        self._used_mb = sum(sizes.values())
        removed = []
        for number in sorted(folders.keys() - set(self._protected()) - {n}):
            if self._used_mb <= self._most_mb * _PRUNE_TO:
                break
            shutil.rmtree(folders[number], ignore_errors=True)
            self._used_mb -= sizes[number]
            removed.append(number)
        return removed

    def _folders(self) -> dict[int, Path]:
        with contextlib.suppress(FileNotFoundError):
            return {
                int(folder.name): folder
                for folder in self._folder.iterdir()
                if folder.name.isdecimal() and folder.is_dir() and not folder.is_symlink()
            }
        return {}


def _size_mb(folder: Path) -> float:
    """Return the disk space of a folder's files."""
    with contextlib.suppress(OSError):
        return sum(file.lstat().st_blocks for file in folder.iterdir()) * 512 / 1e6
    return 0.0
