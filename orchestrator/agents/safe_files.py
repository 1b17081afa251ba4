"""Files in a folder that a program may write to, opened so that no link leads out of it."""

import contextlib
import os
import stat
from collections.abc import Iterator, Sequence

from orchestrator.core.errors import EditError

_KINDS = {
    stat.S_IFLNK: "a symbolic link",
    stat.S_IFDIR: "a folder",
    stat.S_IFIFO: "a pipe",
    stat.S_IFSOCK: "a socket",
    stat.S_IFCHR: "a device",
    stat.S_IFBLK: "a device",
}


def open_folder(path: str | os.PathLike[str], parent: int | None = None) -> int:
    """Open a folder that is no link; return its descriptor. Raises `OSError`."""
    flags = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
    return os.open(path, flags, dir_fd=parent)


@contextlib.contextmanager
def opened(path: str | os.PathLike[str]) -> Iterator[int]:
    """Open a folder that is no link for a while; give its descriptor. Raises `OSError`."""
    descriptor = open_folder(path)
    try:
        yield descriptor
    finally:
        os.close(descriptor)


def read_text(folder: int, path: str, most_bytes: int) -> str:
    """Return the text of a small regular file below an open folder.

    Raises:
        EditError: `no_edit`, with one line that says what is there instead.
    """
    *above, name = path.split("/")
    try:
        content = _content(folder, above, name, most_bytes)
    except FileNotFoundError:
        raise EditError("no_edit", f"{path} is missing: leave it where it was") from None
    except NotADirectoryError:
        raise EditError("no_edit", f"{'/'.join(above)} is no folder any more") from None
    except OSError as error:
        why = error.strerror or str(error)
        raise EditError("no_edit", f"{path} can't be read: {why}") from None
    if isinstance(content, str):
        raise EditError("no_edit", f"{path} is {content}: leave a regular file there")
    if len(content) > most_bytes:
        raise EditError("too_large", f"{path} has more than {most_bytes} bytes, which is the most")
    try:
        return content.decode()
    except UnicodeDecodeError as error:
        raise EditError("encoding", f"{path} is not UTF-8 (byte {error.start})") from None


def read_beginning(folder: int, name: str, most_bytes: int) -> bytes:
    """Return the beginning of a regular file in an open folder. Raises `OSError`: it is none."""
    content = _content(folder, (), name, most_bytes)
    if isinstance(content, str):
        raise OSError(f"{name} is {content}")
    return content[:most_bytes]


def write_new(folder: int, name: str, content: bytes) -> None:
    """Write a new file into an open folder, whole or not at all. Raises `OSError`."""
    flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
    with os.fdopen(os.open(f"{name}.new", flags, 0o644, dir_fd=folder), "wb") as file:
        file.write(content)
    os.rename(f"{name}.new", name, src_dir_fd=folder, dst_dir_fd=folder)


def _content(folder: int, above: Sequence[str], name: str, most_bytes: int) -> bytes | str:
    """Return a file's content, or what stands there if it is no regular file."""
    opened: list[int] = []
    try:
        for part in above:
            opened.append(open_folder(part, opened[-1] if opened else folder))
        within = opened[-1] if opened else folder
        mode = os.stat(name, dir_fd=within, follow_symlinks=False).st_mode
        if not stat.S_ISREG(mode):
            return _KINDS.get(stat.S_IFMT(mode), "no file")
        flags = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
        with os.fdopen(os.open(name, flags, dir_fd=within), "rb") as file:
            if not stat.S_ISREG(os.fstat(file.fileno()).st_mode):
                return "no file"
            return file.read(most_bytes + 1)
    finally:
        for descriptor in opened:
            os.close(descriptor)
