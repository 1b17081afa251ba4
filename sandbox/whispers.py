"""The probe's attempts to tell another worker something, through what the kernel keeps for both."""

import contextlib
import ctypes
import errno
import fcntl
import os
import stat
from collections.abc import Callable
from pathlib import Path
from typing import Any

from sandbox import syscalls
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


def _system_counters(_: dict[str, Any]) -> str:
    for name in ("sys/fs/file-nr", "loadavg", "stat", "meminfo", "vmstat", "uptime"):
        with contextlib.suppress(OSError):
            Path("/proc", name).read_bytes()
            return f"read /proc/{name}"
    raise OSError(errno.ENOENT, "none can be read")


def _count_processes(_: dict[str, Any]) -> str:
    syscalls.call("sysinfo", ctypes.create_string_buffer(256))
    return "another worker can add to them"


def _number_an_event(_: dict[str, Any]) -> str:
    os.close(os.eventfd(0))
    return "its number is the lowest that no process has"


def _change_the_interpreter(_: dict[str, Any]) -> str:
    file = Path("/proc/self/exe")
    file.chmod(stat.S_IMODE(file.stat().st_mode))
    return "it is the user's file"


WHISPERS: dict[str, Callable[[dict[str, Any]], str]] = {
    "lock a library's file": _lock_a_library,
    "change a device file's times": _change_a_devices_times,
    "change the interpreter's mode": _change_the_interpreter,
    "read counters of the whole system": _system_counters,
    "count the system's processes": _count_processes,
    "make an event with a number": _number_an_event,
    "query the cache of files": _query_the_file_cache,
}
