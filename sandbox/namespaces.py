"""Namespaces of a worker, with a root that holds only the files it must read.

The process that is to be confined calls `enter` before it forks; its child is process 1 of a new
PID namespace and calls `furnish` and `drop_privileges`. If root starts it, root makes the
namespaces and the worker then becomes nobody (limits on processes don't bind root); for any other
user, a user namespace gives the rights to make the others, and they are dropped afterwards.

Source: namespaces(7), user_namespaces(7), pivot_root(2), mount_setattr(2).
"""

import contextlib
import os
import socket
import struct
from collections.abc import Sequence
from pathlib import Path

from sandbox.syscalls import call, prctl

_NEW_USER, _NEW_REST = 0x10000000, 0x20000 | 0x20000000 | 0x40000000 | 0x8000000 | 0x4000000
_MS_NOSUID, _MS_NODEV, _MS_NOEXEC, _MS_BIND, _MS_REC, _MS_PRIVATE = 2, 4, 8, 4096, 16384, 1 << 18
_TMPFS = _MS_NOSUID | _MS_NODEV | _MS_NOEXEC
_ATTR_RDONLY, _ATTR_NOSUID, _ATTR_NODEV, _AT_RECURSIVE = 1, 2, 4, 0x8000
_NOBODY = 65534
_NEW_ROOT = "/sys"
"""Mount point of the new root: any folder whose content no worker needs."""
WORK = "/tmp/worker"  # noqa: S108 - in the worker's own, private /tmp
"""The worker's own folder."""
DEVICES = ("null", "zero", "full", "random", "urandom")
"""The device files of `/dev` that a worker sees."""


def enter() -> None:
    """Move to new namespaces; children will be in a new PID namespace.

    Raises:
        OSError: the kernel or its settings forbid it.
    """
    if os.getuid() == 0:
        call("unshare", _NEW_REST)
        return
    uid, gid = os.getuid(), os.getgid()
    call("unshare", _NEW_USER | _NEW_REST)
    Path("/proc/self/setgroups").write_text("deny")
    Path("/proc/self/uid_map").write_text(f"{uid} {uid} 1")
    Path("/proc/self/gid_map").write_text(f"{gid} {gid} 1")


def furnish(readable: Sequence[str], devices: Sequence[str], *, tmp_mb: int, shm_mb: int) -> None:
    """Replace the root by a minimal read-only one, with `readable` at their usual paths.

    `/tmp` and `/dev/shm` are empty, private and of limited size. Paths that don't exist are left
    out.

    Raises:
        OSError: the kernel or its settings forbid it.
    """
    _mount(None, "/", None, _MS_REC | _MS_PRIVATE)
    _mount("tmpfs", _NEW_ROOT, "tmpfs", _TMPFS, "size=1m,mode=755")
    # First: an interpreter may be below the temporary folder.
    for path, size_mb in (("/tmp", tmp_mb), ("/dev/shm", shm_mb)):  # noqa: S108 - private ones
        target = _NEW_ROOT + path
        Path(target).mkdir(parents=True, exist_ok=True)
        _mount("tmpfs", target, "tmpfs", _TMPFS, f"size={size_mb}m,nr_inodes=100k,mode=1777")
    for path in _outermost(readable):
        _bind(path, _ATTR_RDONLY | _ATTR_NOSUID | _ATTR_NODEV)
    for path in [*(f"/dev/{name}" for name in DEVICES), *devices]:
        _bind(path, _ATTR_NOSUID)
    Path(_NEW_ROOT, "proc").mkdir()
    # Inside a container with a masked /proc the kernel refuses; torch works without it.
    with contextlib.suppress(OSError):
        _mount("proc", f"{_NEW_ROOT}/proc", "proc", _TMPFS)
    work = Path(_NEW_ROOT + WORK)
    work.mkdir(exist_ok=True)
    work.chmod(0o777)  # the worker may become another user
    os.chdir(_NEW_ROOT)
    call("pivot_root", b".", b".")
    call("umount2", b".", 2)  # MNT_DETACH: the old root, which pivot_root stacked on ours
    os.chdir("/")
    _set_attributes("/", _ATTR_RDONLY, recursive=False)
    with contextlib.suppress(OSError):
        socket.sethostname("worker")


def drop_privileges() -> None:
    """Become nobody if started by root, and drop every capability for good."""
    if os.getuid() == 0:
        os.setgroups([])
        os.setresgid(_NOBODY, _NOBODY, _NOBODY)
        os.setresuid(_NOBODY, _NOBODY, _NOBODY)
        prctl(4, 1)  # PR_SET_DUMPABLE: the change of user hid /proc/self from ourselves
        # A user namespace of its own counts its processes apart from other processes of nobody.
        with contextlib.suppress(OSError):
            call("unshare", _NEW_USER)
    drop_capabilities()


def drop_capabilities() -> None:
    """Drop every capability, and the ways to regain one."""
    for capability in range(64):
        with contextlib.suppress(OSError):
            prctl(24, capability)  # PR_CAPBSET_DROP
    call("capset", struct.pack("=Ii", 0x20080522, 0), bytes(24))


def _outermost(paths: Sequence[str]) -> list[str]:
    """Return the paths that are below no other of them."""
    kept: list[str] = []
    for path in sorted({os.path.normpath(path) for path in paths}):
        if not any(path == other or path.startswith(other + "/") for other in kept):
            kept.append(path)
    return kept


def _bind(path: str, attributes: int) -> None:
    """Mount a file or folder at its own path in the new root; a link is copied as a link."""
    source, target = Path(path), Path(_NEW_ROOT + path)
    if not source.exists():
        return
    target.parent.mkdir(parents=True, exist_ok=True)
    if source.is_symlink():
        target.symlink_to(source.readlink())
        return
    if source.is_dir():
        target.mkdir(exist_ok=True)
    else:
        target.touch()
    _mount(path, str(target), None, _MS_BIND | _MS_REC)
    _set_attributes(str(target), attributes, recursive=True)


def _mount(
    source: str | None, target: str, kind: str | None, flags: int, options: str | None = None
) -> None:
    def encoded(text: str | None) -> bytes | None:
        return None if text is None else text.encode()

    call("mount", encoded(source), target.encode(), encoded(kind), flags, encoded(options))


def _set_attributes(path: str, attributes: int, *, recursive: bool) -> None:
    # AT_FDCWD is -100. Only adds restrictions: an unprivileged mount must not lose any.
    settings = struct.pack("=QQQQ", attributes, 0, 0, 0)
    call("mount_setattr", -100, path.encode(), _AT_RECURSIVE * recursive, settings, len(settings))
