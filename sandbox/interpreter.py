"""The interpreter's own file, which every process reaches past its root, as `/proc/self/exe`.

That leads to the mount it was started from, where its owner may change its mode and times: Landlock
does not hold those back, and the mounts of a worker's root are not asked. An ordinary user often
owns the interpreter (`uv`, `pyenv`, `conda`). Its server is then started from a read-only mount of
the file: `python -m sandbox.interpreter ARGUMENT…` becomes `python -m sandbox.server ARGUMENT…`.
Where the kernel refuses that, workers get no `/proc`.
"""

import contextlib
import os
import sys
from pathlib import Path

from sandbox import namespaces

_EXE = Path("/proc/self/exe")


def is_exposed() -> bool:
    """Could a worker of this process change the interpreter's mode or times?"""
    try:
        status, mount = _EXE.stat(), os.statvfs(_EXE)
    except OSError:  # not Linux, or no /proc to reach it by
        return False
    if mount.f_flag & os.ST_RDONLY:
        return False
    if os.getuid() == 0:  # its workers become users of no rights, in the worst case nobody
        return status.st_uid == namespaces.NOBODY or bool(status.st_mode & 0o002)
    return status.st_uid == os.getuid() or os.access(_EXE, os.W_OK)


def main(arguments: list[str]) -> None:
    """Become the server, started from a read-only mount of the interpreter if the kernel allows."""
    with contextlib.suppress(OSError):
        namespaces.protect_file(str(_EXE.readlink()))
    command = [sys.executable, "-P", "-m", "sandbox.server", *arguments]
    os.execv(sys.executable, command)  # noqa: S606 - the command that the launcher would start


if __name__ == "__main__":
    main(sys.argv[1:])
