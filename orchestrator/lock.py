"""One daemon a workspace: a lock that the kernel drops when its holder dies, however it dies."""

import contextlib
import fcntl
import os
import time
from pathlib import Path
from typing import Self

from orchestrator.errors import CommandFailedError

# A status query holds the lock for microseconds to see whether it is free.
_PATIENCE_S = 1.0


class WorkspaceLock:
    """Held by the running daemon. The file holds its pid, for people."""

    def __init__(self, path: Path) -> None:
        """Take the lock.

        Raises:
            CommandFailedError: another process holds it.
        """
        self._file = path.open("a+")
        deadline = time.monotonic() + _PATIENCE_S
        while not _try_lock(self._file.fileno()):
            if time.monotonic() >= deadline:
                self._file.close()
                raise already_running(holder(path))
            time.sleep(0.02)
        self._file.truncate(0)
        self._file.write(f"{os.getpid()}\n")
        self._file.flush()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exception: object) -> None:
        self._file.truncate(0)
        self._file.close()


def holder(path: Path) -> int | None:
    """Return the pid of the daemon that holds the lock, or None if it is free."""
    with contextlib.suppress(FileNotFoundError), path.open("r") as file:
        if _try_lock(file.fileno()):
            return None
        text = file.read().strip()
        return int(text) if text.isdigit() else 0
    return None


def already_running(pid: int | None) -> CommandFailedError:
    """Return the error of a second start: it names the first."""
    return CommandFailedError(
        f"a daemon is already running here (pid {pid}): "
        "`autorl-daemon status` shows it, `autorl-daemon stop` ends it"
    )


def _try_lock(descriptor: int) -> bool:
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True
