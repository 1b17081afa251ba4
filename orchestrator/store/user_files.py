"""Files of a workspace, opened safely: regular files alone, and none through a link.

A workspace may come from somebody else (a clone, an archive). A link where a file of ours goes
would have us write elsewhere, a pipe would hang us, and a device would do what devices do.
"""

import contextlib
import os
import stat
from pathlib import Path
from typing import IO, Any

_KINDS = {
    stat.S_IFLNK: "a link",
    stat.S_IFDIR: "a folder",
    stat.S_IFIFO: "a pipe",
    stat.S_IFSOCK: "a socket",
    stat.S_IFCHR: "a device",
    stat.S_IFBLK: "a device",
}
_PRIVATE_FILE, _PRIVATE_FOLDER = 0o600, 0o700


class NotRegularError(OSError):
    """Something else stands where a regular file or a folder should."""


def oddity(path: Path, *, follow: bool = False) -> str | None:
    """Return what stands at a path if it is no regular file (`a link`); None if it is, or nothing.

    Args:
        path: the path.
        follow: whether a link to a regular file is fine.
    """
    try:
        mode = path.stat().st_mode if follow else path.lstat().st_mode
    except FileNotFoundError:
        return None
    return None if stat.S_ISREG(mode) else _KINDS.get(stat.S_IFMT(mode), "no file")


def open_regular(path: Path, mode: str = "r", *, follow: bool = False, **more: Any) -> IO[Any]:
    """Open a regular file as `open` does; with `follow` through links too.

    Raises:
        NotRegularError: it is a link, a pipe, a device or a folder, which is not even opened.
        OSError: as `open` does.
    """

    def opener(name: str, flags: int) -> int:
        if kind := oddity(path, follow=follow):
            raise NotRegularError(f"{path} is {kind}: put a regular file there")
        flags |= os.O_NONBLOCK | (0 if follow else os.O_NOFOLLOW)
        descriptor = os.open(name, flags, 0o666)
        if not stat.S_ISREG(os.fstat(descriptor).st_mode):  # it was replaced meanwhile
            os.close(descriptor)
            raise NotRegularError(f"{path} is no regular file: put one there")
        return descriptor

    if "b" not in mode:
        more.setdefault("encoding", "utf-8")
    return open(path, mode, opener=opener, **more)


def read_regular(path: Path, most_bytes: int, *, follow: bool = False) -> bytes:
    """Return the content of a small regular file.

    Raises:
        NotRegularError: it is none.
        OSError: it is too large, or can't be read.
    """
    with open_regular(path, "rb", follow=follow) as file:
        content: bytes = file.read(most_bytes + 1)
    if len(content) > most_bytes:
        raise OSError(f"{path} is larger than {most_bytes // 1024} KiB: make it smaller")
    return content


def write_whole(path: Path, content: bytes, *, temporary: Path | None = None) -> None:
    """Write a file whole or not at all, in place of a regular one (with its mode) or of nothing.

    Args:
        path: the file.
        content: all of it.
        temporary: where it is written first, on the same disk: a kill may leave that file behind,
            and nobody else may be writing it. By default it stands beside the file.
    """
    if kind := oddity(path):
        raise NotRegularError(f"{path} is {kind}: name a regular file")
    is_new = temporary is None
    temporary = temporary or path.with_name(f".{path.name[:100]}.{os.getpid()}.new")
    try:
        with open_regular(temporary, "xb" if is_new else "wb") as file:
            file.write(content)
            with contextlib.suppress(FileNotFoundError):
                os.fchmod(file.fileno(), stat.S_IMODE(path.lstat().st_mode))
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)


def folder_fault(path: Path) -> str | None:
    """Return why nothing is written below a path; None if it is a folder or nothing."""
    if path.is_symlink() or (path.exists() and not path.is_dir()):
        kind = oddity(path) or "a file"
        return f"{path} is {kind}: put a folder there (for another disk, a bind mount)"
    return None


def make_folder(path: Path, *, private: bool = False) -> None:
    """Make a folder that may be there; a private one is the owner's alone, whatever the umask.

    Raises:
        NotRegularError: a link or something else stands there.
    """
    if fault := folder_fault(path):
        raise NotRegularError(fault)
    path.mkdir(mode=_PRIVATE_FOLDER if private else 0o777, exist_ok=True)
    if private:
        _tighten(path, _PRIVATE_FOLDER)


def make_private(path: Path) -> None:
    """Make a file, which may be there, the owner's alone.

    Raises:
        NotRegularError: a link or something else stands there.
    """
    if kind := oddity(path):
        raise NotRegularError(f"{path} is {kind}: put a regular file there")
    with contextlib.suppress(FileExistsError):
        os.close(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, _PRIVATE_FILE))
    _tighten(path, _PRIVATE_FILE)


def _tighten(path: Path, mode: int) -> None:
    if stat.S_IMODE(path.lstat().st_mode) != mode:
        try:
            path.chmod(mode)
        except OSError:  # another user's, or a disk without permissions or read-only
            return
