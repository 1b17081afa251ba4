"""Experiments' folders that make way when the disk's share is used up."""

from pathlib import Path

from orchestrator.config.schema import Config
from orchestrator.store.retention import Retention


def retention(root: Path, most_mb: float | None, protected: set[int]) -> Retention:
    config = Config.model_validate({"logs": {"experiments_max_mb": most_mb}})
    return Retention(root, config, lambda: protected)


def write_folder(root: Path, n: int) -> None:
    folder = root / "logs" / "experiments" / str(n)
    folder.mkdir(parents=True)
    (folder / "prompt.md").write_bytes(b"x" * 100_000)


def test_old_folders_make_way_but_protected_ones_stay(tmp_path: Path) -> None:
    """The oldest go first, to nine tenths of the limit; what is protected or new stays."""
    keeper = retention(tmp_path, 1.0, {1, 4})
    removed = []
    for n in range(1, 31):
        write_folder(tmp_path, n)
        removed += keeper.prune_for(n)
    left = sorted(int(folder.name) for folder in (tmp_path / "logs" / "experiments").iterdir())
    assert {1, 4, 30} <= set(left)
    assert sorted({*left, *removed}) == list(range(1, 31))
    assert removed == sorted(removed)
    assert 6 <= len(left) <= 10


def test_nothing_else_is_removed(tmp_path: Path) -> None:
    """Links, files and folders without a number are not ours to remove; null removes nothing."""
    outside = tmp_path / "outside"
    write_folder(outside, 1)
    folder = tmp_path / "logs" / "experiments"
    for n in range(1, 6):
        write_folder(tmp_path, n)
    (folder / "7").symlink_to(outside)
    (folder / "mine").mkdir()
    assert retention(tmp_path, None, set()).prune_for(5) == []
    assert retention(tmp_path, 0.001, set()).prune_for(5) == [1, 2, 3, 4]
    assert sorted(path.name for path in folder.iterdir()) == ["5", "7", "mine"]
    assert (outside / "logs" / "experiments" / "1" / "prompt.md").exists()
