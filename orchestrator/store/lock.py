"""One daemon a workspace: a lock that the kernel releases when its holder dies.

The workspace's folder itself is locked, beside the file that says who holds it: a file that looks
stale is easily removed by hand, and a second daemon would write to the same ledger.
"""

import contextlib
import fcntl
import os
import stat
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Self

from orchestrator.core.errors import CommandFailedError
from orchestrator.store.user_files import open_regular

# A status query holds the lock for microseconds to see whether it is free.
_PATIENCE_S = 1.0


class WorkspaceLock:
    """The lock of the running daemon. The file has its pid, for people."""

    def __init__(self, path: Path) -> None:
        """Take the lock.

        Args:
            path: the file, in a folder of the workspace's own.

        Raises:
            CommandFailedError: another process holds it.
        """
        self._path = path
        self._file = open_regular(path, "a+")
        self._folder = os.open(path.parent.parent, os.O_RDONLY | os.O_DIRECTORY)
        deadline = time.monotonic() + _PATIENCE_S
        while not (_try_lock(self._folder) and _try_lock(self._file.fileno())):
            if time.monotonic() >= deadline:
                self._close()
                raise already_running(holder(path))
            time.sleep(0.02)
        self._write()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exception: object) -> None:
        self._close()

    def keep(self) -> None:
        """Write the file again if somebody has removed it."""
        if not self._path.exists():
            with contextlib.suppress(OSError):  # its folder may be gone too
                file = open_regular(self._path, "a+")
                _try_lock(file.fileno())
                self._file.close()
                self._file = file
                self._write()

    def _write(self) -> None:
        self._file.truncate(0)
        self._file.write(f"{os.getpid()}\n")
        self._file.flush()

    def _close(self) -> None:
        self._file.close()
        os.close(self._folder)


def holder(path: Path) -> int | None:
    """Return the pid of the daemon that holds the lock, or None if it is free.

    Raises:
        CommandFailedError: it is held, and the file has no pid.
    """
    deadline = time.monotonic() + _PATIENCE_S
    while any(_is_held(descriptor) for descriptor in _opened(path)):
        with contextlib.suppress(FileNotFoundError), open_regular(path) as file:
            text = file.read().strip()
            if text.isdigit() and _is_alive(int(text)):
                return int(text)
        if time.monotonic() >= deadline:  # the holder writes its pid within microseconds
            raise CommandFailedError(f"{path} is held by a process that left no pid in it")
        time.sleep(0.01)
    return None


def _opened(path: Path) -> Iterator[int]:
    """Yield what a daemon locks, as far as it is there: the folder, and the file.

    A daemon of version 0.1 locks the file alone.
    """
    with contextlib.suppress(FileNotFoundError, NotADirectoryError):
        folder = os.open(path.parent.parent, os.O_RDONLY | os.O_DIRECTORY)
        try:
            yield folder
        finally:
            os.close(folder)
    with contextlib.suppress(FileNotFoundError), open_regular(path) as file:
        yield file.fileno()


def _is_held(descriptor: int) -> bool:
    # A shared lock, so that two queries at once do not take each other for the daemon.
    return not _try_lock(descriptor, fcntl.LOCK_SH)


def _is_alive(pid: int) -> bool:
    """Does such a process exist? A pid of 0 or 1 is never a daemon."""
    if pid <= 1:
        return False
    with contextlib.suppress(PermissionError):
        try:
            os.kill(pid, 0)
        except ProcessLookupError:
            return False
    return True


def already_running(pid: int | None) -> CommandFailedError:
    """Return the error of a second start, which names the first one's pid."""
    return CommandFailedError(
        f"a daemon is already running here (pid {pid}): "
        "`autorl-daemon status` shows it, `autorl-daemon stop` ends it"
    )


def _try_lock(descriptor: int, kind: int = fcntl.LOCK_EX) -> bool:
    """Return whether nobody else holds it; a folder that can't be locked (NFS) nobody holds."""
    try:
        fcntl.flock(descriptor, kind | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    except OSError:
        if not stat.S_ISDIR(os.fstat(descriptor).st_mode):
            raise
    return True
