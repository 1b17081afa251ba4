"""Confinement of a worker: its limits, and how a process confines itself."""

import contextlib
import functools
import os
import platform
import re
import resource
import sys
import sysconfig
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path

from sandbox import interpreter, landlock, namespaces, seccomp
from sandbox.inherited import replace_standard_input
from sandbox.prctl import die_with_parent

PROCESSES = 256
"""The most processes and threads of a worker."""
_DESCRIPTORS = 1024
_SYSTEM = (
    "/lib", "/lib64", "/usr/lib", "/usr/lib64", "/usr/local/lib", "/usr/share/zoneinfo",
    "/etc/ld.so.cache", "/etc/localtime",
)  # fmt: skip


class Tier(StrEnum):
    """How strongly a worker is confined."""

    NAMESPACES = "namespaces"
    """Own user, PID, mount, network, IPC and UTS namespaces, seccomp, and Landlock if available."""
    REDUCED = "reduced"
    """Landlock (ABI 3 or newer) and seccomp in the owner's namespaces."""
    SANDBOX_EXEC = "sandbox-exec"
    """The sandbox of macOS. Never tested."""
    OFF = "off"
    """Separate processes and limits, certain to end; no confinement of files and network."""


@dataclass(frozen=True, kw_only=True)
class Confinement:
    """The resources of one worker."""

    tier: Tier
    memory_mb: int | None = None
    """Private memory in MiB, None for no limit."""
    cpu_s: int | None = None
    """Processor seconds of any one process, None for no limit."""
    devices: tuple[str, ...] = ()
    """Device files of a GPU, besides the harmless ones."""
    tmp_mb: int = 512
    """Size of its temporary folder in MiB, and of the largest file."""


def prepare(confinement: Confinement, readable: Sequence[str]) -> None:
    """Compute what confining needs, once for all that are forked from this process."""
    _counts_by_namespace()
    if confinement.tier == Tier.NAMESPACES:
        namespaces.plan_root(tuple(readable), confinement.devices)
        seccomp.common(bool(confinement.devices))


def limit(confinement: Confinement) -> None:
    """Set the resource limits of this process and its descendants."""
    mib = 1024 * 1024
    limits = {resource.RLIMIT_CORE: 0}
    if confinement.memory_mb is not None:
        # RLIMIT_DATA counts private writable memory; RLIMIT_AS would count torch's libraries too.
        limits[resource.RLIMIT_DATA] = confinement.memory_mb * mib
    if confinement.cpu_s is not None:
        limits[resource.RLIMIT_CPU] = confinement.cpu_s
    if confinement.tier != Tier.OFF:
        limits |= {
            resource.RLIMIT_FSIZE: confinement.tmp_mb * mib,
            resource.RLIMIT_NOFILE: _DESCRIPTORS,
        }
    if confinement.tier == Tier.NAMESPACES and _counts_by_namespace():
        limits[resource.RLIMIT_NPROC] = PROCESSES
    for kind, value in limits.items():
        highest = resource.getrlimit(kind)[1]
        lower = value if highest == resource.RLIM_INFINITY else min(value, highest)
        resource.setrlimit(kind, (lower, lower))


def confine(
    confinement: Confinement, readable: Sequence[str], folder: str | None, user: int | None
) -> str:
    """Confine this process for good; return its private folder, its new working directory.

    For `Tier.NAMESPACES` it is the child of what `namespaces.fork` made, and `user` who it becomes
    if root started it. `folder` is the private folder where the tier does not bring one.

    Raises:
        OSError: the kernel or its settings forbid it.
    """
    devices = confinement.devices
    if confinement.tier == Tier.NAMESPACES:
        assert user is not None
        root = namespaces.plan_root(tuple(readable), devices)
        tmp_mb, shm_mb = confinement.tmp_mb, confinement.tmp_mb // 4
        namespaces.furnish(root, tmp_mb=tmp_mb, shm_mb=shm_mb, proc=not interpreter.is_exposed())
        # In the new root: what was opened in the host's could still have its times changed.
        replace_standard_input()
        folder = namespaces.WORK
        os.chdir(folder)
        namespaces.drop_privileges(user)
        if landlock.abi():
            landlock.restrict(["/"], ["/tmp", "/dev/shm", *_usable(devices)])  # noqa: S108
        die_with_parent()  # after the change of user, which undoes it; then the filter keeps it
        seccomp.install(own_pid_only=False, devices=bool(devices))
    elif confinement.tier == Tier.REDUCED:
        assert folder is not None
        os.chdir(folder)
        replace_standard_input()
        namespaces.drop_capabilities()
        abi = landlock.restrict([*readable, f"/proc/{os.getpid()}"], [folder, *_usable(devices)])
        die_with_parent()
        seccomp.install(own_pid_only=abi < 6, metadata=False, devices=bool(devices))
    else:
        assert folder is not None
        os.chdir(folder)
        die_with_parent()
    os.environ["TMPDIR"] = folder
    if confinement.tier != Tier.OFF:
        os.environ["HOME"] = folder
    tempfile.tempdir = None
    return folder


def readable_paths() -> list[str]:
    """Return the paths that a worker must read: Python, its libraries, and imported modules."""
    paths = {sysconfig.get_path(name) for name in ("stdlib", "platstdlib", "purelib", "platlib")}
    paths |= {path for path in sys.path if Path(path).name in {"site-packages", "dist-packages"}}
    paths |= {os.path.realpath(path) for path in paths}
    if library := sysconfig.get_config_var("INSTSONAME"):
        paths.add(str(Path(sysconfig.get_config_var("LIBDIR"), library)))
    paths |= {*_SYSTEM, *filter(None, os.environ.get("LD_LIBRARY_PATH", "").split(":"))}
    for name, module in list(sys.modules.items()):
        file = getattr(module, "__file__", None)
        if "." in name or name == "__main__" or not file:
            continue
        path = Path(file)
        paths.add(str(path.parent if path.name.startswith("__init__.") else path))
    return sorted(path for path in paths if path and Path(path).is_absolute())


def close_descriptors(kept: Sequence[int]) -> None:
    """Close every descriptor but the standard ones and those kept."""
    low = 3
    for descriptor in sorted(kept):
        os.closerange(low, descriptor)
        low = descriptor + 1
    os.closerange(low, max(low, resource.getrlimit(resource.RLIMIT_NOFILE)[0]))


def gpu_devices() -> tuple[str, ...]:
    """Return the device files of NVIDIA GPUs on this machine."""
    with contextlib.suppress(OSError):
        return tuple(sorted(str(path) for path in Path("/dev").glob("nvidia*")))
    return ()


def _usable(devices: Sequence[str]) -> list[str]:
    return [*(f"/dev/{name}" for name in namespaces.DEVICES), *devices]


@functools.cache
def _counts_by_namespace() -> bool:
    """Does RLIMIT_NPROC count a user namespace's processes, not all of the user's (5.14)?"""
    version = re.match(r"(\d+)\.(\d+)", platform.release())
    return version is not None and (int(version[1]), int(version[2])) >= (5, 14)
