"""The folder of prompts and replies that `manual` shares with whoever answers.

It holds the files of one run, and `.run` says which. When a run with another tag begins to use it,
they move into a folder below, named after the former run's tag, and they come back when that run
goes on: no reply is taken by another run than the one whose prompt it answers. Replies that were
there before any run are those of the first that finds them.
"""

import contextlib
import errno
import os
import re
import stat
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from orchestrator.core.errors import AgentBlockedError

MOST_BYTES = 8 * 2**20
"""Of a reply."""
_RUN_FILE = ".run"
"""Holds the tag of the run whose files these are."""
_OURS = re.compile(r"\d{4,}(\.(repair|show)-\d+)?\.(prompt|reply)\.md")
_USERS = {
    errno.EACCES, errno.EPERM, errno.EROFS, errno.ENOTDIR, errno.EISDIR, errno.ELOOP,
    errno.ENAMETOOLONG, errno.EINVAL, errno.EEXIST,
}  # fmt: skip
"""Errors of the system that no wait cures."""


@dataclass(frozen=True)
class Found:
    """A reply's file, as it is now."""

    state: object = None
    """Changes with the file; None while there is nothing to be read."""
    problem: str = ""
    """Why it can't be a reply; empty if it can."""


class ManualFolder:
    """Files of one run in a folder."""

    def __init__(self, folder: Path, shown: str, tag: str) -> None:
        """Touch nothing yet.

        Args:
            folder: where it is.
            shown: how messages call it, as the configuration does.
            tag: the run's.
        """
        self._folder, self._shown, self._tag = folder, shown, tag
        self._is_ours = False

    def shown(self, name: str) -> str:
        """Return how messages call a file of it."""
        return f"{self._shown.rstrip('/')}/{name}"

    def put(self, name: str, text: str) -> None:
        """Write a file whole, unless it is there already, as it would be.

        Raises:
            AgentBlockedError: the folder can't be written.
            OSError: the system has no room or descriptors for now.
        """
        with self._users_errors():
            self._take_over()
            content = text.encode("utf-8", "replace")
            path = self._folder / name
            if self._content(path) != content:
                self._write(path, content)

    def find(self, name: str) -> Found:
        """Look for a reply, without reading it."""
        try:
            status = (self._folder / name).lstat()
        except FileNotFoundError:
            return Found()
        except OSError as error:
            return Found(problem=f"can't be read: {error.strerror}")
        if not stat.S_ISREG(status.st_mode):
            return Found(problem=f"is {_kind(status.st_mode)}: write a plain file there")
        if status.st_size > MOST_BYTES:
            return Found(problem=f"is larger than {MOST_BYTES >> 20} MB")
        if not status.st_size:
            return Found()
        return Found((status.st_size, status.st_mtime_ns, status.st_ino))

    def read(self, name: str) -> str | None:
        """Return a reply; None if there is nothing in it. Whatever its bytes are, it is text.

        Raises:
            OSError: it can't be read.
        """
        content = self._content(self._folder / name)
        text = "" if content is None else content.decode("utf-8-sig", "replace")
        return text if text.strip() else None

    def has(self, name: str) -> bool:
        """Is a file there?"""
        try:
            return stat.S_ISREG((self._folder / name).lstat().st_mode)
        except OSError:
            return False

    # Whose files these are.

    def _take_over(self) -> None:
        """Have the files of this run in the folder, and no others."""
        if self._is_ours:
            return
        self._folder.mkdir(parents=True, exist_ok=True)
        marker = self._folder / _RUN_FILE
        former = (self._content(marker) or b"").decode("utf-8", "replace").strip()
        if former and former != self._tag:
            for path in list(self._files(self._folder)):
                _move(path, self._folder / _folder_name(former))
        if former != self._tag:
            self._write(marker, f"{self._tag}\n".encode("utf-8", "replace"))
        for path in list(self._files(self._folder / _folder_name(self._tag))):
            if not os.path.lexists(self._folder / path.name):
                _move(path, self._folder)
        self._is_ours = True

    @staticmethod
    def _files(folder: Path) -> Iterator[Path]:
        with contextlib.suppress(FileNotFoundError, NotADirectoryError), os.scandir(folder) as rows:
            for row in rows:
                if _OURS.fullmatch(row.name) and not row.is_dir(follow_symlinks=False):
                    yield folder / row.name

    # Files.

    @staticmethod
    def _content(path: Path) -> bytes | None:
        """Return the bytes of a plain file, None if there is none; never those behind a link."""
        flags = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
        try:
            with os.fdopen(os.open(path, flags), "rb") as file:
                if not stat.S_ISREG(os.fstat(file.fileno()).st_mode):
                    return None
                return file.read(MOST_BYTES + 1)[:MOST_BYTES]
        except OSError as error:
            if error.errno in {errno.ENOENT, errno.ELOOP, errno.ENXIO, errno.EISDIR}:
                return None
            raise

    @staticmethod
    def _write(path: Path, content: bytes) -> None:
        """Write a file in one step: whoever watches the folder sees it whole or not at all."""
        unfinished = path.with_name(f".{path.name}.new")
        with contextlib.suppress(FileNotFoundError):
            unfinished.unlink()  # of a run that was killed, or somebody's link
        flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
        with os.fdopen(os.open(unfinished, flags, 0o666), "wb") as file:
            file.write(content)
        unfinished.replace(path)

    @contextlib.contextmanager
    def _users_errors(self) -> Iterator[None]:
        try:
            yield
        except (OSError, ValueError) as error:
            if isinstance(error, OSError) and error.errno not in _USERS:
                raise
            said = getattr(error, "strerror", None) or error
            raise AgentBlockedError(
                f"{self._shown} (agent.manual_dir) can't be written: {said}; make it a folder that "
                "the daemon may write"
            ) from error


def _folder_name(tag: str) -> str:
    name = tag.replace("%", "%25").replace("/", "%2F")
    return name if name.strip(".") else name.replace(".", "%2E")  # never the folder above


def _move(path: Path, folder: Path) -> None:
    folder.mkdir(exist_ok=True)
    path.replace(folder / path.name)


def _kind(mode: int) -> str:
    if stat.S_ISLNK(mode):
        return "a symbolic link"
    if stat.S_ISDIR(mode):
        return "a folder"
    return "a pipe" if stat.S_ISFIFO(mode) else "no file"
