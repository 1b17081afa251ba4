"""A control group for each worker, where this user may make some: hard limits on all it holds.

The kernel then counts what no resource limit does: page tables, socket buffers, temporary files,
processes. Used where a group above ours, or ours, already gives `memory` and `pids` to its children
and is ours to write to: under systemd's user manager, as root on a systemd host. Where there is
none, `sandbox.watch` estimates.

Source: Linux, Documentation/admin-guide/cgroup-v2.rst.
"""

import contextlib
import os
import signal
import time
from dataclasses import dataclass
from pathlib import Path

_PREFIX = "autorl-worker-"
_NEEDED = frozenset({"memory", "pids"})
_REMOVAL_TIMEOUT_S = 1.0
_REMOVAL_PAUSE_S = 0.002


@dataclass(frozen=True)
class Group:
    """The control group of one worker and its init."""

    folder: Path

    def join(self) -> None:
        """Make this process a member, and all that it starts.

        Raises:
            OSError: the kernel refuses.
        """
        (self.folder / "cgroup.procs").write_text("0")

    def why_killed(self) -> str:
        """Return why the kernel killed its members, if it did."""
        with contextlib.suppress(OSError, ValueError):
            events = dict(
                line.split() for line in (self.folder / "memory.events").read_text().splitlines()
            )
            if int(events.get("oom_kill", 0)):
                limit_mb = int((self.folder / "memory.max").read_text()) // 2**20
                return (
                    "killed: it and what it started held more than memory_mb and its temporary "
                    f"files together, {limit_mb} MiB"
                )
        return ""

    def remove(self) -> None:
        """End what is still in it, and remove it.

        A killed process closes its files before it leaves its group, and the kernel keeps a group
        with a process in it; so try for a second. What stays is removed by the next server.
        """
        deadline = time.monotonic() + _REMOVAL_TIMEOUT_S
        while self.folder.exists():
            with contextlib.suppress(OSError):
                self._kill_members()
            with contextlib.suppress(OSError):
                self.folder.rmdir()
                return
            if time.monotonic() > deadline:
                return
            time.sleep(_REMOVAL_PAUSE_S)

    def _kill_members(self) -> None:
        try:
            (self.folder / "cgroup.kill").write_text("1")
        except OSError:  # Linux before 5.14 has no such file
            for process in (self.folder / "cgroup.procs").read_text().split():
                with contextlib.suppress(ProcessLookupError):
                    os.kill(int(process), signal.SIGKILL)


def above(membership: str, mounts: str) -> list[Path]:
    """Return the folders of our group and those above it, the nearest first.

    Args:
        membership: text of `/proc/self/cgroup`.
        mounts: text of `/proc/self/mountinfo`.
    """
    paths = [line[3:] for line in membership.splitlines() if line.startswith("0::/")]
    if paths and ".." in paths[0]:  # outside of what this container may see
        return []
    for line in mounts.splitlines():
        fields, _, kind = line.partition(" - ")
        if paths and kind.startswith("cgroup2 "):
            root, place = fields.split()[3:5]
            path = os.path.relpath(paths[0], root)
            if not path.startswith(".."):
                own = Path(os.path.normpath(Path(place, path)))
                return [own, *(p for p in own.parents if p.is_relative_to(place))]
    return []


def parent_of_workers() -> Path | None:
    """Return the folder in which groups with limits may be made here, None if there is none."""
    try:
        texts = [Path("/proc/self", name).read_text() for name in ("cgroup", "mountinfo")]
    except OSError:
        return None
    return next((folder for folder in above(*texts) if is_usable(folder)), None)


def is_usable(folder: Path) -> bool:
    """May we make groups there, move processes there, and limit their memory and number?"""
    try:
        given = set((folder / "cgroup.subtree_control").read_text().split())
    except OSError:
        return False
    return given >= _NEEDED and all(
        os.access(path, os.W_OK) for path in (folder, folder / "cgroup.procs")
    )


def make(parent: Path, name: str, *, memory_mb: int | None, processes: int) -> Group | None:
    """Make a group with these limits, None if the kernel refuses."""
    group = Group(parent / f"{_PREFIX}{name}")
    try:
        group.folder.mkdir()
        if memory_mb is not None:
            (group.folder / "memory.max").write_text(str(memory_mb * 2**20))
            (group.folder / "memory.oom.group").write_text("1")
            with contextlib.suppress(OSError):  # a kernel without swap
                (group.folder / "memory.swap.max").write_text("0")
        (group.folder / "pids.max").write_text(str(processes))
    except OSError:
        group.remove()
        return None
    return group


def remove_stale(parent: Path) -> None:
    """Remove the empty groups that killed servers left."""
    for folder in parent.glob(f"{_PREFIX}*"):
        with contextlib.suppress(OSError):
            folder.rmdir()
