"""Landlock: the files that a process and its descendants may reach.

Source: Linux, Documentation/userspace-api/landlock.rst; ABI 1 came with 5.13, 3 (truncation) with
6.2, 4 (TCP) with 6.7, 6 (abstract sockets and signals) with 6.12.
"""

import os
import stat
import struct
from collections.abc import Iterable

from sandbox.syscalls import call, prctl

_EXECUTE, _READ_FILE, _READ_DIR = 1 << 0, 1 << 2, 1 << 3
_FILE_RIGHTS = _EXECUTE | (1 << 1) | _READ_FILE | (1 << 14) | (1 << 15)
_HIGHEST_RIGHT = {1: 12, 2: 13, 3: 14, 4: 14}
_ALL_TCP, _ALL_SCOPES = 0b11, 0b11


def abi() -> int:
    """Return the kernel's Landlock version, 0 without Landlock."""
    try:
        return call("landlock_create_ruleset", None, 0, 1)
    except OSError:
        return 0


def restrict(readable: Iterable[str], writable: Iterable[str]) -> int:
    """Restrict this process to these paths and all below them; return the ABI used.

    Paths that don't exist are left out. TCP, abstract sockets and signals to others are forbidden
    where the kernel's version supports it.

    Raises:
        OSError: the kernel has no Landlock.
    """
    version = abi()
    every = (1 << (_HIGHEST_RIGHT.get(version, 15) + 1)) - 1
    attributes = struct.pack("=Q", every)
    if version >= 4:
        attributes += struct.pack("=Q", _ALL_TCP)
    if version >= 6:
        attributes += struct.pack("=Q", _ALL_SCOPES)
    ruleset = call("landlock_create_ruleset", attributes, len(attributes), 0)
    for path in readable:
        _allow(ruleset, path, _READ_FILE | _READ_DIR)
    for path in writable:
        _allow(ruleset, path, every & ~_EXECUTE)
    prctl(38, 1)  # PR_SET_NO_NEW_PRIVS
    call("landlock_restrict_self", ruleset, 0)
    os.close(ruleset)
    return version


def _allow(ruleset: int, path: str, rights: int) -> None:
    try:
        descriptor = os.open(path, os.O_PATH | os.O_CLOEXEC)
    except OSError:
        return
    if not stat.S_ISDIR(os.fstat(descriptor).st_mode):
        rights &= _FILE_RIGHTS
    call("landlock_add_rule", ruleset, 1, struct.pack("=Qi", rights, descriptor), 0)
    os.close(descriptor)
