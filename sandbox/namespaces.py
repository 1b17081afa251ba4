"""Namespaces of a worker, with a root that holds only the files it must read.

The server forks (`fork`) process 1 of a new PID namespace, the init (`sandbox.init`), whose child,
the worker, calls `furnish` and `drop_privileges`. If root starts it, root makes the
namespaces and the worker then becomes a user of its own (limits on processes don't bind root); for
any other user, a user namespace gives the rights to make the others, and they are dropped
afterwards.

What the kernel counts by user (processes, pages of pipes, queued signals, files on their way) is
then not counted for two workers together, so that neither can use up what the other needs or
whisper by it. An ordinary user's workers are all that user's.

Source: namespaces(7), user_namespaces(7), pipe(7), pivot_root(2), mount_setattr(2); systemd,
UIDS-GIDS.md.
"""

import contextlib
import functools
import os
import socket
import struct
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from sandbox.syscalls import call, fork_with, prctl

_NEW_USER, _NEW_MOUNTS = 0x10000000, 0x20000
_NEW_REST = _NEW_MOUNTS | 0x20000000 | 0x40000000 | 0x8000000 | 0x4000000
_MS_NOSUID, _MS_NODEV, _MS_NOEXEC, _MS_BIND, _MS_REC, _MS_PRIVATE = 2, 4, 8, 4096, 16384, 1 << 18
_TMPFS = _MS_NOSUID | _MS_NODEV | _MS_NOEXEC
_ATTR_RDONLY, _ATTR_NOSUID, _ATTR_NODEV, _AT_RECURSIVE = 1, 2, 4, 0x8000
NOBODY = 65534
_FIRST_USER, _USERS = 0x70000000, 1 << 28
"""Numbers that systems seldom give to anyone: above those of people, services and containers."""
_USERS_OF_A_SERVER = 1024
_NEW_ROOT = "/sys"
"""Mount point of the new root: any folder whose content no worker needs."""
WORK = "/tmp/worker"  # noqa: S108 - in the worker's own, private /tmp
"""The worker's own folder."""
DEVICES = ("null", "zero", "full", "random", "urandom")
"""The device files of `/dev` that a worker sees."""
_PRIVATE = ("/tmp", "/dev/shm")  # noqa: S108 - the worker's own


def fork() -> int:
    """Fork like `os.fork`; the child is process 1 in new namespaces and calls `map_user` first.

    Raises:
        OSError: the kernel or its settings forbid it.
    """
    return fork_with(_NEW_REST if os.getuid() == 0 else _NEW_REST | _NEW_USER)


def user_of_worker(number: int) -> int:
    """Return the user that this server's worker of a number becomes where root started it.

    Workers of different numbers are different users, up to as many as live at a time; so are those
    of different servers of a machine, but for process numbers far apart.
    """
    return _FIRST_USER + (os.getpid() * _USERS_OF_A_SERVER + number % _USERS_OF_A_SERVER) % _USERS


def map_user(uid: int, gid: int) -> None:
    """Be the same user as before `fork` in the new user namespace; root has made none."""
    if uid == 0:
        return
    Path("/proc/self/setgroups").write_text("deny")
    Path("/proc/self/uid_map").write_text(f"{uid} {uid} 1")
    Path("/proc/self/gid_map").write_text(f"{gid} {gid} 1")


def protect_file(path: str) -> None:
    """Move this process to a mount namespace of its own in which one file is mounted read-only.

    Raises:
        OSError: the kernel or its settings forbid it.
    """
    uid, gid = os.getuid(), os.getgid()
    call("unshare", _NEW_MOUNTS if uid == 0 else _NEW_MOUNTS | _NEW_USER)
    map_user(uid, gid)
    _mount(None, "/", None, _MS_REC | _MS_PRIVATE)
    _mount(path, path, None, _MS_BIND)
    _set_attributes(path, _ATTR_RDONLY | _ATTR_NOSUID | _ATTR_NODEV, recursive=False)


@dataclass(frozen=True)
class Root:
    """What a worker's root holds besides its own folders; planned once, made for each worker."""

    folders: tuple[str, ...]
    """Folders to make, those above a folder before it."""
    files: tuple[str, ...]
    """Empty files to make, to mount on."""
    links: tuple[tuple[str, str], ...]
    """Symbolic links: path and what it points to."""
    mounts: tuple[tuple[str, int], ...]
    """Files and folders mounted at their own path, with the attributes of the mount."""


