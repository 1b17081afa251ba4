"""Only regular files are opened, and nothing is written through a link."""

import os
import stat
from collections.abc import Callable
from pathlib import Path

import pytest

from orchestrator.store.database import Database
from orchestrator.store.lock import WorkspaceLock, holder
from orchestrator.store.user_files import (
    NotRegularError,
    make_folder,
    make_private,
    oddity,
    open_regular,
    read_regular,
    write_whole,
)
from orchestrator.store.workspace import Workspace

Plant = Callable[[Path], object]


def plant_link(path: Path) -> None:
    """A link to a file of the user's."""
    (path.parent / "target").write_text("theirs")
    path.symlink_to("target")


ODD: dict[str, Plant] = {
    "a link": plant_link,
    "a link to nothing": lambda path: path.symlink_to("nowhere"),
    "a device": lambda path: path.symlink_to("/dev/zero"),
    "a pipe": os.mkfifo,
    "a folder": lambda path: path.mkdir(),
}


@pytest.fixture(params=ODD)
def odd(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    """A path where something else than a regular file stands."""
    path = tmp_path / "odd"
    ODD[request.param](path)
    return path


@pytest.mark.parametrize("mode", ["r", "rb", "w", "a", "a+", "wb"])
def test_what_is_not_regular_is_not_opened(odd: Path, mode: str) -> None:
    """Neither for reading nor for writing; nothing waits, and no target is touched or made."""
    with pytest.raises(NotRegularError, match="put a regular file there"):
        open_regular(odd, mode)
    assert not (odd.parent / "nowhere").exists()
    if (target := odd.parent / "target").exists():
        assert target.read_text() == "theirs"


def test_writers_and_folders_refuse_it_too(odd: Path) -> None:
    """A file that replaces another, a private file, and a folder in the place of a link."""
    for act in (lambda: write_whole(odd, b"x"), lambda: make_private(odd)):
        with pytest.raises(NotRegularError):
            act()
    if odd.is_symlink() or not odd.is_dir():
        with pytest.raises(NotRegularError, match="put a folder there"):
            make_folder(odd)


def test_readers_that_follow_take_links_to_files_alone(tmp_path: Path) -> None:
    """The brief may be a link; a link to a device or a pipe is refused as these are."""
    (tmp_path / "file").write_text("text")
    (tmp_path / "link").symlink_to("file")
    (tmp_path / "zero").symlink_to("/dev/zero")
    assert read_regular(tmp_path / "link", 10, follow=True) == b"text"
    with pytest.raises(NotRegularError, match="a device"):
        read_regular(tmp_path / "zero", 10, follow=True)
    with pytest.raises(OSError, match="larger than"):
        read_regular(tmp_path / "file", 3)


def test_a_file_is_replaced_whole(tmp_path: Path) -> None:
    """What replaces a file is all there or not there, and no temporary file is left."""
    for content in (b"one", b"two"):
        write_whole(tmp_path / "f", content)
        assert (tmp_path / "f").read_bytes() == content
    with pytest.raises(OSError, match=r"nowhere"):
        write_whole(tmp_path / "nowhere" / "f", b"x")
    assert [path.name for path in tmp_path.iterdir()] == ["f"]


@pytest.mark.parametrize("mask", [0o000, 0o022, 0o777])
def test_the_state_is_the_owners_alone(tmp_path: Path, mask: int) -> None:
    """Folder 0700 and ledger 0600, whatever the umask, and older ones of 0755 and 0644 too."""
    workspace = Workspace(tmp_path)
    before = os.umask(mask)
    try:
        for _ in range(2):
            make_folder(workspace.state, private=True)
            with Database(workspace.ledger):
                pass
            assert stat.S_IMODE(workspace.state.stat().st_mode) == 0o700
            assert stat.S_IMODE(workspace.ledger.stat().st_mode) == 0o600
            workspace.state.chmod(0o755)
            workspace.ledger.chmod(0o644)
    finally:
        os.umask(before)


def test_the_ledgers_journal_is_the_owners_alone(tmp_path: Path) -> None:
    """SQLite gives it the ledger's permissions."""
    before = os.umask(0)
    try:
        with Database(tmp_path / "ledger.sqlite") as database, database.transaction():
            database._db.execute("INSERT INTO meta VALUES ('x', 'y')")
            modes = {stat.S_IMODE(path.stat().st_mode) for path in tmp_path.iterdir()}
            assert len(list(tmp_path.iterdir())) == 2
    finally:
        os.umask(before)
    assert modes == {0o600}


def test_a_lock_that_is_a_pipe_or_a_link_is_refused(odd: Path) -> None:
    """Neither the daemon nor a query waits for it or writes through it."""
    if odd.is_dir():
        return
    with pytest.raises(NotRegularError):
        WorkspaceLock(odd)
    with pytest.raises(NotRegularError):
        holder(odd)


def test_oddities_are_named(tmp_path: Path) -> None:
    """In a word that a message can have."""
    assert oddity(tmp_path / "none") is None
    assert oddity(Path("/dev/null")) == "a device"
    assert oddity(tmp_path) == "a folder"
