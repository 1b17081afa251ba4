"""The probe's attempts to tell another worker something, through what the kernel keeps for both."""

import fcntl
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

from sandbox.channel import Channel

_DESCRIPTORS = 1024


def mark_open_files() -> None:
    """Change a flag of every open file: whoever has the same one sees it."""
    for descriptor, flags in _flags().items():
        fcntl.fcntl(descriptor, fcntl.F_SETFL, flags | os.O_APPEND)


def tell_marks(channel: Channel) -> None:
    """Tell which descriptors another worker has marked."""
    marked = [str(descriptor) for descriptor, flags in _flags().items() if flags & os.O_APPEND]
    channel.send({"marked": marked})


def _flags() -> dict[int, int]:
    found = {}
    for descriptor in range(_DESCRIPTORS):
        try:
            found[descriptor] = fcntl.fcntl(descriptor, fcntl.F_GETFL)
        except OSError:
            continue
    return found


def _lock_a_library(_: dict[str, Any]) -> str:
    with Path(__file__).open("rb") as file:
        fcntl.lockf(file, fcntl.LOCK_SH)
    return "another worker can tell"


def _query_the_file_cache(_: dict[str, Any]) -> str:
    with Path(__file__).open("rb") as file:
        os.posix_fadvise(file.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)
    return "another worker can tell"


def _change_a_devices_times(_: dict[str, Any]) -> str:
    error: OSError | None = None
    for device in (os.devnull, 0):  # the descriptor may lead to where the path does not
        try:
            os.utime(device)
        except OSError as refused:
            error = refused
        else:
            return "another worker can tell"
    assert error is not None
    raise error


WHISPERS: dict[str, Callable[[dict[str, Any]], str]] = {
    "lock a library's file": _lock_a_library,
    "change a device file's times": _change_a_devices_times,
    "query the cache of files": _query_the_file_cache,
}