@functools.cache
def plan_root(readable: tuple[str, ...], devices: tuple[str, ...]) -> Root:
    """Return what the root must hold; paths that don't exist are left out.

    A server plans it before it forks, so that its workers find the plan made.
    """
    attributes = dict.fromkeys(_outermost(readable), _ATTR_RDONLY | _ATTR_NOSUID | _ATTR_NODEV)
    # Read-only: their modes and times are the host's. A device takes data all the same.
    device_files = (*(f"/dev/{name}" for name in DEVICES), *devices)
    attributes |= dict.fromkeys(device_files, _ATTR_RDONLY | _ATTR_NOSUID)
    paths = [Path(path) for path in attributes if Path(path).exists()]
    links = [path for path in paths if path.is_symlink()]
    mounts = [path for path in paths if path not in links]
    folders = {path for path in mounts if path.is_dir()} | {Path("/proc"), *map(Path, _PRIVATE)}
    above = {parent for path in (*paths, *folders) for parent in path.parents}
    return Root(
        folders=tuple(map(str, sorted((folders | above) - {Path("/")}))),
        files=tuple(str(path) for path in mounts if path not in folders),
        links=tuple((str(path), str(path.readlink())) for path in links),
        mounts=tuple((str(path), attributes[str(path)]) for path in mounts),
    )


def furnish(root: Root, *, tmp_mb: int, shm_mb: int, proc: bool = True) -> None:
    """Replace the root by a minimal read-only one, with what is planned at its usual paths.

    `/tmp` and `/dev/shm` are empty, private and of limited size; `/proc` is there if `proc`.

    Raises:
        OSError: the kernel or its settings forbid it.
    """
    _mount(None, "/", None, _MS_REC | _MS_PRIVATE)
    _mount("tmpfs", _NEW_ROOT, "tmpfs", _TMPFS, "size=1m,mode=755")
    # First: an interpreter may be below the temporary folder.
    for path, size_mb in zip(_PRIVATE, (tmp_mb, shm_mb), strict=True):
        Path(_NEW_ROOT + path).mkdir(parents=True)
        options = f"size={size_mb}m,nr_inodes=100k,mode=1777"
        _mount("tmpfs", _NEW_ROOT + path, "tmpfs", _TMPFS, options)
    _place(root)
    # Processes alone, and these are its own: the rest of /proc counts what the whole system does,
    # so that two workers could whisper. Inside a container with a masked /proc the kernel refuses
    # both; torch works without it.
    if proc:
        with contextlib.suppress(OSError):
            _mount("proc", f"{_NEW_ROOT}/proc", "proc", _TMPFS, "subset=pid")
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


def drop_privileges(user: int) -> None:
    """Become a user if started by root, and drop every capability for good."""
    if become(user):
        prctl(4, 1)  # PR_SET_DUMPABLE: the change of user hid /proc/self from ourselves
        # Of its own, where several workers have to be the same user: it counts their processes.
        with contextlib.suppress(OSError):
            call("unshare", _NEW_USER)
    drop_capabilities()


def become(user: int) -> bool:
    """Become a user of no rights if started by root; return whether."""
    if os.getuid() != 0:
        return False
    os.setgroups([])
    os.setresgid(NOBODY, NOBODY, NOBODY)
    try:
        os.setresuid(user, user, user)
    except OSError:  # a container has but some numbers
        os.setresuid(NOBODY, NOBODY, NOBODY)
    return True


def drop_capabilities() -> None:
    """Drop every capability, and the ways to regain one."""
    with contextlib.suppress(OSError):  # past the last one, or without the right to drop any
        for capability in range(64):
            prctl(24, capability)  # PR_CAPBSET_DROP
    call("capset", struct.pack("=Ii", 0x20080522, 0), bytes(24))


def _outermost(paths: Sequence[str]) -> list[str]:
    """Return the paths that are below no other of them."""
    kept: list[str] = []
    for path in sorted({os.path.normpath(path) for path in paths}):
        if not any(path == other or path.startswith(other + "/") for other in kept):
            kept.append(path)
    return kept


def _place(root: Root) -> None:
    """Make in the new root what is planned; what has gone since is left out."""
    for folder in root.folders:
        Path(_NEW_ROOT + folder).mkdir(exist_ok=True)
    for file in root.files:
        Path(_NEW_ROOT + file).touch()
    for link, aim in root.links:
        Path(_NEW_ROOT + link).symlink_to(aim)
    for path, attributes in root.mounts:
        with contextlib.suppress(FileNotFoundError):
            _mount(path, _NEW_ROOT + path, None, _MS_BIND | _MS_REC)
            _set_attributes(_NEW_ROOT + path, attributes, recursive=True)


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
