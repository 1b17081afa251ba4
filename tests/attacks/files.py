"""The files of a victim world, byte for byte."""

import ctypes
import hashlib
import os
import shutil
import stat
from pathlib import Path

_DIGESTED_BYTES = 1 << 26

Digest = dict[bytes, tuple[object, ...]]


def digest(root: Path) -> Digest:
    """Return type, mode, owner, links, time and content of everything below a folder."""
    top = os.fsencode(root)
    found: Digest = {}
    for folder, folders, files in os.walk(top):
        for name in (*folders, *files):
            path = os.path.join(folder, name)
            found[os.path.relpath(path, top)] = _fact(path)
    return found


def _fact(path: bytes) -> tuple[object, ...]:
    status = os.lstat(path)
    fact: tuple[object, ...] = (status.st_mode, status.st_uid, status.st_gid)
    if stat.S_ISLNK(status.st_mode):
        return (*fact, os.readlink(path))
    if stat.S_ISREG(status.st_mode):
        content = b""  # of a huge, perhaps sparse file, none of which is ours, the size is enough
        if status.st_size <= _DIGESTED_BYTES:
            with open(path, "rb") as file:
                content = hashlib.file_digest(file, "sha256").digest()
        return (*fact, status.st_nlink, status.st_mtime_ns, status.st_size, content)
    return fact


def is_folder(root: Path, path: bytes) -> bool:
    """Is this path below `root` a folder itself, not a link to one?"""
    return stat.S_ISDIR(os.lstat(os.path.join(os.fsencode(root), path)).st_mode)


def remove(path: bytes) -> None:
    """Remove a file, a link, or a folder with all in it."""
    if os.path.isdir(path) and not os.path.islink(path):
        shutil.rmtree(path)
    else:
        os.remove(path)


def copy(source: bytes, target: bytes, path: bytes) -> None:
    """Copy what is at `path` below `source`, with its times, to below `target`."""
    old, new = os.path.join(source, path), os.path.join(target, path)
    if os.path.isdir(old) and not os.path.islink(old):
        os.makedirs(new, exist_ok=True)
        shutil.copystat(old, new)
    else:
        shutil.copy2(old, new, follow_symlinks=False)


def handle(path: Path) -> str:
    """Return the kernel's handle of a file, by which a privileged process opens it anywhere."""

    class FileHandle(ctypes.Structure):
        _fields_ = (
            ("size", ctypes.c_uint), ("type", ctypes.c_int), ("data", ctypes.c_ubyte * 128),
        )  # fmt: skip

    handle, mount = FileHandle(size=128), ctypes.c_int()
    function = getattr(ctypes.CDLL(None), "name_to_handle_at", None)
    given = (-100, os.fsencode(path), ctypes.byref(handle), ctypes.byref(mount), 0)
    if function is None or function(*given) != 0:
        return ""
    return bytes(handle)[: 8 + handle.size].hex()
